"""Evaluation of images of the test galaxies: the columns of a row of results."""

import time

import numpy as np
from tqdm.auto import tqdm

from astro_galtrans.evaluation import evaluate, resample_input

from headline.data import retrained_estimator
from headline.results import BANDS, COLORS, column_names

__all__ = ["evaluate_images", "evaluate_references", "redshift_columns", "translate_pairs"]

_BLOCK = 64
_DRAW_SEED = 20_000
_IMAGES = "images"


def translate_pairs(translator, pairs, scale, *, first=0, device=None, progress=False):
    """Return translated images of all pairs, float32, and the time in seconds."""
    images = np.empty(pairs.target_flux.shape, dtype=np.float32)
    generative, seconds = translator.network.generative, 0.0
    for start in tqdm(range(0, len(pairs), _BLOCK), desc="translate", unit="batch", disable=not progress):
        rows = slice(start, min(start + _BLOCK, len(pairs)))
        batch = pairs.read(rows, images=("input_flux", "input_weight", "spectrum_flux", "spectrum_weight"))
        options = {**_conditions(translator, batch), **translator.known_fwhms(pairs, rows)}
        if generative:
            numbers = range(first + start, first + rows.stop)
            options |= {"n_samples": 1, "seed": 0, "n_steps": scale.sampling_steps, "galaxies": numbers}
        started = time.perf_counter()
        images[rows] = translator.translate_array(batch["input_flux"], weight=batch["input_weight"], device=device,
                                                  **options)
        seconds += time.perf_counter() - started
    return images, seconds


def _conditions(translator, batch):
    """Return the conditioning of a batch as keywords."""
    if translator.conditioning == "redshift":
        return {"redshift": batch["redshift"], "redshift_error": batch.get("redshift_error")}
    if translator.conditioning == "spectrum":
        return {"spectrum": (batch["spectrum_flux"], batch["spectrum_weight"])}
    return {}


def evaluate_images(images, retraining, data, scale, *, n_morphology=0, device=None, progress=False):
    """Return the columns of a row of results.

    Parameters
    ----------
    images, retraining : ndarray
        Translated images of the test galaxies, and of the galaxies that the retrained estimator is trained on.
    data : SampleData
    scale : BenchmarkScale
    n_morphology : int, optional
        Number of test galaxies whose size and shape are measured.
    device, progress
        As in `run_benchmark`.

    Returns
    -------
    dict
    """
    evaluation = _evaluated(images, data, n_morphology, device, progress)
    return _columns(evaluation, images, retraining, data, scale, device, progress)


def _evaluated(images, data, n_morphology, device, progress):
    return evaluate({_IMAGES: images}, data.test, estimator=data.estimators["estimator-target"],
                    n_bootstrap=0, n_shown=1, n_morphology=n_morphology, device=device, progress=progress)


def _columns(evaluation, images, retraining, data, scale, device, progress):
    retrained = retrained_estimator(retraining, data.retraining.redshift, data.test.target_survey, scale,
                                    device=device, progress=progress)
    bad = ~np.isfinite(images).all(axis=(1, 2, 3))
    z_phot = _estimates(retrained, np.nan_to_num(images) if bad.any() else images, None, device)
    return {**_image_columns(evaluation.tables, _IMAGES), "n_failed": int(evaluation.failed[_IMAGES]),
            **redshift_columns(evaluation.redshift[f"{_IMAGES}, transfer"], data.test.redshift, "transfer", scale),
            **redshift_columns(np.where(bad, np.nan, z_phot), data.test.redshift, "retrained", scale)}


