"""A deep image as a shallower survey would have taken it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Literal, TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty
from scipy import ndimage

from astro_galtrans._utils.masked import floats
from astro_galtrans._utils.numerics import numpy_defaults
from astro_galtrans.exceptions import BandMismatchError
from astro_galtrans.images import BandCube, as_band_cube, empty_pixels, like_input
from astro_galtrans.simulation._degrade_grid import Sampler, grid_shape, plain_wcs, scaled_wcs
from astro_galtrans.simulation._degrade_psf import MATCHINGS, match, psf_models
from astro_galtrans.surveys import get_survey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astropy.nddata import CCDData, NDData
    from astropy.units import Quantity
    from numpy.typing import ArrayLike

    from astro_galtrans.surveys import Survey

__all__ = ["Degrader", "degrade", "placed"]

_NEAREST = 0.1  # largest relative difference of effective wavelengths of bands that are taken for the same
_MIN_PSF_SIDE = 15


@numpy_defaults()
def degrade(
    image: BandCube | NDData | CCDData | Mapping[str, CCDData], survey: Survey | str, *,
    seed: int | Sequence[int] | None = None, noise: bool = True, bands: Mapping[str, str] | None = None,
    psf: Quantity | ArrayLike | None = None, target_psf: Quantity | ArrayLike | None = None,
    matching: Literal["kernel", "gaussian"] = "kernel", pixel_scale: Quantity | None = None,
    shape: tuple[int, ...] | None = None, noise_left: ArrayLike | None = None,
) -> Any:
    """A deep image as a shallower survey would have taken it: its PSF, pixels, flux unit and noise.

    Parameters
    ----------
    image : BandCube, `~astropy.nddata.NDData` or dict of `~astropy.nddata.CCDData`
        The deep image, without its background, ``(band, y, x)``.
    survey : Survey or str
        The shallower survey.
    seed : int or sequence of int
        Of the noise; it must be given unless ``noise`` is False.
    noise : bool, optional
        Whether noise is added.
    bands : dict of str to str, optional
        Band of the survey to band of the image. By default bands of the same name, and then those nearest in effective
        wavelength, to 10 per cent; bands of the survey without a partner are left out.
    psf : `~astropy.units.Quantity` or array_like, optional
        PSF of the image, pixel included: FWHM of a Moffat profile of beta 3.5, one or one a band of the image, or
        images of a star on the image's pixels. By default the image's own, or else the FWHM of its survey.
    target_psf : `~astropy.units.Quantity` or array_like, optional
        PSF wanted, likewise, one a band of the result and on the pixels of the survey; default the survey's FWHM.
    matching : {"kernel", "gaussian"}, optional
        ``"kernel"`` divides the two PSFs in Fourier space and gives the target's shape; ``"gaussian"`` broadens with
        the Gaussian that gives the target's FWHM, and keeps the wings of the image's PSF.
    pixel_scale : `~astropy.units.Quantity`, optional
        Side of a pixel of an image without a WCS, which gets a plain tangent projection around RA 0, Dec 0.
    shape : tuple of int, optional
        ``(ny, nx)`` of the result, around the same centre; default the largest that lies within the image.
    noise_left : array_like, optional
        Standard deviation, in the unit of the survey, of what is left of the image's own noise in a pixel of the
        result, one a band. By default it is propagated from the image's uncertainty (or the sky noise of its survey),
        with pixels taken as independent, which stacks are not: see `semi_real_pairs` for how to measure it.

    Returns
    -------
    BandCube, or the kind of ``image``
        In the unit of the survey with its WCS, mask, PSF, and the standard deviation of each pixel: that of the
        survey's sky and the photons of the source. A pixel is masked where bad pixels hold more than 5 per cent of
        the kernel. ``meta["degrade"]`` tells what was done.

    Raises
    ------
    ValueError
        If the target PSF is sharper than the image's, the image is noisier than the survey, pixels or PSF are not
        known, or the seed is missing.
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
    if not noise and seed is not None:
        raise ValueError(f"seed has no effect with noise=False, got {seed!r}")
    if noise and seed is None:
        raise ValueError("seed must be given for the noise, got None; noise=False adds none")
    cube, plain = placed(as_band_cube(image), pixel_scale)
    degrader = Degrader(cube, survey, shape=shape, bands=bands, psf=psf, target_psf=target_psf, matching=matching)
    result = degrader(cube, np.random.default_rng(seed) if noise else None, noise_left)
    result.meta["degrade"].update(seed=_plain_seed(seed) if noise else None, plain_wcs=plain)
    return like_input(result, image)


