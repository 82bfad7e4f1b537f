"""The errors of a translator: their scatter and correlations, measured on pairs, and draws of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, TYPE_CHECKING

import astropy.units as u
import numpy as np
import torch
from scipy.special import expit, gammaln, stdtrit

from astro_galtrans.backbones import aperture_fluxes, aperture_masks
from astro_galtrans.translation._arrays import forward
from astro_galtrans.translation._inputs import Conditions, condition_rows
from astro_galtrans.translation._observing import noise_of, observing_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["ErrorModel", "measure_errors"]

_RADII = (1.0, 2.0, 4.0)  # arcsec
_SMOOTHNESS = 0.15  # width of the step between two rings over its radius
_SMALLEST_GROWTH = 1.05  # in area, of an aperture over the next inner one within a small image
_FREQUENCIES = (0.0, *np.geomspace(0.01, 0.75, 12))  # cycles per pixel
_MOST_PAIRS = 2048
_N_BATCH = 16
_MOST_MISSING = 0.02  # share of an aperture
_CLIP = 5.0  # standard deviations beyond which a pixel does not count further for the correlations
_FEWEST = 4  # values for a distribution
_FEWEST_BRIGHTNESS = 30  # galaxies for a dependence on the brightness
_MOST_PIXELS = 4096  # of each band, for the distribution of the errors of single pixels
_DEGREES = (100.0, 30.0, 15.0, 10.0, 7.0, 5.0, 4.0, 3.0)
_ITERATIONS = 15
_LARGEST_CHANGE = 0.25, 4.0  # of the variance of an aperture
_LEVEL = 0.68  # coverage that is matched
_SMALLEST = 1e-4  # eigenvalue of a covariance over the largest
_RANGE = 0.25, 2.0  # of the factor that keeps the standard deviation of a pixel


@dataclass(frozen=True, eq=False)
class ErrorModel:
    """Distribution of the errors of a translator, as factors of the standard deviation that it predicts.

    Errors are a stationary random field of given power spectra, correlated between bands, in which the errors of the
    fluxes in circular apertures around the center are replaced by draws from their own covariance over bands and
    apertures. Both are multivariate Student's t.

    Parameters
    ----------
    scale : ndarray
        Standard deviation of a pixel over that of the network, in the innermost aperture, the rings between apertures
        and outside, shape ``(band, radius + 1)``.
    radii : ndarray
        Of the apertures, in pixels, increasing.
    apertures : ndarray
        Scatter matrix of the aperture fluxes in units of their error for independent pixels, shape
        ``(band * radius, band * radius)``.
    slopes : ndarray
        Slope b of each aperture, for the factor exp(b (x - center)) of the errors of its flux; x is the mean over bands
        of the log of the flux in the widest aperture in the same units.
    brightness : ndarray
        Center, lowest and highest value of x.
    aperture_degrees, pixel_degrees : float
        Degrees of freedom.
    frequencies : ndarray
        Cycles per pixel.
    spectra : ndarray
        Cross spectra of the bands, shape ``(frequency, band, band)``.
    n_pairs : int
        Pairs on which it was measured.
    """

    scale: np.ndarray
    radii: np.ndarray
    apertures: np.ndarray
    slopes: np.ndarray
    brightness: np.ndarray
    aperture_degrees: float
    pixel_degrees: float
    frequencies: np.ndarray
    spectra: np.ndarray
    n_pairs: int

    def __post_init__(self) -> None:
        for name in ("scale", "radii", "apertures", "slopes", "brightness", "frequencies", "spectra"):
            object.__setattr__(self, name, np.array(getattr(self, name), dtype=np.float64))
        n_bands, n_radii, n_spectra = len(self.scale), len(self.radii), len(self.frequencies)
        wanted = {"scale": (n_bands, n_radii + 1), "radii": (n_radii,), "slopes": (n_radii,), "brightness": (3,),
                  "apertures": (n_bands * n_radii,) * 2, "frequencies": (n_spectra,),
                  "spectra": (n_spectra, n_bands, n_bands)}
        for name, shape in wanted.items():
            value = getattr(self, name)
            if value.shape != shape or not np.all(np.isfinite(value)):
                raise ValueError(f"{name} of the errors must be finite numbers of shape {shape}, got {value.shape}")
        for name in ("aperture_degrees", "pixel_degrees"):
            if not getattr(self, name) > 2:
                raise ValueError(f"{name} of the errors must be above 2, got {getattr(self, name)}")

    def to_tree(self) -> dict[str, Any]:
        """Return plain values and arrays, the arguments of the constructor.

        Returns
        -------
        dict
        """
        return asdict(self)

    @cached_property
    def _roots(self):
        return np.stack([_root(spectrum) for spectrum in self.spectra])

    def draws(
        self, flux: torch.Tensor, sigma: torch.Tensor,
        deviates: Iterable[tuple[torch.Tensor, Sequence[np.random.Generator]]],
    ) -> Iterator[torch.Tensor]:
        """Draw errors of a batch of galaxies.

        Parameters
        ----------
        flux, sigma : torch.Tensor
            Translation and its standard deviation, shape ``(galaxy, band, Y, X)``.
        deviates : iterable
            For each draw standard normal deviates of the shape of ``sigma``, and a generator of each galaxy for all
            else that is drawn.

        Yields
        ------
        torch.Tensor
            Errors in the unit of ``sigma``, of its shape.
        """
        drawing = _Drawing(self, flux, sigma)
        for noise, generators in deviates:
            yield drawing.draw(noise, generators)

    def scales(self, size: tuple[int, int]) -> np.ndarray:
        """Return ``scale`` for each pixel of an image of ``size`` (Y, X), with smooth steps.

        Parameters
        ----------
        size : tuple of int

        Returns
        -------
        ndarray
            Shape ``(band, Y, X)``.
        """
        return _scales(self.scale, self.radii, size)

    def _field(self, size):
        """Return square roots of the cross spectra of a field of unit variance, shape ``(band, band, Y, X)``."""
        y, x = (np.fft.fftfreq(n) for n in size)
        place = np.interp(np.hypot(y[:, None], x), self.frequencies, np.arange(len(self.frequencies)))
        low = np.minimum(place.astype(int), len(self.frequencies) - 2)
        part = (place - low)[..., None, None]
        roots = (1 - part) * self._roots[low] + part * self._roots[low + 1]
        roots /= np.sqrt((roots**2).sum(-1).mean((0, 1)))[:, None]
        return np.ascontiguousarray(np.moveaxis(roots, (2, 3), (0, 1)))


class _Drawing:
    """Draws of the errors of one batch of galaxies."""

    def __init__(self, model, flux, sigma):
        # Pixels that depend on invalid ones may not be finite; they are masked afterwards.
        self.sigma = torch.where(sigma.isfinite(), sigma, 0).double()
        self.model, size = model, tuple(sigma.shape[-2:])
        self.roots = torch.from_numpy(model._field(size)).to(self.sigma)
        self.half_roots = self.roots[..., :size[1] // 2 + 1].float()
        masks = aperture_masks(*size, tuple(model.radii.tolist())).double()
        kept = _distinct(masks.sum(1))
        self.radii = tuple(model.radii[kept].tolist())
        masks = masks[kept].unflatten(1, size).to(self.sigma)
        self.shares = torch.from_numpy(_shares(size, self.radii)).to(self.sigma)
        n_bands, n_radii = len(model.scale), len(self.radii)
        scatter = model.apertures.reshape(n_bands, len(model.radii), n_bands, -1)[:, kept][..., kept]
        self.root = torch.from_numpy(_root(scatter.reshape(n_bands * n_radii, -1))).to(self.sigma)
        self.units = aperture_fluxes(self.sigma.square(), self.radii)[0].clamp_min(1e-60).sqrt()
        total = aperture_fluxes(torch.where(flux.isfinite(), flux, 0).double(), self.radii)[0]
        center, lowest, highest = model.brightness.tolist()
        brightness = _brightness(total[..., -1], self.units[..., -1]).clamp(lowest, highest)
        slopes = torch.from_numpy(model.slopes[kept]).to(self.sigma)
        self.units = self.units * (slopes * (brightness - center)[:, None]).exp()[:, None]
        self.inverse = torch.linalg.pinv(torch.stack(
            [aperture_fluxes(self.sigma * share, self.radii)[0] for share in self.shares], -1))
        self.factor = self._factor(masks, torch.from_numpy(scatter).to(self.sigma))

    def _factor(self, masks, scatter):
        """Factor of the field with which the standard deviation of a pixel is as predicted, shape of ``sigma``."""
        spread = self.model.aperture_degrees / (self.model.aperture_degrees - 2)
        drawn = torch.einsum("bpbq->bpq", scatter) * spread * self.units[..., :, None] * self.units[..., None, :]
        modes = torch.fft.fft2(masks * self.sigma[:, :, None], norm="ortho")
        power = self.roots.square().sum(1)
        own = torch.einsum("gbpyx,byx,gbqyx->gbpq", modes, power.to(modes.dtype), modes.conj()).real
        added, removed = (torch.einsum("pyx,gbpq,qyx->gbyx", self.shares,
                                       self.inverse @ covariance @ self.inverse.mT, self.shares)
                          for covariance in (drawn, own))
        lowest = _RANGE[0]
        return ((1 - added).clamp_min(lowest) / (1 - removed).clamp_min(lowest)).sqrt().clamp(*_RANGE)

    def draw(self, noise, generators):
        """Return one draw of the errors of each galaxy; see `ErrorModel.draws`."""
        model, device = self.model, self.sigma.device
        normal = np.stack([generator.standard_normal(len(self.root)) for generator in generators])
        tails = np.array([[np.sqrt((model.pixel_degrees - 2) / generator.chisquare(model.pixel_degrees)),
                           np.sqrt(model.aperture_degrees / generator.chisquare(model.aperture_degrees))]
                          for generator in generators])
        normal, tails = torch.from_numpy(normal).to(device), torch.from_numpy(tails).to(device)[..., None, None]
        deviates = torch.fft.rfft2(noise)
        modes = torch.stack([(root * deviates).sum(1) for root in self.half_roots], 1)
        field = torch.fft.irfft2(modes, noise.shape[-2:]).double() * self.sigma * self.factor * tails[:, 0, :, None]
        wanted = (normal @ self.root.T).unflatten(1, self.units.shape[1:]) * tails[:, 1] * self.units
        missing = wanted - aperture_fluxes(field, self.radii)[0]
        change = torch.einsum("gbrp,gbp,ryx->gbyx", self.inverse, missing, self.shares)
        return field + self.sigma * change


def _root(covariance):
    """Symmetric square root of a covariance matrix."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def _positive(covariance):
    """Return the nearest symmetric matrix with positive eigenvalues."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return (vectors * np.maximum(values, _SMALLEST * max(values.max(), _SMALLEST))) @ vectors.T


def _distinct(areas):
    """Return which apertures, by increasing radius, are larger than the next inner one within the image."""
    kept = [0]
    for row in range(1, len(areas)):
        if areas[row] > _SMALLEST_GROWTH * areas[kept[-1]]:
            kept.append(row)
    return kept


def _shares(size, radii):
    """Share of each pixel in the disk within the smallest radius and in the rings beyond, ``(radius, Y, X)``."""
    y, x = (np.arange(n) - 0.5 * (n - 1) for n in size)
    radius = np.hypot(y[:, None], x)
    within = [expit((edge - radius) / (_SMOOTHNESS * edge)) for edge in radii]
    return np.stack([within[0], *(outer - inner for inner, outer in zip(within, within[1:]))])


def _scales(scale, radii, size):
    """Interpolate factors of shape ``(band, radius + 1)`` to the pixels of an image, ``(band, Y, X)``."""
    shares = _shares(size, radii)
    return np.exp(np.tensordot(np.log(scale), np.concatenate([shares, 1 - shares.sum(0, keepdims=True)]), 1))


def _brightness(flux, unit):
    """Mean over bands of the log of an aperture flux in units of its error, at least 0, a tensor ``(galaxy,)``."""
    return (flux / unit).clamp_min(1).log().mean(1)


def measure_errors(translator, pairs, *, scales_pixels=False):
    """Return the `ErrorModel` of a translator on pairs, None if these have too little data.

    Parameters
    ----------
    translator : Translator
    pairs : PairSet
        Up to 2048 are used. Errors are differences from the noiseless target image where pairs have it; otherwise
        from the target image, without the variance of its noise as given by its weights.
    scales_pixels : bool, optional
        Whether to measure ``scale``, which is 1 otherwise.

    Returns
    -------
    ErrorModel or None
    """
    rows = _usable_rows(translator, pairs)
    radii = np.array(_RADII) / translator.target_survey.pixel_scale.to_value(u.arcsec)
    masks = aperture_masks(*pairs.target_flux.shape[-2:], tuple(radii.tolist())).double().numpy()
    kept = _distinct(masks.sum(1))
    radii, masks = radii[kept], masks[kept]
    parts = [_differences(translator, pairs, rows[start:start + _N_BATCH]) for start in range(0, len(rows), _N_BATCH)]
    if not parts:
        return None
    n_bands = len(translator.target_survey)
    n_pixels, scale = max(1, _MOST_PIXELS // len(rows)), np.ones((n_bands, len(radii) + 1))
    if scales_pixels:
        rings = np.concatenate([np.diff(masks, axis=0, prepend=0), 1 - masks[-1:]])
        fits = [_fit_pixels(parts, ring, n_pixels) for ring in rings if (ring > 0.5).any()]
        scale = np.stack([fits[min(place, len(fits) - 1)][0] for place in range(len(rings))], 1)
        size = parts[0].error.shape[2:]
        parts = [part.scaled(_scales(scale, radii, size)) for part in parts]
    degrees = _fit_pixels(parts, masks[-1], n_pixels)[1]
    apertures, slopes, brightness, aperture_degrees = _fit_apertures(parts, masks)
    return ErrorModel(scale, radii, apertures, slopes, brightness, aperture_degrees, degrees, np.array(_FREQUENCIES),
                      _spectra(parts), len(rows))


def _fit_apertures(parts, masks):
    """Return ``apertures``, ``slopes``, ``brightness`` and ``aperture_degrees`` of an `ErrorModel`."""
    values, noise, brightness = (np.concatenate(one) for one in zip(*(_apertures(part, masks) for part in parts)))
    n_radii = len(masks)
    if len(values) < _FEWEST_BRIGHTNESS or np.ptp(brightness) == 0:
        scatter, degrees = _fit_t(values, noise)
        return scatter, np.zeros(n_radii), np.zeros(3), degrees
    lowest, highest = np.quantile(brightness, (0.01, 0.99))
    brightness = brightness.clip(lowest, highest)
    center, size = brightness.mean(), np.log(np.abs(values).clip(1e-6)).reshape(len(values), -1, n_radii).mean(1)
    slopes = np.polyfit(brightness, size, 1)[0]
    factor = np.tile(np.exp(slopes * (brightness - center)[:, None]), values.shape[1] // n_radii)
    values, noise = values / factor, noise / (factor[:, :, None] * factor[:, None])
    scatter, degrees = _fit_t(values, noise)
    scatter = _matched(values, noise, scatter, degrees)
    # Principal components mix apertures, so the errors of each are matched once more.
    own, added = np.diag(scatter), np.einsum("nii->ni", noise).mean(0)
    size = np.quantile(np.abs(values / np.sqrt(own + added)).reshape(-1, n_radii), _LEVEL, axis=0)
    size = np.tile((size / stdtrit(degrees, (1 + _LEVEL) / 2))**2, len(own) // n_radii)
    change = ((size * (own + added) - added) / own).reshape(-1, n_radii).mean(0).clip(*_LARGEST_CHANGE)
    change = np.tile(np.sqrt(change), len(own) // n_radii)
    return scatter * change[:, None] * change, slopes, np.array([center, lowest, highest]), degrees


def _usable_rows(translator, pairs):
    """Rows of pairs with input data, and with the redshift or spectrum that the translator needs."""
    rows = np.arange(min(len(pairs), _MOST_PAIRS))
    arrays = pairs.read_arrays(slice(0, len(rows)), images=("input_weight", "spectrum_weight"))
    usable = np.ones(len(rows), bool)
    if arrays["input_weight"] is not None:
        usable &= (arrays["input_weight"] > 0).any((1, 2, 3))
    if translator.conditioning is not None and not translator.takes_unknown:
        usable &= (np.isfinite(arrays["redshift"]) if translator.conditioning == "redshift"
                   else (arrays["spectrum_weight"] > 0).any(1))
    return rows[usable]


@dataclass
class _Part:
    """Errors of a batch in units of the standard deviation of each pixel."""

    error: np.ndarray
    """Shape ``(galaxy, band, Y, X)``, 0 where invalid."""
    noise: np.ndarray
    """Variance of the error from the noise of the target, same shape."""
    sigma: np.ndarray
    valid: np.ndarray

    flux: np.ndarray

    def scaled(self, scale):
        return _Part(self.error / scale, self.noise / scale**2, self.sigma * scale, self.valid, self.flux)


def _differences(translator, pairs, rows):
    """The `_Part` of some pairs."""
    arrays = pairs.read_arrays(rows, images=(
        "input_flux", "input_weight", "target_flux", "target_weight", "target_truth", "spectrum_flux",
        "spectrum_weight"))
    usable = {side: np.isfinite(arrays[f"{side}_flux"]) & (
        True if arrays[f"{side}_weight"] is None else arrays[f"{side}_weight"] > 0) for side in ("input", "target")}
    conditions = Conditions()
    if translator.conditioning == "redshift":
        conditions = Conditions(arrays["redshift"], arrays["redshift_error"])
    elif translator.conditioning == "spectrum":
        conditions = Conditions(spectrum=(arrays["spectrum_flux"], arrays["spectrum_weight"]))
    noise = None if arrays["input_weight"] is None else noise_of(arrays["input_weight"], slice(None))
    observing = translator.observing_arrays(len(rows), noise=noise, **translator.known_fwhms(pairs, rows))
    result = forward(
        translator.network, np.ascontiguousarray(arrays["input_flux"], np.float32), usable["input"],
        condition_rows(translator.condition_arrays(conditions, len(rows)), slice(None)),
        arrays["target_flux"].shape[-2:], observing=observing_rows(observing, slice(None), translator.device))
    flux, sigma = (image.cpu().numpy().astype(float) for image in (result.flux, result.sigma))
    valid = usable["target"] & np.isfinite(flux) & (sigma > 0)
    if result.masked is not None:
        valid &= ~result.masked.cpu().numpy()
    sigma = np.where(valid, sigma, 1)
    target, noise = arrays["target_truth"], np.zeros_like(flux)
    if target is None:
        target, weight = arrays["target_flux"], arrays["target_weight"]
        if weight is None:
            noise += (translator.target_survey.sky_noise**2)[:, None, None]
        else:
            noise = 1 / np.where(valid, weight, 1)
    valid &= np.isfinite(target)
    error = np.where(valid, (np.where(valid, target, 0) - np.where(valid, flux, 0)) / sigma, 0)
    return _Part(error, np.where(valid, noise / sigma**2, 0), sigma, valid, np.where(valid, flux, 0))


def _fit_pixels(parts, mask, n_pixels):
    """Return the standard deviation by band, and degrees of freedom, of random pixels of each galaxy in a region."""
    inside, rng = np.flatnonzero(mask > 0.5), np.random.default_rng(0)
    taken = []
    for part in parts:
        n_galaxies, n_bands = part.error.shape[:2]
        places = inside[rng.integers(len(inside), size=(n_galaxies, 1, n_pixels))]
        taken.append([np.take_along_axis(one.reshape(n_galaxies, n_bands, -1), places, 2).transpose(1, 0, 2)
                      for one in (part.error, part.noise, part.valid)])
    error, noise, valid = (np.concatenate(one, 1) for one in zip(*taken))
    pixels = [(error[band][valid[band]][:, None], noise[band][valid[band]][:, None, None]) for band in range(n_bands)]
    degrees = float(np.median([_fit_t(*one)[1] for one in pixels]))
    variance = [_matched(*one, np.eye(1), degrees)[0, 0] if len(one[0]) >= _FEWEST else 1 for one in pixels]
    return np.sqrt(np.array(variance) * degrees / (degrees - 2)), degrees


def _apertures(part, masks):
    """Errors of aperture fluxes in units of those of independent pixels, the covariance of their noise, brightness.

    Only galaxies with data in all apertures. Shapes ``(galaxy, d)``, ``(galaxy, d, d)`` with d of bands and radii, and
    ``(galaxy,)``.
    """
    flat = [one.reshape(*one.shape[:2], -1) for one in (part.error * part.sigma, part.noise * part.sigma**2,
                                                        part.sigma**2, part.flux, (~part.valid).astype(float))]
    complete = (flat[4] @ masks.T <= _MOST_MISSING * masks.sum(1)).all((1, 2))
    error, noise, square, flux = (one[complete] for one in flat[:4])
    units = np.sqrt(square @ masks.T)
    n_galaxies, n_bands, n_radii = units.shape
    covariance = np.zeros((n_galaxies, n_bands, n_radii, n_bands, n_radii))
    for band in range(n_bands):
        shared = np.einsum("gi,pi,qi->gpq", noise[:, band], masks, masks, optimize=True)
        covariance[:, band, :, band] = shared / (units[:, band, :, None] * units[:, band, None])
    side = n_bands * n_radii
    brightness = _brightness(*(torch.from_numpy(one) for one in (flux @ masks[-1], units[..., -1]))).numpy()
    return ((error @ masks.T) / units).reshape(-1, side), covariance.reshape(-1, side, side), brightness


def _fit_t(values, noise):
    """Fit Student's t with zero mean to values with noise; return scatter matrix and degrees of freedom.

    ``noise`` is the covariance of the noise of each value.
    """
    scatter, fits = np.eye(values.shape[1]), []
    if len(values) < _FEWEST:
        return scatter, _DEGREES[0]
    scatter = None
    for degrees in _DEGREES:
        scatter, log_likelihood = _fit_scatter(values, noise, degrees, scatter)
        fits.append((log_likelihood, degrees, scatter))
    _, degrees, scatter = max(fits, key=lambda fit: fit[0])
    return scatter, degrees


def _fit_scatter(values, noise, degrees, scatter=None):
    """Return the scatter matrix for given degrees of freedom, from a first estimate, and the log-likelihood."""
    size = values.shape[1]
    if scatter is None:
        scatter = _positive(np.einsum("ni,nj->ij", values, values) / len(values) - noise.mean(0))
    for _ in range(_ITERATIONS):
        total = scatter + noise
        square = np.einsum("ni,ni->n", values, np.linalg.solve(total, values[..., None])[..., 0])
        weight = (degrees + size) / (degrees + square)
        scatter = _positive((np.einsum("n,ni,nj->ij", weight, values, values) - noise.sum(0)) / len(values))
    total = scatter + noise
    square = np.einsum("ni,ni->n", values, np.linalg.solve(total, values[..., None])[..., 0])
    log_likelihood = (
        gammaln((degrees + size) / 2) - gammaln(degrees / 2) - size / 2 * np.log(degrees * np.pi)
        - np.linalg.slogdet(total)[1] / 2 - (degrees + size) / 2 * np.log1p(square / degrees))
    return scatter, log_likelihood.mean()


def _matched(values, noise, scatter, degrees):
    """Return a scatter matrix whose principal components contain 68 % of the values as Student's t does."""
    _, vectors = np.linalg.eigh(scatter)
    size = np.quantile(np.abs(values @ vectors), min(1, _LEVEL * (1 + 1 / len(values))), axis=0)
    variance = (size / stdtrit(degrees, (1 + _LEVEL) / 2))**2 - np.einsum("ij,nik,kj->j", vectors, noise, vectors,
                                                                          optimize=True) / len(values)
    return _positive((vectors * variance) @ vectors.T)


