"""Inputs of the networks: planes and aperture colors of images, and standardized catalog columns."""

import astropy.units as u
import numpy as np
import torch
from astropy.table import Table
from torch import nn
from torch.nn import functional

from astro_galtrans._utils.masked import floats, split
from astro_galtrans._utils.photometry import circle_mask
from astro_galtrans._utils.torch_state import as_tensor

__all__ = [
    "ColumnEncoder", "ImageEncoder", "column_values", "default_pooling", "same_columns",
]

# Standardized inputs are limited to this absolute value.
_CLIP = 8.0
# Samples along the side of a pixel for its share of an aperture.
_SUBPIXELS = 7


def default_pooling(pixel_scale, psf_fwhm):
    """Return the largest power of two, in pixels, that is at most 1.1 PSF FWHM."""
    return 2 ** max(0, int(np.floor(np.log2(1.1 * psf_fwhm / pixel_scale))))


def _aperture_radii(shape, pixel_scale, psf_fwhm, n_apertures):
    """Return radii in pixels, evenly spaced in the logarithm, from 0.6 PSF FWHM to half the shorter side."""
    largest = 0.5 * min(shape)
    smallest = min(max(1.0, 0.6 * psf_fwhm / pixel_scale), 0.5 * largest)
    return np.geomspace(smallest, largest, n_apertures)


