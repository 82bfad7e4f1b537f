"""What is measured on each galaxy: numbers per galaxy and band, from which all tables are made."""

import astropy.units as u
import numpy as np

from astro_galtrans.gradients import annulus_weights, aperture_weights, radial_fluxes

__all__ = [
    "Rulers", "aperture_noise", "color_pairs", "coverage_counts", "image_measures", "magnitudes", "pixel_measures",
]


class Rulers:
    """Fixed apertures and annuli on the pixel grid of one survey's stamps.

    Parameters
    ----------
    survey : Survey
    shape : tuple of int
        ``(y, x)`` of the stamps.
    aperture_radii, annuli : sequence of float
        Radii of the apertures and edges of the annuli, in arcsec.
    """

    def __init__(self, survey, shape, aperture_radii, annuli):
        self.survey, self.shape = survey, tuple(shape)
        scale = survey.pixel_scale
        self.apertures = np.stack([aperture_weights(shape, radius, scale) for radius in aperture_radii])
        self.annuli = annulus_weights(shape, annuli, scale)
        # the peak is looked for within 2 arcsec of the centre, in means over about 0.6 arcsec
        self.central = aperture_weights(shape, 2.0, scale) > 0.5
        self.smooth = max(1, int(round(0.6 / scale.to_value(u.arcsec) / 2 - 0.5)) * 2 + 1)


def color_pairs(survey):
    """Neighbouring bands, as (("u", "g"), ("g", "r"), ...)."""
    return tuple(zip(survey.band_names, survey.band_names[1:]))


def image_measures(flux, rulers):
    """Aperture, annulus and peak fluxes of many stamps.

    Returns
    -------
    dict of ndarray
        ``aperture`` (n, band, radius), ``annulus`` (n, band, annulus), ``peak`` (n, band).
    """
    from scipy.ndimage import uniform_filter

    rows, columns = np.flatnonzero(rulers.central.any(axis=1)), np.flatnonzero(rulers.central.any(axis=0))
    window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    size = rulers.smooth
    # pixels beyond the window count too in the means at its edge, so that half a kernel is kept around it
    grown = tuple(slice(max(0, part.start - size // 2), part.stop + size // 2) for part in window)
    local = uniform_filter(flux[(..., *grown)], size=(1, 1, size, size), mode="nearest")
    central = rulers.central[grown]
    return {
        "aperture": radial_fluxes(flux, rulers.apertures),
        "annulus": radial_fluxes(flux, rulers.annuli),
        "peak": np.where(central, local, -np.inf).max(axis=(2, 3)).astype(float),
    }


def aperture_noise(flux, weight, rulers):
    """Standard deviation of aperture fluxes from the noise of their pixels.

    Parameters
    ----------
    flux : ndarray of shape (n, band, y, x)
        Whose noise it is.
    weight : ndarray or None
        Its inverse variance; pixels of weight 0 count nowhere. None: the noise of the survey's sky.
    rulers : Rulers
        Of its survey.

    Returns
    -------
    ndarray of shape (n, band, radius)
    """
    if weight is None:
        sky = rulers.survey.sky_noise[:, None] * np.sqrt((rulers.apertures**2).sum(axis=(1, 2)))
        return np.broadcast_to(sky, (len(flux), *sky.shape)).astype(float)
    variance = np.divide(1, weight, out=np.zeros(weight.shape, dtype=np.float32), where=weight > 0)
    return np.sqrt(radial_fluxes(variance, rulers.apertures**2))


def pixel_measures(flux, reference, target, weight):
    """Pixel-by-pixel agreement of stamps with the reference and, in units of the noise, with the real target.

    Parameters
    ----------
    flux, reference, target : ndarray of shape (n, band, y, x)
    weight : ndarray or None
        Inverse variance of ``target``; pixels of weight 0 are left out everywhere.

    Returns
    -------
    dict of ndarray of shape (n, band)
    """
    used = np.isfinite(target) if weight is None else weight > 0
    error = np.where(used, flux - reference, 0).astype(float)
    truth = np.where(used, reference, 0).astype(float)
    count = np.maximum(used.sum(axis=(2, 3)), 1)
    axes = (2, 3)
    total, power = truth.sum(axis=axes), (truth**2).sum(axis=axes)
    estimate = error + truth
    mean_e, mean_t = estimate.sum(axis=axes) / count, total / count
    covariance = (estimate * truth).sum(axis=axes) / count - mean_e * mean_t
    variances = ((estimate**2).sum(axis=axes) / count - mean_e**2) * (power / count - mean_t**2)
    result = {
        "residual": _ratio(error.sum(axis=axes), total),
        "rmse": np.sqrt(_ratio((error**2).sum(axis=axes), power)),
        "correlation": _ratio(covariance, np.sqrt(np.maximum(variances, 0))),
        "chi2": np.full(total.shape, np.nan),
    }
    if weight is not None:
        deviation = np.where(used, flux - target, 0).astype(float)
        result["chi2"] = (deviation**2 * np.where(used, weight, 0)).sum(axis=axes) / count
    return result


def coverage_counts(flux, sigma, target, weight, n_samples=1):
    """How many target pixels lie within 68 and 95 % of the prediction, for all pixels and for those with a source.

    The spread of the difference is that of the prediction and of the target's own noise. Several samples imitate
    noise: their spread s is that of target images, and the target lies s sqrt(1 + 1/n) about the mean of n. A pixel
    has a source where the *prediction* is above 3 sigma of the target's noise: a cut on the noisy target would select
    its noise.

    Returns
    -------
    ndarray of shape (band, 2 regions, 5)
        Pixels; within 0.9945 sigma (68 %); within 1.96 sigma (95 %); sum and sum of squares of the pull.
    """
    used = weight > 0
    variance = sigma**2 * (1 + 1 / n_samples) if n_samples > 1 else sigma**2 + 1 / np.where(used, weight, 1)
    # samples that do not differ, as of an input without light, leave nothing to divide by
    variance = np.maximum(variance, np.finfo(np.float32).tiny)
    pull = np.where(used, flux - target, 0) / np.sqrt(variance)
    counts = []
    for region in (used, used & (flux * np.sqrt(np.where(used, weight, 0)) > 3)):
        size = np.abs(pull)
        parts = [region, region & (size < 0.99446), region & (size < 1.95996), pull * region, pull**2 * region]
        counts.append([part.sum(axis=(0, 2, 3), dtype=float) for part in parts])
    return np.moveaxis(np.array(counts), -1, 0)


def magnitudes(flux, survey, axis=1):
    """AB magnitudes of fluxes in the survey's unit along a band axis; NaN where not positive."""
    shape = [1] * np.ndim(flux)
    shape[axis] = len(survey)
    zero = np.array([band.zero_point for band in survey]).reshape(shape)
    flux = np.asarray(flux, dtype=float)
    return zero - 2.5 * np.log10(np.where(flux > 0, flux, np.nan))


def _ratio(a, b):
    return np.divide(a, b, out=np.full(np.shape(a), np.nan), where=np.abs(b) > 0)
