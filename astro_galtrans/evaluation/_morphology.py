"""Sizes and shapes of galaxies on translated and real images, measured by statmorph.

All images of a galaxy are measured with the segmentation and about the center of the reference, so that an image under
test determines neither the position of the galaxy nor which pixels belong to it.
"""

import warnings
from functools import cache

import numpy as np
from astropy.utils import lazyproperty
from tqdm.auto import tqdm

from astro_galtrans._utils.optional import optional
from astro_galtrans.evaluation._measure import resample_input
from astro_galtrans.evaluation._run import REFERENCE, RESAMPLED, TARGET
from astro_galtrans.evaluation._tables import as_table
from astro_galtrans.images import segment_galaxy

__all__ = ["MEASURES", "measure_galaxy", "measure_morphology", "morphology", "need_statmorph"]

# name -> attribute of statmorph, and whether its error is relative
MEASURES = {"half_light_radius": ("rhalf_circ", True), "concentration": ("concentration", False),
            "asymmetry": ("asymmetry", False), "sersic_index": ("sersic_n", True)}
_INVALID = -99.0  # statmorph's value of a measure that failed
_BAD_FLAG, _BAD_FIT = 4, 2


def need_statmorph():
    """Return statmorph, or raise an ImportError that names the extra."""
    return optional("statmorph", "morphology", "the morphology of galaxies")


@cache
def _few_measures():
    """Return a SourceMorphology that takes a center and computes only the measures used here: three times as fast."""

    class FewMeasures(need_statmorph().SourceMorphology):
        def __init__(self, *arguments, center=None, **options):
            self._given_center = center
            super().__init__(*arguments, **options)

        def _calculate_morphology(self):
            for attribute, _ in MEASURES.values():
                getattr(self, attribute)

        def _check_segmaps(self):
            pass

        @lazyproperty
        def _asymmetry_center(self):
            if self._given_center is None:
                return super()._asymmetry_center
            return np.subtract(self._given_center, (self.xmin_stamp, self.ymin_stamp))

    return FewMeasures


def measure_galaxy(image, segmentation, sigma, mask=None, center=None):
    """Measure one galaxy in one band, with a segmentation of `~astro_galtrans.images.segment_galaxy`.

    The Sersic fit is weighted by sigma, the standard deviation of the pixels. The center ``(x, y)`` is by default the
    point about which the image is most symmetric. Returns the values in the order of ``MEASURES``, lengths in pixels
    and NaN where a measure failed, and the center, None where nothing could be measured.
    """
    values = np.full(len(MEASURES), np.nan)
    if segmentation is None or not np.isfinite(image).all():
        return values, None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the flags of statmorph say the same
        try:
            found = _few_measures()(np.asarray(image, dtype=float), segmentation, 1, weightmap=sigma, mask=mask,
                                    center=center, sersic_maxiter=500)
        except (ArithmeticError, AssertionError, IndexError, RuntimeError, ValueError):  # by statmorph
            return values, None
    if found.flag >= _BAD_FLAG:
        return values, None
    values[:] = [getattr(found, attribute) for attribute, _ in MEASURES.values()]
    values[(values == _INVALID) | ~np.isfinite(values)] = np.nan
    if found.flag_sersic >= _BAD_FIT:
        values[list(MEASURES).index("sersic_index")] = np.nan
    return values, (found.xc_asymmetry, found.yc_asymmetry)


def measure_morphology(sources, test, rows, seed, compute):
    """Return measures (galaxy, 4) of some galaxies by kind of images, among them the reference.

    Where the reference is a noisy image, noise of the target is added to translated images, so that both sides of the
    comparison have it. A single sample of a generative translator already has noise.
    """
    survey = test.target_survey
    band = survey.band_names.index("r") if "r" in survey.band_names else len(survey) // 2
    noisy = {name for name, source in sources.items() if test.target_truth is None and source.n_samples != 1}
    found = {}
    with tqdm(total=len(rows), desc="morphology", unit="galaxy", disable=not compute.progress) as bar:
        for start in range(0, len(rows), compute.batch_size):
            part = np.asarray(rows[start:start + compute.batch_size], dtype=int)
            batch = test.read(part)
            images = _band_images(sources, test, batch, part, compute.device)
            images = {name: np.asarray(flux[:, band], dtype=float) for name, flux in images.items()}
            for index, row in enumerate(part):
                one = {name: flux[index] for name, flux in images.items()}
                weight = None if batch["target_weight"] is None else batch["target_weight"][index, band]
                rng = np.random.default_rng([seed, int(row)])
                for name, values in _measure_images(one, weight, survey, band, noisy, rng).items():
                    found.setdefault(name, []).append(values)
                bar.update()
    return {name: np.stack(values) for name, values in found.items()}


def _band_images(sources, test, batch, rows, device):
    target, truth = batch["target_flux"], batch["target_truth"]
    resampled = resample_input(batch["input_flux"], test.input_survey, test.target_survey, target.shape[-2:])
    images = {REFERENCE: target, RESAMPLED: resampled} if truth is None else {
        REFERENCE: truth, RESAMPLED: resampled, TARGET: target}
    return images | {name: source.translate(batch, rows, device=device)[0] for name, source in sources.items()}


def _measure_images(images, weight, survey, band, noisy, rng):
    """Measures of one galaxy on each of its images."""
    sky = float(survey.sky_noise[band])
    shape = images[REFERENCE].shape
    used = np.ones(shape, dtype=bool) if weight is None else weight > 0
    sigma = np.full(shape, sky)
    if weight is not None:
        sigma[used] = weight[used]**-0.5
    images = {name: np.where(used, image, 0) for name, image in images.items()}
    segmentation = segment_galaxy(images[REFERENCE], sky if not used.any() else float(np.median(sigma[used])),
                                  survey.pixel_scale)
    noise = np.where(used, sigma, 0) * rng.normal(size=shape)
    mask = None if used.all() else ~used
    found = {}
    found[REFERENCE], center = measure_galaxy(images.pop(REFERENCE), segmentation, sigma, mask)
    for name, image in images.items():
        found[name] = np.full(len(MEASURES), np.nan) if center is None else measure_galaxy(
            image + noise if name in noisy else image, segmentation, sigma, mask, center)[0]
    return found


def morphology(tabulator, found):
    """Return the table with the error of each measure against the reference."""
    names = tabulator.target_survey.band_names
    band = "r" if "r" in names else names[len(names) // 2]
    rows = []
    for image in (name for name in tabulator.images(RESAMPLED) if name in found):
        for index, (measure, (_, relative)) in enumerate(MEASURES.items()):
            own, reference = found[image][:, index], found[REFERENCE][:, index]
            error = own - reference
            if relative:
                error = np.divide(error, reference, out=np.full(error.shape, np.nan), where=reference > 0)
            errors = tabulator.errors(error)
            rows.append({"image": image, "band": band, "measure": measure,
                         "error": "relative" if relative else "difference", **errors,
                         "n_failed": len(error) - errors["n"]})
    return as_table(rows)