def _spectra(parts):
    """Cross spectra of the errors in rings of frequency, shape ``(frequency, band, band)``, of mean variance near 1."""
    n_bands, *size = parts[0].error.shape[1:]
    y, x = (np.fft.fftfreq(n) for n in size)
    place = np.interp(np.hypot(y[:, None], x), _FREQUENCIES, np.arange(len(_FREQUENCIES)))
    nodes = np.stack([np.maximum(1 - abs(place - k), 0).ravel() for k in range(len(_FREQUENCIES))])
    total, noise, count = np.zeros((len(_FREQUENCIES), n_bands, n_bands)), np.zeros(n_bands), 0
    for part in parts:
        limit = _CLIP * np.sqrt(1 + part.noise)
        modes = np.fft.fft2(np.clip(part.error, -limit, limit), norm="ortho").reshape(len(part.error), n_bands, -1)
        for band in range(n_bands):
            cross = (modes[:, band, None] * modes.conj()).real.sum(0)
            total[:, band] += nodes @ cross.T
        noise += part.noise.sum((0, 2, 3)) / np.prod(size)
        count += len(part.error)
    spectra = total / np.maximum(nodes.sum(1), 1e-9)[:, None, None] / count - np.diag(noise / count)
    # A frequency that no image of this size has, takes the next one's spectrum.
    known = nodes.sum(1) > 0.05
    nearest = [int(np.flatnonzero(known)[np.argmin(abs(np.flatnonzero(known) - k))]) for k in range(len(known))]
    spectra = np.stack([_positive(spectra[k]) for k in nearest])
    return spectra / np.maximum(np.einsum("kbb->kb", spectra).mean(0), 1e-12).mean()
