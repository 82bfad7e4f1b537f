"""Measures of a galaxy in its input image that tell what it is, and whether the image is sound."""

from functools import lru_cache

import astropy.units as u
import numpy as np
import torch
from scipy import ndimage, sparse

from astro_galtrans._utils.psf import MOFFAT_BETA, PIXEL_FWHM
from astro_galtrans.backbones import aperture_fluxes, log_apertures

__all__ = ["measure"]

_RADII = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)  # pixels
_INNER, _OUTER = 1, 5  # of them, for the comparison with a point source
_MAIN = 5
_BORDER = 3  # pixels
_NEAR, _FAR = 2.5, 10.0  # pixels from the center, between which a second peak is looked for
_N_ANGLES = 24
_ABOVE = 2.0  # standard deviations above which a pixel counts for a line
_UNEQUAL = 0.3  # of the flux opposite the center, that does not count
_SHORTEST = 0.6  # line, of the side of the image
_CORE = 9  # pixels, side of the core of an image
_FLAT = 8  # brightest pixels of which a plateau consists
_BRIGHT = 100.0  # signal-to-noise of a pixel from which a plateau is looked for


def measure(flux, valid, noise, fwhm, survey, survey_noise):
    """Return a dict of measures by name, each of shape ``(galaxy,)``, NaN where unknown.

    Parameters
    ----------
    flux : ndarray
        Shape ``(galaxy, band, y, x)``, 0 where it is not valid.
    valid : ndarray of bool
        Pixels with data, of the same shape.
    noise, fwhm : ndarray
        Stated noise of the sky, and FWHM of the PSF in arcsec, shape ``(galaxy, band)``, NaN where unknown.
    survey : Survey
    survey_noise : ndarray
        Usual noise of the sky, shape ``(band,)``.
    """
    scale = survey.pixel_scale.to_value(u.arcsec)
    usual = np.array([band.psf_fwhm.to_value(u.arcsec) for band in survey])
    names = survey.band_names
    found = {f"noise {name}": np.log(noise[:, k] / survey_noise[k]) for k, name in enumerate(names)}
    found |= {f"psf {name}": np.log(fwhm[:, k] / usual[k]) for k, name in enumerate(names)}
    found["masked"] = 1 - valid.mean((1, 2, 3))
    found["core masked"] = 1 - _core(valid).mean((2, 3)).min(1)
    flux = np.where(valid, flux, np.where(valid[..., ::-1, ::-1], flux[..., ::-1, ::-1], 0))
    relative = flux / np.where(np.isfinite(noise), noise, survey_noise)[:, :, None, None]

    radii = tuple(radius for radius in _RADII if radius <= max(min(flux.shape[-2:]) / 2, _RADII[_MAIN]))
    tensor = torch.from_numpy(np.ascontiguousarray(flux, dtype=np.float32))
    unit = torch.from_numpy(np.asarray(survey_noise, dtype=np.float32))[:, None, None]
    log_flux = log_apertures(tensor, unit, (_RADII[2], _RADII[_MAIN])).numpy()
    found |= {f"flux {name}": log_flux[:, k, 1] for k, name in enumerate(names)}
    for k in range(len(names) - 1):
        found[f"color {names[k]}{names[k + 1]}"] = log_flux[:, k, 1] - log_flux[:, k + 1, 1]
        found[f"inner color {names[k]}{names[k + 1]}"] = log_flux[:, k, 0] - log_flux[:, k + 1, 0]
    found["magnitude"] = log_flux[:, len(names) // 2, 1]
    stack = relative.sum(1) / np.sqrt(len(names))
    found |= _shape(stack, radii, _stack_fwhm(relative, np.where(np.isfinite(fwhm), fwhm, usual) / scale))
    found |= _second_source(stack)
    found |= _border(relative, names)
    found["trail"] = _line(relative)
    found["plateau"] = _plateau(relative, valid)
    found["peak"] = np.arcsinh(stack.max((1, 2)) / 2)
    return found


def _core(images):
    y, x = ((n - min(n, _CORE)) // 2 for n in images.shape[-2:])
    return images[..., y:y + _CORE, x:x + _CORE]


def _stack_fwhm(relative, fwhm):
    """FWHM in pixels of the PSF of the sum of all bands, by their share of its flux."""
    share = np.maximum(_core(relative).sum((2, 3)), 1e-3)
    return np.sqrt((share * fwhm**2).sum(1) / share.sum(1))


def _shape(stack, radii, fwhm):
    growth = aperture_fluxes(torch.from_numpy(stack[:, None].astype(np.float32)), radii)[0][:, 0].numpy()
    growth = np.maximum(growth, 1e-3)
    point = 1 - (1 + np.array(radii)**2 / _moffat_scale(fwhm)[:, None]**2) ** (1 - MOFFAT_BETA)
    found = {}
    for name, inner, outer in (("extent", _INNER, _OUTER), ("wide extent", 3, len(radii) - 1)):
        own, expected = (curve[:, inner] / curve[:, outer] for curve in (growth, point))
        found[name] = np.log(expected / own)
    half = growth / growth[:, -1:]
    found["size"] = np.array([np.log(np.interp(0.5, np.maximum.accumulate(row), radii)) for row in half])
    return found


def _moffat_scale(fwhm):
    return np.hypot(fwhm, PIXEL_FWHM) / (2 * np.sqrt(2 ** (1 / MOFFAT_BETA) - 1))


def _second_source(stack):
    """Flux on one side of the center that the other side does not have."""
    y, x = (np.arange(n) - (n - 1) / 2 for n in stack.shape[-2:])
    radius = np.hypot(y[:, None], x)
    smooth = ndimage.uniform_filter(stack, (0, 3, 3), mode="nearest")
    excess = smooth - smooth[:, ::-1, ::-1]
    around = (radius > _NEAR) & (radius < _FAR)
    center = np.maximum(smooth[:, radius < _NEAR].max(1), 1.0)
    within = radius < _FAR
    total = np.maximum(stack[:, within].sum(1), 1.0)
    # The mean of |a - b| of two pixels of unit noise.
    asymmetry = np.abs(stack - stack[:, ::-1, ::-1])[:, within].sum(1) - 2 / np.sqrt(np.pi) * within.sum()
    far = radius >= _FAR
    peaks = (smooth >= ndimage.maximum_filter(smooth, (0, 3, 3), mode="nearest")) & around
    separate = np.where(peaks, excess, 0).max((1, 2))
    return {"second peak": np.log(np.maximum(excess[:, around].max(1, initial=0) / center, 1e-3)),
            "separate peak": np.log(np.maximum(separate / center, 1e-3)),
            "asymmetry": np.arcsinh(5 * asymmetry / total),
            "outer peak": np.arcsinh(smooth[:, far].max(1, initial=0) / 2)}


def _border(relative, names):
    """Level and scatter of the sky at the border over the stated noise."""
    border = np.ones(relative.shape[-2:], bool)
    border[_BORDER:-_BORDER, _BORDER:-_BORDER] = False
    low, level, high = np.percentile(relative[:, :, border], (16, 50, 84), axis=2)
    found = {}
    for k, name in enumerate(names):
        found[f"sky {name}"] = np.arcsinh(level[:, k])
        found[f"sky scatter {name}"] = np.log(np.maximum((high - low)[:, k] / 2, 0.05))
    return found


@lru_cache(maxsize=8)
def _lines(n_y, n_x):
    """Sparse matrix of the mean over straight lines of two pixels width across an image, and their offsets."""
    y, x = np.indices((n_y, n_x)) - np.array([(n_y - 1) / 2, (n_x - 1) / 2])[:, None, None]
    rows, offsets = [], []
    reach = min(n_y, n_x) // 2
    for angle in np.arange(_N_ANGLES) * np.pi / _N_ANGLES:
        across = (x * np.cos(angle) + y * np.sin(angle)).ravel()
        for offset in range(-reach, reach + 1):
            inside = np.abs(across - offset) <= 1
            if inside.sum() >= 2 * _SHORTEST * min(n_y, n_x):
                rows.append(inside / inside.sum())
                offsets.append(abs(offset))
    return sparse.csr_matrix(np.array(rows, dtype=np.float32)), np.array(offsets)


def _line(relative):
    """Largest share of pixels along a straight line that are brighter than opposite the center and in other bands.

    It is beyond the median share of the lines that are as far from the center.
    """
    matrix, offsets = _lines(*relative.shape[-2:])
    opposite = relative[:, :, ::-1, ::-1]
    excess = relative - opposite - _UNEQUAL * np.maximum(opposite, 0)
    if excess.shape[1] > 1:
        # Other bands see galaxies and stars, but not the trail.
        own = ndimage.uniform_filter(excess, (0, 0, 3, 3), mode="nearest")
        second, top = np.split(np.sort(own, axis=1)[:, -2:], 2, axis=1)
        excess = excess - np.maximum(np.where(own >= top, second, top), 0)
    bright = (excess > _ABOVE).reshape(-1, relative.shape[-2] * relative.shape[-1]).astype(np.float32)
    share = (matrix @ bright.T).T
    most = np.zeros(len(share))
    for offset in np.unique(offsets):
        here = share[:, offsets == offset]
        np.maximum(most, here.max(1) - np.median(here, axis=1), out=most)
    return most.reshape(relative.shape[:2]).max(1)


def _plateau(relative, valid):
    """Logarithm of the relative range of the brightest pixels of a band, the smallest of the bands."""
    pixels = np.sort(np.where(_core(valid), _core(relative), 0).reshape(*relative.shape[:2], -1), axis=2)
    brightest, last = pixels[..., -1], pixels[..., -min(_FLAT, pixels.shape[2])]
    spread = np.where(brightest > _BRIGHT, 1 - last / np.maximum(brightest, 1), 1.0)
    return np.log(np.maximum(spread, 1e-3)).min(1)
