"""A deep image as a shallower survey would have taken it."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty
from scipy import ndimage

from astro_galtrans._utils.masked import floats
from astro_galtrans._utils.numerics import numpy_defaults
from astro_galtrans._utils.validation import angle, check_fields, choice, configured, mapping
from astro_galtrans.exceptions import BandMismatchError
from astro_galtrans.images import BandCube, as_band_cube, empty_pixels, like_input
from astro_galtrans.simulation._degrade_grid import Sampler, plain_wcs, scaled_wcs
from astro_galtrans.simulation._degrade_psf import match, psf_models
from astro_galtrans.surveys import get_survey, matching_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astropy.nddata import CCDData, NDData
    from astropy.units import Quantity
    from numpy.typing import ArrayLike

    from astro_galtrans.surveys import Survey

__all__ = ["DegradeConfig", "Degrader", "degrade", "with_wcs"]

_MATCHINGS = ("kernel", "gaussian")
_MAX_DISTANCE = 0.1  # largest relative difference of the effective wavelengths of matched bands
_MIN_PSF_SIDE = 15


@dataclass(frozen=True, eq=False)
class DegradeConfig:
    """How an image is degraded: bands, point spread functions and pixels.

    Parameters
    ----------
    bands : dict of str to str, optional
        Band of the survey to band of the image. By default bands of the same name, and then those nearest in effective
        wavelength, within 10 percent; bands of the survey without a partner are left out.
    psf : `~astropy.units.Quantity` or array_like, optional
        PSF of the image, pixel included: FWHM of a Moffat profile of beta 3.5, one or one per band of the image, or
        images of a star on the pixels of the image. By default the PSF of the image, or else the FWHM of its survey.
    target_psf : `~astropy.units.Quantity` or array_like, optional
        PSF of the result, likewise, one per band of the result and on the pixels of the survey; by default the FWHM of
        the survey.
    matching : {"kernel", "gaussian"}, optional
        ``"kernel"`` divides the two PSFs in Fourier space and gives the shape of the target PSF; ``"gaussian"``
        broadens with the Gaussian that gives the FWHM of the target PSF, and keeps the wings of the PSF of the image.
    pixel_scale : `~astropy.units.Quantity`, optional
        Side of a pixel of an image without a WCS, which gets a plain tangent projection around RA 0, Dec 0.

    Examples
    --------
    >>> from astro_galtrans.simulation import DegradeConfig
    >>> DegradeConfig(matching="gaussian").matching
    'gaussian'
    """

    bands: Mapping[str, str] | None = None
    psf: Quantity | ArrayLike | None = None
    target_psf: Quantity | ArrayLike | None = None
    matching: Literal["kernel", "gaussian"] = "kernel"
    pixel_scale: Quantity | None = None

    def __post_init__(self) -> None:
        check_fields(self, {"matching": partial(choice, allowed=_MATCHINGS), "bands": mapping, "pixel_scale": angle})


@numpy_defaults()
def degrade(
    image: BandCube | NDData | CCDData | Mapping[str, CCDData], survey: Survey | str, *,
    seed: int | Sequence[int] | None = None, noise: bool = True, shape: tuple[int, ...] | None = None,
    noise_left: ArrayLike | None = None, config: DegradeConfig | None = None, **settings: Any,
) -> BandCube | CCDData | dict[str, CCDData]:
    """Degrade a deep image to what a shallower survey would have taken: its PSF, pixels, flux unit and noise.

    Parameters
    ----------
    image : BandCube, `~astropy.nddata.NDData` or dict of `~astropy.nddata.CCDData`
        The deep image, without its background, ``(band, y, x)``.
    survey : Survey or str
        The shallower survey.
    seed : int or sequence of int
        Seed of the noise; required unless ``noise`` is False.
    noise : bool, optional
        Whether noise is added.
    shape : tuple of int, optional
        ``(ny, nx)`` of the result, around the same center; by default the largest that fits into the image.
    noise_left : array_like, optional
        Standard deviation, in the unit of the survey, of the noise of the image that is left in a pixel of the result,
        one per band. By default it is propagated from the uncertainty of the image (or the sky noise of its survey)
        for independent pixels, which those of stacks are not: see `semi_real_pairs` for how to measure it.
    config : DegradeConfig, optional
        Bands, point spread functions and pixels.
    **settings
        Fields of `DegradeConfig`, as ``target_psf=2 * u.arcsec``; they replace those of ``config``.

    Returns
    -------
    BandCube, or the kind of ``image``
        In the unit of the survey with its WCS, mask, PSF, and the standard deviation of each pixel: that of the sky of
        the survey and the photons of the source. A pixel is masked where bad pixels have more than 5 percent of the
        kernel weight. ``meta["degrade"]`` records what was done.

    Raises
    ------
    ValueError
        If the target PSF is sharper than that of the image, the image is noisier than the survey, pixels or PSF are
        not known, or the seed is missing.
    TypeError
        If a setting is unknown.
    BandMismatchError
        If there is no band in common.

    Examples
    --------
    >>> import astropy.units as u
    >>> import numpy as np
    >>> from astro_galtrans.images import BandCube
    >>> from astro_galtrans.simulation import degrade
    >>> deep = BandCube(np.zeros((3, 68, 68)), unit="adu", bands="gri", survey="CFHTLS")
    >>> degrade(deep, "SDSS", seed=1, pixel_scale=0.187 * u.arcsec)
    <BandCube gri 32 x 32 pixels of 0.396 arcsec, nmgy, survey SDSS>
    """
    config = configured(DegradeConfig, config, settings, function=degrade)
    if not noise and seed is not None:
        raise ValueError(f"seed has no effect with noise=False, got {seed!r}")
    if noise and seed is None:
        raise ValueError("seed must be given for the noise, got None; noise=False adds none")
    given = as_band_cube(image)
    cube = with_wcs(given, config.pixel_scale)
    degrader = Degrader(cube, survey, config, shape=shape)
    result = degrader(cube, np.random.default_rng(seed) if noise else None, noise_left)
    result.meta["degrade"].update(seed=np.asarray(seed).tolist(), plain_wcs=given.wcs is None)
    return like_input(result, image)


def with_wcs(cube, pixel_scale):
    """Return the cube, with a plain WCS of a pixel scale where it has none."""
    if cube.wcs is not None:
        if pixel_scale is not None:
            raise ValueError(f"pixel_scale must not be given for an image with a WCS, got {pixel_scale}")
        return cube
    if pixel_scale is None:
        raise ValueError("pixel_scale must be given for an image without a WCS")
    return BandCube(cube, bands=cube.bands, survey=cube.survey, wcs=plain_wcs(cube.shape[1:], pixel_scale))


class Degrader:
    """Degrades images of one shape, pixel size and PSF; what does not depend on the flux is computed once.

    All images have the properties of the cube ``like``, but may have another ``size``, ``(ny, nx)``. ``shape`` is that
    of the results.
    """

    def __init__(self, like, survey, config=DegradeConfig(), *, shape=None, size=None):
        survey = get_survey(survey)
        self.config = config
        self.pairs = _paired(like, survey, config.bands)
        self.survey = survey.select(self.pairs)
        self.index = [like.bands.index(name) for name in self.pairs.values()]
        self.scale_ratio = float((survey.pixel_scale / like.pixel_scale).to_value(u.dimensionless_unscaled))
        size = like.shape[1:] if size is None else tuple(size)
        self._match(like)
        # The kernel is narrower than the PSF of the result.
        margin = int(np.ceil(3 * max(self.fwhm_after)))
        shape = ([matching_size(side, like.pixel_scale, survey.pixel_scale) for side in size] if shape is None
                 else _checked_shape(shape))
        self.sampler = Sampler(size, shape, self.scale_ratio, margin)
        self.transforms = [kernel.transform(self.sampler.fy, self.sampler.fx) for kernel in self.kernels]

    def _match(self, like):
        """Compute the kernels, the FWHM before and after in arcsec, and the PSF images of the result."""
        psf, target_psf = self.config.psf, self.config.target_psf
        psf = like.psf if psf is None else psf
        if psf is None:
            if like.survey is None:
                raise ValueError("psf must be given for an image with neither a PSF nor a survey")
            psf = u.Quantity([band.psf_fwhm for band in like.survey])
        if target_psf is None:
            target_psf = u.Quantity([band.psf_fwhm for band in self.survey])
        scale, names = like.pixel_scale.to_value(u.arcsec), self.survey.band_names
        models = psf_models("psf", psf, like.bands, scale)
        wanted = psf_models("target_psf", target_psf, names, scale, self.scale_ratio)
        matched = [match(models[i], target, self.config.matching, name)
                   for i, target, name in zip(self.index, wanted, names)]
        self.kernels, before, self.fwhm_after = zip(*matched)
        self.fwhm_arcsec = {name: [float(one * scale), float(other * scale)]
                            for name, one, other in zip(names, before, self.fwhm_after)}
        side = 2 * int(np.ceil(4 * max(self.fwhm_after) / self.scale_ratio)) + 1
        if not isinstance(psf, u.Quantity):
            side = max(side, 2 * int(np.shape(psf)[-1] / self.scale_ratio / 2) + 1)
        side = max(side, _MIN_PSF_SIDE)
        self.psf = np.stack([kernel.psf(side, self.scale_ratio) for kernel in self.kernels])

    def __call__(self, cube, rng=None, noise_left=None):
        """Return the degraded image, a BandCube; with noise if there is an ``rng``."""
        if cube.shape[1:] != self.sampler.shape:
            raise ValueError(f"image must have {self.sampler.shape} pixels, got {cube.shape[1:]}")
        flux, left, bad = self._planes(cube)
        if noise_left is not None:
            given = np.broadcast_to(floats(noise_left, "noise_left", dtype=float), len(self.survey))
            left = np.broadcast_to(given[:, np.newaxis, np.newaxis] ** 2, flux.shape)
        deviation = None if left is None else np.sqrt(left)
        if rng is not None:
            flux, deviation = self._noisy(flux, left, bad, rng)
        flux = np.where(self.sampler.inside, flux, np.nan)
        dtype = cube.data.dtype
        meta = _carried_meta(cube.meta, self.pairs)
        meta["degrade"] = {
            "from_survey": None if cube.survey is None else cube.survey.name, "bands": dict(self.pairs),
            "matching": self.config.matching, "fwhm_arcsec": self.fwhm_arcsec, "pixel_side_ratio": self.scale_ratio,
            "noise_left": None if left is None else [float(np.sqrt(np.median(plane))) for plane in left]}
        return BandCube(
            flux.astype(dtype), unit=self.survey.unit, bands=self.survey.band_names, survey=self.survey,
            wcs=scaled_wcs(cube.wcs, self.sampler.origin, self.scale_ratio, self.sampler.new_shape),
            mask=bad if bad.any() or cube.mask is not None else None, psf=self.psf.astype(np.float32), meta=meta,
            uncertainty=None if deviation is None else _like(cube.uncertainty, deviation.astype(dtype)))

    def _planes(self, cube):
        """Return flux, variance of the image that is left or None, in the unit of the survey, and bad pixels."""
        zero_points = cube.zero_points
        if zero_points is None:
            raise ValueError(f"image must have a zero point in meta['zero_point'], or a survey, got unit {cube.unit}")
        flux, variances, bads = [], [], []
        # An image of zeros alone is a sky without sources, to which noise is added.
        empty = empty_pixels(cube.data) if np.any(cube.data) else np.zeros(cube.shape, dtype=bool)
        known = None if cube.uncertainty is None else cube.uncertainty.represent_as(VarianceUncertainty).array
        for i, band, transform in zip(self.index, self.survey, self.transforms):
            factor = 10 ** (0.4 * (band.zero_point - zero_points[i]))
            data = np.asarray(cube.data[i], dtype=float) * factor
            bad = ~np.isfinite(data) | empty[i]
            if cube.mask is not None:
                bad |= cube.mask[i]
            variance = _variance_of(cube, i, known, factor)
            if variance is not None:
                bad |= ~np.isfinite(variance) | (variance < 0)
                variances.append(self.sampler.variance(_filled(variance, bad), transform))
            flux.append(self.sampler.flux(_filled(data, bad), transform))
            bads.append(self.sampler.bad(bad, transform))
        return np.stack(flux), np.stack(variances) if variances else None, np.stack(bads)

    def _noisy(self, flux, left, bad, rng):
        """Return flux with the noise of the survey beyond that of the image, and the deviation of both."""
        sky = (self.survey.sky_noise ** 2)[:, np.newaxis, np.newaxis]
        gain = np.array([band.gain for band in self.survey])[:, np.newaxis, np.newaxis]
        wanted = sky + np.maximum(flux, 0) / gain
        if left is None:
            left = np.zeros_like(flux)
        for name, one, other, hidden in zip(self.survey.band_names, sky, left, bad):
            # The noise of the sky, also where a source with its photons fills half of the image.
            own = np.percentile(other[~hidden], 25) if not hidden.all() else 0
            if own > one.item() * (1 + 1e-6):
                raise ValueError(
                    f"image is noisier in band {name} than survey {self.survey.name}: {np.sqrt(own):.4g} compared "
                    f"with {np.sqrt(one.item()):.4g} {self.survey.unit} per pixel of the survey")
        noise = rng.standard_normal(flux.shape) * np.sqrt(np.maximum(wanted - left, 0))
        return flux + noise, np.sqrt(np.maximum(wanted, left))


def _checked_shape(shape):
    shape = tuple(int(side) for side in shape)
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"shape must be (ny, nx), got {shape}")
    return shape


def _paired(cube, survey, bands):
    """Return a dict of band of the survey to band of the image, in the order of the survey."""
    if bands is not None:
        unknown = [name for name in bands.values() if name not in cube.bands]
        if unknown or len(set(bands.values())) < len(bands):
            raise BandMismatchError(f"bands must name different bands of the image, {', '.join(cube.bands)}, "
                                    f"got {', '.join(bands.values())}")
        names = survey.select(bands).band_names
        return {name: bands[name] for name in names}
    found = {band.name: band.name for band in survey if band.name in cube.bands}
    if cube.survey is not None:
        free = [band for band in cube.survey if band.name not in found.values()]
        for band in survey:
            if band.name in found or not free:
                continue
            distance = [abs(np.log(other.effective_wavelength / band.effective_wavelength)) for other in free]
            if min(distance) < _MAX_DISTANCE:
                found[band.name] = free.pop(int(np.argmin(distance))).name
    if not found:
        raise BandMismatchError(f"survey {survey.name} has bands {', '.join(survey.band_names)}, and none of the "
                                f"image's bands {', '.join(cube.bands)} is near any of them")
    return {name: found[name] for name in survey.band_names if name in found}


def _variance_of(cube, index, known, factor):
    """Return the variance of a band in the unit of the survey, or None."""
    if known is not None:
        return np.asarray(known[index], dtype=float) * factor**2
    if cube.survey is None:
        return None
    own = cube.survey.bands[index]
    # The sky noise is in the unit of the survey of the cube, the cube may be in another.
    scale = 10 ** (0.4 * (cube.zero_points[index] - own.zero_point))
    return np.full(cube.shape[1:], (own.sky_noise * scale * factor) ** 2)


def _filled(plane, bad):
    """Return the plane with the value of the nearest good pixel in each bad one."""
    if not bad.any():
        return plane
    if bad.all():
        return np.zeros_like(plane)
    nearest = ndimage.distance_transform_edt(bad, return_distances=False, return_indices=True)
    return plane[tuple(nearest)]


def _like(uncertainty, deviation):
    """Return a standard deviation as the kind of uncertainty of the image."""
    if isinstance(uncertainty, VarianceUncertainty):
        return VarianceUncertainty(deviation**2)
    if isinstance(uncertainty, InverseVariance):
        with np.errstate(divide="ignore"):
            return InverseVariance(np.where(deviation > 0, 1 / deviation**2, 0).astype(deviation.dtype))
    return StdDevUncertainty(deviation)


def _carried_meta(meta, pairs):
    """Return the meta of the image without its flux scale, and with the meta of bands under their new names."""
    carried = {key: deepcopy(value) for key, value in meta.items() if key not in ("zero_point", "band_meta")}
    if "band_meta" in meta:
        own = {name: deepcopy(meta["band_meta"].get(old, {})) for name, old in pairs.items()}
        for values in own.values():
            for key in ("zero_point", "gain"):
                values.pop(key, None)
        carried["band_meta"] = own
    return carried
