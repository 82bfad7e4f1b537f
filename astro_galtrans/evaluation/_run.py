"""One pass over the test galaxies: translate, measure, estimate redshifts; arrays stay as small as a batch."""

import numpy as np
from tqdm.auto import tqdm

from astro_galtrans._utils.masked import floats
from astro_galtrans.evaluation._measure import Rulers, aperture_noise, coverage_counts, image_measures, pixel_measures
from astro_galtrans.evaluation._reference import resample_input

__all__ = ["INPUT", "TARGET", "Measured", "measure", "samples", "spread_rows"]

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