def _plain_seed(seed):
    return int(seed) if np.ndim(seed) == 0 else [int(one) for one in seed]


def placed(cube, pixel_scale):
    """The cube with a WCS, and whether that is a plain one."""
    if cube.wcs is not None:
        if pixel_scale is not None:
            raise ValueError(f"pixel_scale must not be given for an image with a WCS, got {pixel_scale}")
        return cube, False
    if pixel_scale is None:
        raise ValueError("pixel_scale must be given for an image without a WCS")
    return BandCube(cube, bands=cube.bands, survey=cube.survey, wcs=plain_wcs(cube.shape[1:], pixel_scale)), True


class Degrader:
    """Degrades images of one shape, pixel size and PSF; what does not depend on the flux is made once.

    Parameters
    ----------
    like : BandCube
        An image like all others, with a WCS.
    survey : Survey or str
        The shallower survey.
    shape, bands, psf, target_psf, matching
        As of `degrade`.
    size : tuple of int, optional
        ``(ny, nx)`` of the images, if not that of ``like``.
    """

    def __init__(self, like, survey, *, shape=None, bands=None, psf=None, target_psf=None, matching="kernel",
                 size=None):
        if matching not in MATCHINGS:
            raise ValueError(f"matching must be one of {', '.join(MATCHINGS)}, got {matching!r}")
        survey = get_survey(survey)
        self.pairs = _paired(like, survey, bands)
        self.survey = survey.select(self.pairs)
        self.index = [like.bands.index(name) for name in self.pairs.values()]
        scale = like.pixel_scale
        self.step = float((survey.pixel_scale / scale).to_value(u.dimensionless_unscaled))
        size = like.shape[1:] if size is None else tuple(size)
        self._match(like, psf, target_psf, matching, scale.to_value(u.arcsec))
        # The kernel's own width is below that of the PSF it makes.
        margin = int(np.ceil(3 * max(self.fwhm_after)))
        shape = grid_shape(size, scale, survey.pixel_scale) if shape is None else _checked_shape(shape)
        self.sampler = Sampler(size, shape, self.step, margin)
        self.transforms = [kernel.transform(self.sampler.fy, self.sampler.fx) for kernel in self.kernels]

    def _match(self, like, psf, target_psf, matching, scale):
        if psf is None:
            psf = like.psf
            if psf is None and like.survey is None:
                raise ValueError("psf must be given for an image with neither a PSF nor a survey")
            psf = u.Quantity([band.psf_fwhm for band in like.survey]) if psf is None else psf
        if target_psf is None:
            target_psf = u.Quantity([band.psf_fwhm for band in self.survey])
        models = psf_models("psf", psf, like.bands, scale)
        wanted = psf_models("target_psf", target_psf, self.survey.band_names, scale, self.step)
        self.matching = matching
        matched = [match(models[i], target, matching, name)
                   for i, target, name in zip(self.index, wanted, self.survey.band_names)]
        self.kernels, before, self.fwhm_after = zip(*matched)
        self.fwhm_arcsec = {name: [float(one * scale), float(other * scale)] for name, one, other in zip(
            self.survey.band_names, before, self.fwhm_after)}
        side = 2 * int(np.ceil(4 * max(self.fwhm_after) / self.step)) + 1
        if not isinstance(psf, u.Quantity):
            side = max(side, 2 * int(np.shape(psf)[-1] / self.step / 2) + 1)
        side = max(side, _MIN_PSF_SIDE)
        self.psf = np.stack([kernel.psf(side, self.step) for kernel in self.kernels])

    def __call__(self, cube, rng=None, noise_left=None):
        """The image degraded, a BandCube; with noise from ``rng`` if there is one."""
        if cube.shape[1:] != self.sampler.shape:
            raise ValueError(f"image must have {self.sampler.shape} pixels, got {cube.shape[1:]}")
        flux, left, bad = self._planes(cube)
        if noise_left is not None:
            given = np.broadcast_to(floats(noise_left, "noise_left", dtype=float), len(self.survey))
            left = np.broadcast_to(given[:, np.newaxis, np.newaxis] ** 2, flux.shape)
        deviation = None if left is None else np.sqrt(left)
        if rng is not None:
            flux, deviation = self._noisy(flux, left, bad, rng)
        outside = np.broadcast_to(~self.sampler.inside, flux.shape)
        flux = np.where(outside, np.nan, flux)
        dtype = cube.data.dtype
        meta = _carried_meta(cube.meta, self.pairs)
        meta["degrade"] = {
            "from_survey": None if cube.survey is None else cube.survey.name, "bands": dict(self.pairs),
            "matching": self.matching, "fwhm_arcsec": self.fwhm_arcsec, "pixel_side_ratio": self.step,
            "noise_left": None if left is None else [float(np.sqrt(np.median(plane))) for plane in left]}
        return BandCube(
            flux.astype(dtype), unit=self.survey.unit, bands=self.survey.band_names, survey=self.survey,
            wcs=scaled_wcs(cube.wcs, self.sampler.origin, self.step, self.sampler.new_shape),
            mask=bad if bad.any() or cube.mask is not None else None, psf=self.psf.astype(np.float32), meta=meta,
            uncertainty=None if deviation is None else _like(cube.uncertainty, deviation.astype(dtype)))

    def _planes(self, cube):
        """Flux, variance left of the image's own noise or None, in the survey's unit, and what is bad."""
        zero_points = cube.zero_points
        if zero_points is None:
            raise ValueError(f"image is in {cube.unit} without a zero point; give it in meta['zero_point'] or with a "
                             "survey")
        flux, variances, bads = [], [], []
        # an image of zeros alone is a sky without sources, on which noise is asked for
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
        """Flux with what the survey's noise is above the noise that the image has already, and the deviation of both.
        """
        sky = (self.survey.sky_noise ** 2)[:, np.newaxis, np.newaxis]
        gain = np.array([band.gain for band in self.survey])[:, np.newaxis, np.newaxis]
        wanted = sky + np.maximum(flux, 0) / gain
        if left is None:
            left = np.zeros_like(flux)
        for name, one, other, hidden in zip(self.survey.band_names, sky, left, bad):
            # the sky's, also where a source with its photons fills half of the image
            own = np.percentile(other[~hidden], 25) if not hidden.all() else 0
            if own > one.item() * (1 + 1e-6):
                raise ValueError(
                    f"image is noisier in band {name} than survey {self.survey.name}: {np.sqrt(own):.4g} against "
                    f"{np.sqrt(one.item()):.4g} {self.survey.unit} a pixel of the survey")
        noise = rng.standard_normal(flux.shape) * np.sqrt(np.maximum(wanted - left, 0))
        return flux + noise, np.sqrt(np.maximum(wanted, left))