class ImageEncoder(nn.Module):
    """Softened log flux of the pooled image and its colors, and the same in annuli and apertures.

    Buffers hold the geometry and, after `standardize`, the mean and scale of planes and features over the training
    galaxies, so that they are stored with the parameters.
    """

    def __init__(self, sky_noise, shape, pixel_scale, psf_fwhm, pooling, n_apertures):
        super().__init__()
        radii = _aperture_radii(shape, pixel_scale, psf_fwhm, n_apertures)
        masks = np.stack([circle_mask(shape, radius, subpixels=_SUBPIXELS) for radius in radii])
        annuli = np.concatenate([masks[:1], np.diff(masks, axis=0)]).reshape(len(radii), -1)
        n_bands = len(sky_noise)
        self.pooling = pooling or default_pooling(pixel_scale, psf_fwhm)
        self.n_planes = 2 * n_bands - 1
        self.n_features = n_apertures * n_bands + (n_apertures - 1) * (n_bands - 1)
        self.register_buffer("sky_noise", torch.tensor(np.asarray(sky_noise), dtype=torch.float32))
        self.register_buffer("annuli", torch.tensor(annuli, dtype=torch.float32))
        for name, size in (("plane", self.n_planes), ("feature", self.n_features)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_scale", torch.ones(size))

    def log_flux(self, flux):
        """Return the softened log flux of the pooled image, asinh(flux / (2 noise)), shape ``(n, bands, y, x)``."""
        size = self.pooling
        pooled = functional.avg_pool2d(flux, size, ceil_mode=True, divisor_override=1) if size > 1 else flux
        return torch.asinh(pooled / (2 * size * self.sky_noise[:, None, None]))

    def planes(self, log_flux):
        """Return standardized log flux and its differences of adjacent bands, ``(n, 2 bands - 1, y, x)``."""
        planes = torch.cat([log_flux, log_flux[:, 1:] - log_flux[:, :-1]], dim=1)
        return (planes - self.plane_mean[:, None, None]) / self.plane_scale[:, None, None]

    def colors(self, flux, valid=None):
        """Return mean log flux and colors in apertures, and colors in annuli, ``(n, n_features)``.

        A masked pixel counts as the mean of the good ones of its annulus and band, or as zero if there are none.
        """
        area = self.annuli.sum(dim=1)
        sums = flux.flatten(2) @ self.annuli.T
        if valid is not None:
            good = valid.to(flux.dtype).flatten(2) @ self.annuli.T
            sums = torch.where(good > 0, sums * area / good.clamp(min=1e-6), torch.zeros_like(sums))
        noise = 2 * self.sky_noise[:, None]
        annuli = torch.asinh(sums / (noise * area.sqrt()))
        apertures = torch.asinh(sums.cumsum(dim=2) / (noise * area.cumsum(dim=0).sqrt()))
        parts = (apertures.mean(dim=1), (apertures[:, 1:] - apertures[:, :-1]).flatten(1),
                 (annuli[:, 1:, 1:] - annuli[:, :-1, 1:]).flatten(1))
        return torch.cat(parts, dim=1)

    def features(self, colors):
        """Return standardized aperture log flux and colors, ``(n, n_features)``."""
        return ((colors - self.feature_mean) / self.feature_scale).clamp(-_CLIP, _CLIP)

    def forward(self, flux, valid=None):
        """Return log flux and aperture colors, which depend on no learned parameter and can be kept for all epochs."""
        return self.log_flux(flux), self.colors(flux, valid)

    @torch.no_grad()
    def standardize(self, log_flux, colors):
        """Set mean and scale of planes and features from those of the training galaxies."""
        differences = log_flux[:, 1:] - log_flux[:, :-1]
        moments = [(part.mean(dim=(0, 2, 3)), part.std(dim=(0, 2, 3))) for part in (log_flux, differences)]
        plane = [torch.cat(part) for part in zip(*moments)]
        for name, (mean, scale) in (("plane", plane), ("feature", (colors.mean(dim=0), colors.std(dim=0)))):
            getattr(self, f"{name}_mean").copy_(mean)
            getattr(self, f"{name}_scale").copy_(torch.where(scale > 1e-6, scale, torch.ones_like(scale)))


def column_values(columns, n, name, unit=None):
    """Return columns as an array of float64, NaN where masked, and their names (None for an array).

    An array has the shape ``(n, n_columns)``, or ``(n,)`` for one column; any n is accepted if it is None. Columns with
    a unit are converted to ``unit``, where AB and ST magnitudes are in mag.
    """
    names = None
    if isinstance(columns, Table):
        names = list(columns.colnames)
        values = np.empty((len(columns), len(names)))
        for i, column in enumerate(names):
            one = _floats(columns[column], f"{name}[{column!r}]", unit)
            values[:, i] = one.reshape(len(columns))
    else:
        values = _floats(columns, name, unit)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or values.shape[1] == 0 or (n is not None and len(values) != n):
        wanted = "n_galaxies" if n is None else n
        raise ValueError(f"{name} must have the shape ({wanted}, n_columns), got {values.shape}")
    if np.isinf(values).any():
        raise ValueError(f"{name} must not be infinite, got {int(np.isinf(values).sum())} such values; a missing value "
                         "is NaN or masked")
    return values, names


def _floats(column, name, unit):
    parts = split(column, name)
    if unit is not None and isinstance(parts.unit, u.MagUnit):
        parts = parts._replace(unit=parts.unit.function_unit)
    return floats(parts, name, unit=unit, dtype=float, kinds="iufb")


def same_columns(given, trained, n_given, n_trained, name):
    """Raise ValueError for other columns than those of the training."""
    if n_given != n_trained or (given is not None and trained is not None and list(given) != list(trained)):
        raise ValueError(f"{name} must have the {n_trained} columns of the training{_listed(trained)}, "
                         f"got {n_given}{_listed(given)}")


def _listed(names):
    return "" if names is None else f" ({', '.join(names)})"


class ColumnEncoder(nn.Module):
    """Standardize columns; a missing value (NaN) counts as the median, beside a flag that it is missing.

    Center and scale are the median and half the range of the central 68 % over the training galaxies. The flag of a
    column that is complete in training is never set, because its absence was not learned.
    """

    def __init__(self, n_columns):
        super().__init__()
        self.n_columns, self.n_outputs = n_columns, 2 * n_columns
        # The buffers are spelled as in stored weights.
        self.register_buffer("centre", torch.zeros(n_columns))
        self.register_buffer("scale", torch.ones(n_columns))
        self.register_buffer("can_miss", torch.zeros(n_columns, dtype=torch.bool))

    def usable(self, values):
        """Return False for galaxies that lack a value that was complete in training, bool of shape ``(n,)``."""
        return ~(torch.isnan(values) & ~self.can_miss).any(dim=1)

    def forward(self, values):
        """Return inputs of shape ``(n, n_outputs)`` for columns of shape ``(n, n_columns)``."""
        missing = torch.isnan(values)
        scaled = torch.where(missing, torch.zeros_like(values), (values - self.centre) / self.scale)
        return torch.cat([scaled.clamp(-_CLIP, _CLIP), (missing & self.can_miss).to(scaled.dtype)], dim=1)

    def standardize(self, values):
        """Set center and scale from the training galaxies, an array of shape ``(n, n_columns)``."""
        empty = np.flatnonzero(np.isnan(values).all(axis=0))
        if empty.size:
            raise ValueError(f"column {empty[0]} has no value in any training galaxy")
        low, center, high = np.nanpercentile(values, [16, 50, 84], axis=0)
        width, spread = 0.5 * (high - low), np.nanstd(values, axis=0)
        scale = np.where(width > 1e-9, width, np.where(spread > 1e-9, spread, 1.0))
        missing = np.isnan(values).any(axis=0)
        for buffer, value in ((self.centre, center), (self.scale, scale), (self.can_miss, missing)):
            buffer.copy_(as_tensor(value))
