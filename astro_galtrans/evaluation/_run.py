"""One pass over the test galaxies: translate, measure and estimate redshifts, batch by batch."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from tqdm.auto import tqdm

from astro_galtrans._utils.masked import floats
from astro_galtrans.evaluation._measure import (
    ApertureSet, aperture_noise, coverage_counts, image_measures, pixel_measures, resample_input,
)

__all__ = [
    "INPUT", "REFERENCE", "RESAMPLED", "TARGET", "Compute", "Measured", "display_name", "given_estimators", "measure",
    "read_batch", "redshift_predictors", "samples", "spread_rows",
]

# Kinds of images beside the translators; no translator may have one of these names.
INPUT, TARGET, RESAMPLED, REFERENCE = "real input", "real target", "resampled input", "reference"
_TRAINING = 2**32  # beyond the number of any test galaxy, so that no training galaxy shares its noise


def display_name(image, simulated):
    """Return the name of a kind of images for readers; simulated galaxies have no "real" images."""
    return image.replace("real", "simulated") if simulated and image in (INPUT, TARGET) else image


class Compute(NamedTuple):
    """How to run networks."""

    batch_size: int
    device: str | None
    progress: bool

    def batches(self, n, label):
        """Iterate over slices of ``n`` galaxies, with a progress bar."""
        starts = tqdm(range(0, n, self.batch_size), desc=label, unit="batch", disable=not self.progress)
        return (slice(start, min(start + self.batch_size, n)) for start in starts)


class Measured:
    """Measurements of all galaxies; the first axis of each array is the galaxy."""

    def __init__(self, names):
        self.values = {}  # (image, measure) -> array
        self.redshift = {}  # kind of images and estimator -> estimates
        self.coverage = {}  # translator -> counts of `coverage_counts`
        self.failed = dict.fromkeys(names, 0)  # translator -> number of galaxies with values that are not finite

    def add(self, image, measures):
        """Add the measurements of a batch."""
        for name, value in measures.items():
            self.values.setdefault((image, name), []).append(value)

    def finish(self):
        """Join the batches."""
        self.values = {key: np.concatenate(parts) for key, parts in self.values.items()}
        self.redshift = {label: np.concatenate(parts) for label, parts in self.redshift.items()}
        return self


def read_batch(pairs, rows):
    """Return the arrays of some pairs, with the FWHMs of their PSFs as ``input_psf_fwhm`` and ``target_psf_fwhm``."""
    return pairs.read(rows) | {f"{side}_psf_fwhm": pairs.psf_fwhm(side, rows) for side in ("input", "target")}


def measure(sources, test, predictors, config, compute):
    """Measure all galaxies on all kinds of images.

    ``predictors`` maps a label to ``(image, estimator)``: the redshift of that label is the estimate from that kind of
    images. Returns a `Measured`.
    """
    n_samples = {name: source.n_samples for name, source in sources.items() if source.n_samples is not None}
    sets = tuple(ApertureSet(survey, flux.shape[-2:], config.aperture_radii, config.annuli) for survey, flux in (
        (test.input_survey, test.input_flux), (test.target_survey, test.target_flux)))
    measured = Measured(sources)
    for rows in compute.batches(len(test), "evaluating"):
        batch = read_batch(test, rows)
        images = {INPUT: (batch["input_flux"], None), TARGET: (batch["target_flux"], None)}
        numbers = np.arange(rows.start, rows.stop)
        for name, source in sources.items():
            flux, sigma = source.translate(
                batch, numbers, device=compute.device, uncertainty=source.gives_uncertainty)
            flux, bad = _without_broken(name, flux, batch["target_flux"].shape)
            measured.failed[name] += int(bad.sum())
            images[name] = flux, sigma
        _measure_batch(measured, batch, images, sets, n_samples)
        for label, (image, estimator) in predictors.items():
            estimate = _redshift(estimator, images[image][0], batch, image, compute.device)
            measured.redshift.setdefault(label, []).append(estimate)
    return measured.finish()


def _without_broken(name, flux, shape):
    """Images with NaN in all pixels of a galaxy that has a value that is not finite, and which galaxies these are."""
    flux = floats(flux, f"the images of {name!r}", dtype=np.float32)
    if flux.shape != shape:
        raise ValueError(f"translator {name!r} gave images of shape {flux.shape}, the target's are {shape}")
    bad = ~np.isfinite(flux).all(axis=(1, 2, 3))
    if bad.any():
        flux = flux.copy()
        flux[bad] = np.nan
    return flux, bad


def _measure_batch(measured, batch, images, sets, n_samples):
    input_set, target_set = sets
    target, weight = batch["target_flux"], batch["target_weight"]
    reference = target if batch["target_truth"] is None else batch["target_truth"]
    used = None if weight is None or (weight > 0).all() else weight > 0

    def cleared(flux):
        return flux if used is None else np.where(used, flux, np.float32(0))

    measured.add(REFERENCE, image_measures(cleared(reference), target_set))
    measured.add(REFERENCE, {"aperture_noise": aperture_noise(target, weight, target_set)})
    resampled = resample_input(batch["input_flux"], input_set.survey, target_set.survey, target.shape[-2:])
    measured.add(RESAMPLED, image_measures(cleared(resampled), target_set))
    measured.add(RESAMPLED, pixel_measures(resampled, reference, target, weight))
    for name, (flux, sigma) in images.items():
        if name == INPUT:
            measured.add(INPUT, image_measures(flux, input_set))
            continue
        measured.add(name, image_measures(cleared(flux), target_set))
        # The real target is compared with the truth: its chi2 against itself would be 0.
        measured.add(name, pixel_measures(flux, reference, reference if name == TARGET else target, weight))
        if sigma is not None and weight is not None:
            good = np.isfinite(flux).all(axis=(1, 2, 3)) & np.isfinite(sigma).all(axis=(1, 2, 3))
            counts = coverage_counts(flux[good], sigma[good], target[good], weight[good], n_samples.get(name, 1))
            measured.coverage[name] = measured.coverage.get(name, 0) + counts


def _redshift(estimator, flux, batch, image, device):
    weight = {INPUT: batch["input_weight"], TARGET: batch["target_weight"]}.get(image)
    good, estimate = np.isfinite(flux).all(axis=(1, 2, 3)), np.full(len(flux), np.nan)
    if good.any():
        options = {} if device is None else {"device": device}
        pdf = estimator.predict(flux[good], weight=None if weight is None else weight[good], **options)
        estimate[good] = np.asarray(pdf.mean(), dtype=float)
    return estimate


def spread_rows(measured, survey, n):
    """Return rows of at most ``n`` galaxies, evenly spread in rank of red flux from bright to faint.

    The selection does not depend on how well they are translated.
    """
    flux = np.nan_to_num(measured.values[REFERENCE, "aperture"][:, len(survey) // 2, -1])
    order = np.argsort(-flux, kind="stable")
    n = min(n, len(order))
    return order[np.round(np.linspace(0.02, 0.98, n) * (len(order) - 1)).astype(int)]


def samples(sources, test, rows, device):
    """Return images of some galaxies, real and translated, a dict."""
    batch = read_batch(test, np.asarray(rows, dtype=int))
    shown = {**batch, "rows": rows, "input_survey": test.input_survey, "target_survey": test.target_survey,
             "translated": {}, "weights": {}}
    for name, source in sources.items() if len(rows) else ():
        shown["translated"][name] = source.translate(batch, rows, device=device)[0]
        weights = source.gradient_weights(batch)
        if weights is not None:
            shown["weights"][name] = weights
    return shown


@runtime_checkable
class _Predictor(Protocol):
    def predict(self, flux, weight=None):
        ...


def given_estimators(estimator):
    """Return estimators that are already trained, by the kind of real images that they were trained on."""
    if estimator is None:
        return {}
    given = dict(estimator) if isinstance(estimator, Mapping) else {TARGET: estimator}
    unknown = [name for name in given if name not in (INPUT, TARGET)]
    if unknown:
        raise ValueError(f"estimator must have the keys {INPUT!r} and {TARGET!r}, got {unknown[0]!r}")
    for name, one in given.items():
        if not isinstance(one, _Predictor):
            raise TypeError(f"the estimator of {name!r} must have predict, got {type(one).__name__}")
    return given


def redshift_predictors(sources, given, training, options, compute):
    """Return label -> (kind of images, fitted estimator), in the order of the redshift table."""
    from astro_galtrans.photoz import RedshiftEstimator, fit_redshift_estimator

    config = next((one.config for one in map(given.get, (TARGET, INPUT)) if isinstance(one, RedshiftEstimator)), None)
    if config is not None:
        options = {"config": config, **options}  # estimators differ in their images, not in their settings
    if compute.device is not None:
        options = {"device": compute.device, **options}
    known = None if training is None else np.isfinite(np.asarray(training.redshift, dtype=float))

    def fit(flux, survey, weight=None, used=known):
        if not used.all():
            flux, weight = flux[used], None if weight is None else weight[used]
        redshift = np.asarray(training.redshift, dtype=float)[used]
        return fit_redshift_estimator(
            flux, redshift, survey=survey, weight=weight, **{"progress": compute.progress, **options})

    estimators = dict(given)
    for kind, side in ((TARGET, "target"), (INPUT, "input")):
        if training is not None and kind not in estimators:
            data = training.read()
            estimators[kind] = fit(data[f"{side}_flux"], getattr(training, f"{side}_survey"), data[f"{side}_weight"])
            del data
    predictors = {kind: (kind, estimators[kind]) for kind in (TARGET, INPUT) if kind in estimators}
    if TARGET in estimators:
        predictors.update({f"{name}, transfer": (name, estimators[TARGET]) for name in sources})
    for name, source in sources.items() if training is not None else ():
        if source.retrains:
            flux, good = _translated(source, training, compute)
            predictors[f"{name}, retrained"] = (name, fit(flux, training.target_survey, used=good & known))
    return predictors


def _translated(source, training, compute):
    flux = np.empty(training.target_flux.shape, dtype=np.float32)
    for rows in compute.batches(len(training), f"translating for {source.name}"):
        numbers = _TRAINING + np.arange(rows.start, rows.stop)
        flux[rows] = source.translate(read_batch(training, rows), numbers, device=compute.device)[0]
    return flux, np.isfinite(flux).all(axis=(1, 2, 3))