def evaluate_references(data, scale, *, device=None, progress=False):
    """Return the columns of the rows of untranslated images, by name.

    Galaxies with masked pixels in the input are left out, as the translations lack these pixels.
    """
    resampled, retraining = (_resampled(pairs) for pairs in (data.test, data.retraining))
    whole = (np.asarray(data.test.input_weight) > 0).all(axis=(1, 2, 3))
    resampled[~whole] = np.nan
    evaluation = _evaluated(resampled, data, scale.n_morphology, device, progress)
    columns = {"resampled input": _columns(evaluation, resampled, retraining, data, scale, device, progress)}
    for side in ("input", "target"):
        row = columns[f"real {side}"] = _image_columns(evaluation.tables, f"real {side}")
        flux, weight = (getattr(data.test, f"{side}_{kind}") for kind in ("flux", "weight"))
        for kind, name in (("transfer", f"estimator-{side}"), ("retrained", f"retrained-{side}")):
            z_phot = _estimates(data.estimators[name], flux, weight, device)
            row |= redshift_columns(np.where(whole, z_phot, np.nan), data.test.redshift, kind, scale)
    return {name: row | {"n_morphology": scale.n_morphology, "n_failed": int(np.sum(~whole))}
            for name, row in columns.items()}


def _resampled(pairs):
    size = pairs.target_flux.shape[-2:]
    return np.concatenate([
        resample_input(pairs.input_flux[start:start + _BLOCK], pairs.input_survey, pairs.target_survey, size)
        for start in range(0, len(pairs), _BLOCK)])


def _estimates(estimator, flux, weight, device):
    return np.asarray(estimator.predict(flux, weight=weight, device=device).mean(), dtype=float)


def redshift_columns(z_phot, redshift, kind, scale):
    """Return the columns on redshifts; the draws use the same resampled galaxies for all estimates of a test set."""
    dz = (np.asarray(z_phot) - redshift) / (1 + redshift)
    rows = np.random.default_rng(_DRAW_SEED).integers(len(dz), size=(scale.n_draws, len(dz)))
    good = np.isfinite(dz)
    return {f"nmad_{kind}": _nmad(dz), f"outlier_{kind}": _outliers(dz),
            f"bias_{kind}": _rounded(np.median(dz[good])) if good.any() else np.nan,
            f"nmad_{kind}_draws": [_nmad(dz[row]) for row in rows],
            f"outlier_{kind}_draws": [_outliers(dz[row]) for row in rows]}


def _nmad(dz):
    dz = dz[np.isfinite(dz)]
    return _rounded(1.4826 * np.median(np.abs(dz - np.median(dz)))) if len(dz) else np.nan


def _outliers(dz):
    dz = dz[np.isfinite(dz)]
    return _rounded(np.mean(np.abs(dz) > 0.05)) if len(dz) else np.nan


def _rounded(value):
    return round(float(value), 7)


def _image_columns(tables, image):
    """Return the columns on the images themselves, NaN where a table or a row is missing."""
    look = _Lookup(tables, image)
    columns = {
        "relative_rmse": look.each("pixels", "band", BANDS, "relative_rmse"),
        **{f"color_{what}": look.each("colors", "color", COLORS, what) for what in ("bias", "scatter")}}
    for what in ("bias", "scatter"):
        columns |= {
            f"slope_{what}": look.each("color_gradients", "color", COLORS, f"slope_{what}"),
            **{f"slope_{what}_{kind}": look.each("color_gradients_by_type", "color", COLORS, f"slope_{what}",
                                                 galaxies=kind) for kind in ("early", "late")},
            f"aperture_{what}": look.each("apertures", "band", BANDS, what, radius=4.0),
            f"peak_{what}": look.each("peaks", "what", BANDS, what),
            f"peak_color_{what}": look.each("peaks", "what", COLORS, what)}
    for name in column_names():
        if name.startswith("morphology_"):
            measure, _, what = name.removeprefix("morphology_").rpartition("_")
            columns[name] = look.each("morphology", "band", ("r",), what, measure=measure)[0]
    return columns


class _Lookup:
    """Cells of the tables of an evaluation, for one kind of images."""

    def __init__(self, tables, image):
        self.tables, self.image = tables, image

    def each(self, table, key, names, value, **also):
        """Return one number for each name in the column ``key``, of the rows where the columns ``also`` match."""
        found = self.tables.get(table)
        if found is None or not len(found) or value not in found.colnames:
            return [np.nan] * len(names)
        wanted = {"image": self.image, **also}
        rows = {str(row[key]): float(row[value]) for row in found
                if all(row[name] == expected for name, expected in wanted.items())}
        return [_rounded(rows.get(name, np.nan)) for name in names]
