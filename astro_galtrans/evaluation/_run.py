"""One pass over the test galaxies: translate, measure, estimate redshifts."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from tqdm.auto import tqdm

from astro_galtrans._utils.masked import floats
from astro_galtrans.evaluation._measure import (
    Rulers, aperture_noise, coverage_counts, image_measures, pixel_measures, resample_input,
)

__all__ = [
    "INPUT", "Measured", "TARGET", "given_estimators", "measure", "redshift_predictors", "samples", "spread_rows",
]

INPUT, TARGET = "real input", "real target"


class Measured:
    """Numbers per galaxy, collected batch by batch.

    Attributes
    ----------
    values : dict
        ``(image, measure)`` -> ndarray whose first axis is the test galaxy.
    redshift : dict
        Kind of images and estimator -> redshift estimates, shape ``(galaxy,)``.
    coverage : dict
        Translator -> pixel counts, see ``coverage_counts``.
    failed : dict
        Translator -> number of galaxies with a value that is not finite in the output.
    """

    def __init__(self):
        self.values, self.redshift, self.coverage, self.failed = {}, {}, {}, {}
        self._parts = {}

    def add(self, image, measures):
        for name, value in measures.items():
            self._parts.setdefault((image, name), []).append(value)

    def finish(self):
        self.values = {key: np.concatenate(parts) for key, parts in self._parts.items()}
        labels = [image for image, name in self.values if name == "redshift"]
        self.redshift = {label: self.values.pop((label, "redshift")) for label in labels}
        self._parts.clear()
        return self


def measure(sources, test, *, aperture_radii, annuli, predictors, batch_size, device, progress):
    """Everything that the tables need.

    ``predictors`` maps a label to ``(image, estimator)``: the redshift of that label is what the estimator says of
    that kind of images.
    """
    n_samples = {name: source.n_samples for name, source in sources.items() if source.n_samples is not None}
    rulers = (Rulers(test.input_survey, test.input_flux.shape[-2:], aperture_radii, annuli),
              Rulers(test.target_survey, test.target_flux.shape[-2:], aperture_radii, annuli))
    measured = Measured()
    measured.failed = dict.fromkeys(sources, 0)
    starts = range(0, len(test), batch_size)
    for start in tqdm(starts, desc="evaluating", unit="batch", disable=not progress):
        batch = test.read(slice(start, min(start + batch_size, len(test))))
        images = {INPUT: (batch["input_flux"], None), TARGET: (batch["target_flux"], None)}
        numbers = np.arange(start, start + len(batch["input_flux"]))
        for name, source in sources.items():
            flux, sigma = source.translate(batch, numbers, device=device, uncertainty=source.gives_uncertainty)
            flux, bad = _checked(name, flux, batch["target_flux"].shape)
            measured.failed[name] += int(bad.sum())
            images[name] = flux, sigma
        _measure_batch(measured, batch, images, test, rulers, n_samples)
        for label, (image, estimator) in predictors.items():
            measured.add(label, {"redshift": _redshift(estimator, images[image][0], batch, image, device)})
    return measured.finish()


def _checked(name, flux, shape):
    flux = floats(flux, f"the images of {name!r}", dtype=np.float32)
    if flux.shape != shape:
        raise ValueError(f"translator {name!r} gave images of shape {flux.shape}, the target's are {shape}")
    bad = ~np.isfinite(flux).all(axis=(1, 2, 3))
    if bad.any():
        flux = flux.copy()
        flux[bad] = np.nan
    return flux, bad


def _measure_batch(measured, batch, images, test, rulers, n_samples):
    target, weight = batch["target_flux"], batch["target_weight"]
    reference = target if batch["target_truth"] is None else batch["target_truth"]
    used = None if weight is None or (weight > 0).all() else weight > 0
    measured.add("reference", image_measures(_cleared(reference, used), rulers[1]))
    measured.add("reference", {"aperture_noise": aperture_noise(target, weight, rulers[1])})
    resampled = resample_input(batch["input_flux"], test.input_survey, test.target_survey, target.shape[-2:])
    measured.add("resampled input", image_measures(_cleared(resampled, used), rulers[1]))
    measured.add("resampled input", pixel_measures(resampled, reference, target, weight))
    for name, (flux, sigma) in images.items():
        if name == INPUT:
            measured.add(INPUT, image_measures(flux, rulers[0]))
            continue
        measured.add(name, image_measures(_cleared(flux, used), rulers[1]))
        # the real target's own noise against the truth; against itself there would be nothing to see
        measured.add(name, pixel_measures(flux, reference, reference if name == TARGET else target, weight))
        if sigma is not None and weight is not None:
            finite = np.isfinite(flux).all(axis=(1, 2, 3)) & np.isfinite(sigma).all(axis=(1, 2, 3))
            counts = coverage_counts(flux[finite], sigma[finite], target[finite], weight[finite],
                                     n_samples.get(name, 1))
            measured.coverage[name] = measured.coverage.get(name, 0) + counts


def _cleared(flux, used):
    return flux if used is None else np.where(used, flux, np.float32(0))


def _redshift(estimator, flux, batch, image, device):
    weight = {INPUT: batch["input_weight"], TARGET: batch["target_weight"]}.get(image)
    bad = ~np.isfinite(flux).all(axis=(1, 2, 3))
    options = {} if device is None else {"device": device}
    pdf = estimator.predict(np.where(bad[:, None, None, None], np.float32(0), flux), weight=weight, **options)
    return np.where(bad, np.nan, np.asarray(pdf.mean(), dtype=float))


def spread_rows(measured, survey, n):
    """Rows of at most ``n`` galaxies, evenly spread in rank of red flux from bright to faint.

    They are chosen before anything is known of how well they are translated.
    """
    flux = np.nan_to_num(measured.values["reference", "aperture"][:, len(survey) // 2, -1])
    order = np.argsort(-flux, kind="stable")
    n = min(n, len(order))
    return order[np.round(np.linspace(0.02, 0.98, n) * (len(order) - 1)).astype(int)]


def samples(sources, test, rows, device):
    """Images of some galaxies, real and translated, a dict."""
    batch = test.read(np.asarray(rows, dtype=int))
    shown = {**batch, "rows": rows, "input_survey": test.input_survey, "target_survey": test.target_survey,
             "translated": {}, "weights": {}}
    for name, source in sources.items() if len(rows) else ():
        shown["translated"][name] = source.translate(batch, rows, device=device)[0]
        weights = source.gradient_weights(batch)
        if weights is not None:
            shown["weights"][name] = weights
    return shown


_TRAINING = 2**32  # beyond the number of any test galaxy, so that no training galaxy shares its noise


@runtime_checkable
class _Predictor(Protocol):
    def predict(self, flux, weight=None):
        ...


def given_estimators(estimator):
    """Estimators that are already trained, by the kind of real images that they were trained on."""
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


def redshift_predictors(sources, *, given, training, options, seed, batch_size, device, progress):
    """Label -> (kind of images, fitted estimator), in the order of the redshift table."""
    from astro_galtrans.photoz import RedshiftEstimator

    config = next((one.config for one in map(given.get, (TARGET, INPUT)) if isinstance(one, RedshiftEstimator)), None)
    if config is not None:
        options = {"config": config, **options}  # the judges differ in what they see, not in their settings
    fit, judges = _Fit(training, options, seed, device, progress), dict(given)
    for kind, side in ((TARGET, "target"), (INPUT, "input")):
        if training is not None and kind not in judges:
            data = training.read()
            judges[kind] = fit(data[f"{side}_flux"], getattr(training, f"{side}_survey"), data[f"{side}_weight"])
            del data
    predictors = {kind: (kind, judges[kind]) for kind in (TARGET, INPUT) if kind in judges}
    if TARGET in judges:
        predictors.update({f"{name}, transfer": (name, judges[TARGET]) for name in sources})
    if training is not None:
        for name, source in sources.items():
            if not source.retrains:
                continue
            flux, good = _translated(source, training, batch_size, device, progress)
            predictors[f"{name}, retrained"] = (name, fit(flux, training.target_survey, None, good))
    return predictors


class _Fit:
    """Fits every estimator in the same way: same options, same seed, same galaxies."""

    def __init__(self, training, options, seed, device, progress):
        self.options = {"seed": seed, "progress": progress, **({} if device is None else {"device": device}), **options}
        self.redshift = None if training is None else np.asarray(training.redshift, dtype=float)

    def __call__(self, flux, survey, weight, good=None):
        from astro_galtrans.photoz import fit_redshift_estimator

        used = np.isfinite(self.redshift) if good is None else good & np.isfinite(self.redshift)
        if not used.all():
            flux, weight = flux[used], None if weight is None else weight[used]
        return fit_redshift_estimator(flux, self.redshift[used], survey=survey, weight=weight, **self.options)


def _translated(source, training, batch_size, device, progress):
    flux = np.empty(training.target_flux.shape, dtype=np.float32)
    starts = range(0, len(training), batch_size)
    for start in tqdm(starts, desc=f"translating for {source.name}", unit="batch", disable=not progress):
        rows = slice(start, min(start + batch_size, len(training)))
        numbers = _TRAINING + np.arange(rows.start, rows.stop)
        flux[rows] = source.translate(training.read(rows), numbers, device=device)[0]
    return flux, np.isfinite(flux).all(axis=(1, 2, 3))
