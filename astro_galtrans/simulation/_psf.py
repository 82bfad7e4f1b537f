"""Point spread functions of single images, as Fourier transforms."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import gamma, j0, kv

__all__ = ["Blurs", "PSF", "draw_psfs", "quadratic_form"]

# The tables have the transform at multiples of this wave number times the FWHM.
_SPACING, _N_VALUES = 0.02, 2400
_BETA_STEP = 0.05
_BETAS = (1.6, 12.0)
_MAX_ELLIPTICITY = 0.3


@dataclass(frozen=True)
class PSF:
    """An elliptical profile with wings, of flux 1.

    Parameters
    ----------
    fwhm : float
        Full width at half maximum in arcsec, the geometric mean of both axes.
    e1, e2 : float
        Ellipticity (a^2 - b^2) / (a^2 + b^2) times the cosine and the sine of twice the angle from x toward y.
    beta : float
        Exponent of the Moffat profile of the core, used to 0.05; 0 is a diffraction-limited core.
    wings, wing_scale : float
        Fraction of the flux in wings of profile (1 + (r / s)^2)^-1.5, and s in FWHM of the core.
    obscuration, blur : float
        Of a diffraction-limited core, as of `PSFConditions`.
    """

    fwhm: float
    e1: float = 0.0
    e2: float = 0.0
    beta: float = 3.5
    wings: float = 0.0
    wing_scale: float = 3.0
    obscuration: float = 0.33
    blur: float = 0.5

    def transform(self, kx, ky):
        """Return the real Fourier transform, float32 of shape ``(ny, nx)``, at wave numbers in rad/arcsec."""
        values, slopes, width = _table(round(self.beta / _BETA_STEP), self.wings, self.wing_scale, self.obscuration,
                                       self.blur)
        norm = (self.fwhm / width / _SPACING) ** 2 / np.sqrt(1 - self.e1**2 - self.e2**2)
        kx, ky = np.asarray(kx, dtype=np.float32), np.asarray(ky, dtype=np.float32)
        place = quadratic_form(kx, ky, (1 + self.e1) * norm, self.e2 * norm, (1 - self.e1) * norm)
        np.sqrt(np.minimum(place, (_N_VALUES - 1) ** 2, out=place), out=place)
        # Its fraction is taken in float32: an array of integers makes it float64, which is slower.
        whole = np.floor(place)
        index = whole.astype(np.intp)
        place -= whole
        # Every index is in range; mode "clip" spares numpy a slower check of it.
        place *= slopes.take(index, mode="clip")
        place += values.take(index, mode="clip")
        return place


def quadratic_form(kx, ky, xx, xy, yy):
    """Return xx kx^2 + 2 xy kx ky + yy ky^2, not negative, for float32 arrays, of shape ``(len(ky), len(kx))``."""
    along_y, along_x = np.ones((len(ky), 3), dtype=np.float32), np.ones((3, len(kx)), dtype=np.float32)
    along_y[:, 0], along_y[:, 1] = yy * ky * ky, 2 * xy * ky
    along_x[1], along_x[2] = kx, xx * kx * kx
    form = along_y @ along_x
    return np.maximum(form, 0, out=form)


class Blurs:
    """Transforms of the PSFs of all bands on Fourier grids of one fine pixel scale.

    ``psfs`` is a list of `PSF`, one per band.
    """

    def __init__(self, psfs):
        self.psfs, self._known = psfs, {}

    def on(self, n, kx, ky):
        """Return float32 transforms of shape ``(band, ky, kx)`` on a grid of ``n`` by ``n`` fine pixels.

        They are taken from those of a known grid of a multiple of ``n``, which has the same wave numbers among others.
        """
        for known, planes in self._known.items():
            if known % n == 0:
                return planes[:, ::known // n, ::known // n]
        self._known[n] = np.stack([psf.transform(kx, ky) for psf in self.psfs])
        return self._known[n]


@lru_cache(maxsize=1024)
def _table(steps, wings, wing_scale, obscuration, blur):
    """Return the transform of a core of FWHM 1 with wings, its differences, and the FWHM of both together."""
    core = _moffat(steps) if steps else _diffraction(obscuration, blur)
    k = _SPACING * np.arange(_N_VALUES)
    values = core + wings * (np.exp(-wing_scale * k) - core)
    width = _fwhm_from(*_near_half_maximum(), values) if wings else 1.0
    values = values.astype(np.float32)
    return values, np.append(np.diff(values), np.float32(0)), width


@lru_cache(maxsize=256)
def _moffat(steps):
    """Return the transform of a Moffat profile of FWHM 1: Trujillo et al. (2001, MNRAS 328, 977), appendix."""
    beta = steps * _BETA_STEP
    order = beta - 1
    k = np.maximum(_SPACING * np.arange(_N_VALUES), 1e-6) / (2 * np.sqrt(2 ** (1 / beta) - 1))
    values = 2 / gamma(order) * (k / 2) ** order * kv(order, k)
    values[0] = 1.0
    return values


@lru_cache(maxsize=64)
def _diffraction(obscuration, blur):
    """Return the transform of the diffraction pattern of an annular mirror, blurred by a Gaussian, of FWHM 1.

    The transform is the autocorrelation of the mirror (O'Neill 1956, J. Opt. Soc. Am. 46, 285).
    """
    # Wave numbers in units of the cutoff.
    k = np.linspace(0, 1, 2001)
    pattern = (_overlap(1, 1, 2 * k) - 2 * _overlap(1, obscuration, 2 * k) + _overlap(obscuration, obscuration, 2 * k))
    pattern /= pattern[0]
    sigma = blur * _measured_fwhm(k, pattern) / np.sqrt(8 * np.log(2))
    blurred = pattern * np.exp(-(k * sigma) ** 2 / 2)
    fwhm = _measured_fwhm(k, blurred)
    return np.interp(_SPACING * np.arange(_N_VALUES), k * fwhm, blurred, right=0.0)


def _overlap(one, other, distance):
    """Return the area that two circles have in common."""
    if min(one, other) == 0:
        return np.zeros_like(distance)
    small = np.pi * min(one, other) ** 2
    d = np.clip(distance, max(abs(one - other), 1e-9), one + other)
    angle = np.arccos(np.clip((d**2 + one**2 - other**2) / (2 * d * one), -1, 1))
    opposite = np.arccos(np.clip((d**2 + other**2 - one**2) / (2 * d * other), -1, 1))
    root = (one + other - d) * (d + one - other) * (d - one + other) * (d + one + other)
    area = one**2 * angle + other**2 * opposite - np.sqrt(np.clip(root, 0, None)) / 2
    return np.where(distance <= abs(one - other), small, np.where(distance >= one + other, 0, area))


def _measured_fwhm(k, transform):
    """Return the FWHM of a profile from its transform at wave numbers of constant spacing from 0."""
    radii = np.linspace(0, 8, 801)
    return _fwhm_from(radii, _to_profile(radii, k), transform)


def _to_profile(radii, k):
    """Return the matrix that gives a profile at the radii from its transform at wave numbers of constant spacing."""
    weights = k * (k[1] - k[0])
    weights[-1] /= 2
    return j0(np.outer(radii, k)) * weights


@lru_cache(maxsize=1)
def _near_half_maximum():
    """Return radii, the first 0 and the others near half the FWHM of a core, and the matrix of `_to_profile`."""
    radii = np.append(0, np.linspace(0.4, 0.7, 31))
    return radii, _to_profile(radii, _SPACING * np.arange(_N_VALUES))


def _fwhm_from(radii, to_profile, transform):
    """Return the FWHM of a profile from its transform, given radii of which the first is 0."""
    profile = to_profile @ transform
    first = int(np.argmax(profile < profile[0] / 2))
    return 2 * np.interp(-profile[0] / 2, -profile[first - 1:first + 1], radii[first - 1:first + 1])


def draw_psfs(rng, part, conditions):
    """Return a `PSF` for each band.

    Parameters
    ----------
    rng : numpy.random.Generator
    part : PSFVariation or None
        None for the median round PSF.
    conditions : SurveyConditions
    """
    psf, deviates = conditions.psf, rng.standard_normal((4, len(conditions.bands) + 1))
    width_scale, ellipticity_scale = (0, 0) if part is None else (part.width_scale, part.ellipticity_scale)

    def spread(row, common, band):
        return np.multiply(common, deviates[row, 0]) + np.multiply(band, deviates[row, 1:])

    fwhm = psf.fwhm * np.exp(width_scale * spread(0, psf.scatter, psf.band_scatter))
    e1, e2 = (ellipticity_scale * spread(row, psf.ellipticity, psf.band_ellipticity) for row in (1, 2))
    shrink = 1 / np.maximum(np.hypot(e1, e2) / _MAX_ELLIPTICITY, 1)
    beta = np.multiply(psf.beta, np.exp(width_scale * np.multiply(psf.beta_scatter, deviates[3, 1:])))
    beta = np.where(np.equal(psf.beta, 0), 0, np.clip(beta, *_BETAS))
    columns = np.broadcast_arrays(fwhm, e1 * shrink, e2 * shrink, beta, psf.wings, psf.wing_scale, psf.obscuration,
                                  psf.blur)
    return [PSF(*map(float, row)) for row in zip(*columns)]