def _checked_shape(shape):
    shape = tuple(int(side) for side in shape)
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"shape must be (ny, nx), got {shape}")
    return shape


def _paired(cube, survey, bands):
    """Band of the survey to band of the image, in the order of the survey."""
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
            if min(distance) < _NEAREST:
                found[band.name] = free.pop(int(np.argmin(distance))).name
    if not found:
        raise BandMismatchError(f"survey {survey.name} has bands {', '.join(survey.band_names)}, and none of the "
                                f"image's bands {', '.join(cube.bands)} is near one of them")
    return {name: found[name] for name in survey.band_names if name in found}


def _variance_of(cube, index, known, factor):
    """Variance of one band in the survey's unit, or None."""
    if known is not None:
        return np.asarray(known[index], dtype=float) * factor**2
    if cube.survey is None:
        return None
    own = cube.survey.bands[index]
    # the sky noise is in the unit of the cube's survey, the cube perhaps in another
    scale = 10 ** (0.4 * (cube.zero_points[index] - own.zero_point))
    return np.full(cube.shape[1:], (own.sky_noise * scale * factor) ** 2)


def _filled(plane, bad):
    """The plane with each bad pixel given the value of the nearest good one."""
    if not bad.any():
        return plane
    if bad.all():
        return np.zeros_like(plane)
    nearest = ndimage.distance_transform_edt(bad, return_distances=False, return_indices=True)
    return plane[tuple(nearest)]


def _like(uncertainty, deviation):
    """A standard deviation as the kind of uncertainty that the image came with."""
    if isinstance(uncertainty, VarianceUncertainty):
        return VarianceUncertainty(deviation**2)
    if isinstance(uncertainty, InverseVariance):
        with np.errstate(divide="ignore"):
            return InverseVariance(np.where(deviation > 0, 1 / deviation**2, 0).astype(deviation.dtype))
    return StdDevUncertainty(deviation)


def _carried_meta(meta, pairs):
    """The meta of the image, with what is told of a band under its new name, and without its flux scale."""
    carried = {key: deepcopy(value) for key, value in meta.items() if key not in ("zero_point", "band_meta")}
    if "band_meta" in meta:
        own = {name: deepcopy(meta["band_meta"].get(old, {})) for name, old in pairs.items()}
        for told in own.values():
            for key in ("zero_point", "gain"):
                told.pop(key, None)
        carried["band_meta"] = own
    return carried
