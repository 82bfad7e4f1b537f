"""From survey fluxes to what the estimator's network sees: softened log planes and aperture colours."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

__all__ = ["ImageEncoder", "aperture_masks", "aperture_radii", "default_pooling"]

_CLIP = 8.0


def default_pooling(pixel_scale, psf_fwhm):
    """Largest power of two, in pixels, that is at most 1.1 PSF FWHM."""
    return 2 ** max(0, int(np.floor(np.log2(1.1 * psf_fwhm / pixel_scale))))


def aperture_radii(shape, pixel_scale, psf_fwhm, n_apertures):
    """Radii in pixels, evenly spaced in the logarithm, from 0.6 PSF FWHM to half the shorter side of the image."""
    largest = 0.5 * min(shape)
    smallest = min(max(1.0, 0.6 * psf_fwhm / pixel_scale), 0.5 * largest)
    return np.geomspace(smallest, largest, n_apertures)


def aperture_masks(shape, radii, oversampling=7):
    """Fraction of each pixel inside central circles, shape ``(n_radii, y, x)``."""
    offset = (np.arange(oversampling) + 0.5) / oversampling - 0.5
    y, x = ((np.arange(n)[:, None] - 0.5 * (n - 1) + offset).ravel() for n in shape)
    squared = y[:, None] ** 2 + x**2
    inside = np.stack([squared <= radius**2 for radius in radii]).astype(float)
    blocks = inside.reshape(len(radii), shape[0], oversampling, shape[1], oversampling)
    return blocks.mean(axis=(2, 4))


class ImageEncoder(nn.Module):
    """Softened log planes of the pooled image, their colours, and the softened log fluxes in annuli and apertures.

    Buffers hold the geometry and, once `standardise` was called, the mean and scale of planes and features over the
    training galaxies, so that they are stored with the parameters.
    """

    def __init__(self, sky_noise, shape, pixel_scale, psf_fwhm, pooling, n_apertures):
        super().__init__()
        radii = aperture_radii(shape, pixel_scale, psf_fwhm, n_apertures)
        masks = aperture_masks(shape, radii)
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

    def levels(self, flux):
        """Softened log flux of the pooled image, asinh(flux / (2 noise)), shape ``(n, bands, y, x)``."""
        size = self.pooling
        pooled = functional.avg_pool2d(flux, size, ceil_mode=True, divisor_override=1) if size > 1 else flux
        return torch.asinh(pooled / (2 * size * self.sky_noise[:, None, None]))

    def planes(self, levels):
        """Standardised levels and differences of the levels of adjacent bands, ``(n, 2 bands - 1, y, x)``."""
        planes = torch.cat([levels, levels[:, 1:] - levels[:, :-1]], dim=1)
        return (planes - self.plane_mean[:, None, None]) / self.plane_scale[:, None, None]

    def colours(self, flux, valid=None):
        """Mean level and colours in apertures, and colours in annuli, ``(n, n_features)``.

        A masked pixel counts as the mean of the good ones of its annulus and band; an annulus without any as zero.
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

    def features(self, colours):
        """Standardised aperture levels and colours, ``(n, n_features)``."""
        return ((colours - self.feature_mean) / self.feature_scale).clamp(-_CLIP, _CLIP)

    def forward(self, flux, valid=None):
        """What depends on no training: levels and aperture colours. Both are cheap to keep for many epochs."""
        return self.levels(flux), self.colours(flux, valid)

    @torch.no_grad()
    def standardise(self, levels, colours):
        """Set mean and scale of planes and features from those of the training galaxies."""
        steps = levels[:, 1:] - levels[:, :-1]
        moments = [(part.mean(dim=(0, 2, 3)), part.std(dim=(0, 2, 3))) for part in (levels, steps)]
        plane = [torch.cat(part) for part in zip(*moments)]
        for name, (mean, scale) in (("plane", plane), ("feature", (colours.mean(dim=0), colours.std(dim=0)))):
            getattr(self, f"{name}_mean").copy_(mean)
            getattr(self, f"{name}_scale").copy_(torch.where(scale > 1e-6, scale, torch.ones_like(scale)))
