"""The measured center of the galaxy in an image, and the pixels of its neighbors."""

from typing import NamedTuple

import torch
from torch.nn import functional

from astro_galtrans.backbones.resampling import resample

__all__ = ["Placement", "measure_placement"]

# In pixels of the coarser survey; 0.8 and 0.5 arcsec between SDSS and CFHTLS.
_WINDOW = 2.0  # standard deviation of the window of the centroid
_SMOOTHING = 1.2  # standard deviation
_N_STEPS = 8
_LARGEST_STEP = 1.0
_FAINTEST = 5.0  # signal-to-noise of the flux in the window that a moment is at least divided by
_OF_NOISE = 4.0  # signal-to-noise that a peak of the noise reaches
# A neighbor's pixel is brighter than 1.25 times its mirror image, by more than 5 standard deviations.
_ASYMMETRY, _SIGNIFICANT = 0.25, 5.0


class Placement(NamedTuple):
    """Where the galaxy is, on one pixel grid."""

    center: torch.Tensor
    """Rows and columns from the middle of the image to the galaxy, in pixels, shape ``(galaxy, 2)``."""
    neighbors: torch.Tensor
    """Share of each pixel that belongs to neighbors, shape ``(galaxy, 1, y, x)``."""

    def on(self, size, scale_ratio):
        """Return the `Placement` on another grid with the same center.

        Parameters
        ----------
        size : tuple of int
            Rows and columns of the other grid.
        scale_ratio : float
            Side of a pixel of the other grid in pixels of this one.
        """
        return Placement(self.center / scale_ratio, resample(self.neighbors, size, scale_ratio))

    def distance(self):
        """Return the distance of each pixel from the center of the galaxy in pixels, shape ``(galaxy, y, x)``."""
        y, x = (_from_middle(n, self.center) - shift[:, None]
                for n, shift in zip(self.neighbors.shape[-2:], self.center.unbind(1)))
        return torch.hypot(y[:, :, None], x[:, None])

    def weights(self, radii):
        """Return the weight of each pixel in circles around the galaxy, shape ``(galaxy, radius, y * x)``.

        Edges are as soft as a pixel, so that the flux hardly depends on where in a pixel the galaxy is. Instead of a
        neighbor's pixel, the pixel on the opposite side of the galaxy counts twice, as well as instead of one beyond
        the edge of the image.
        """
        radii = torch.tensor(radii, dtype=self.center.dtype, device=self.center.device)[:, None, None]
        circles = (radii - self.distance()[:, None] + 0.5).clamp(0, 1)
        own = 1 - self.neighbors
        return (circles * own * (2 - _mirrored(own, self.center, "zeros"))).flatten(2)


def _from_middle(n, like):
    return torch.arange(n, device=like.device, dtype=like.dtype) - 0.5 * (n - 1)


def _mirrored(images, center, padding):
    """Return images of shape ``(galaxy, 1, y, x)`` reflected through the centers of their galaxies."""
    shape = images.shape[-2:]
    # Pixel centers as grid_sample takes them: the image reaches from -1 to 1.
    y, x = ((4 * shift[:, None] - 2 * _from_middle(n, center)) / n for n, shift in zip(shape, center.unbind(1)))
    grid = torch.stack([x[:, None].expand(-1, *shape), y[:, :, None].expand(-1, *shape)], -1)
    return functional.grid_sample(images, grid, padding_mode=padding, align_corners=False)


def _blurred(images, width):
    """Return images convolved with a Gaussian of some standard deviation, and the factor on white noise."""
    kernels = []
    for n in images.shape[-2:]:
        offset = _from_middle(n, images)
        kernel = (-0.5 * ((offset[:, None] - offset) / width).square()).exp()
        kernels.append(kernel / kernel.sum(1, keepdim=True))
    noise = torch.outer(*(kernel.square().sum(1).sqrt() for kernel in kernels))
    return kernels[0] @ (images @ kernels[1].T), noise


def _centroid(image, width):
    """Return the centroid of images of unit noise in a Gaussian window that follows it, shape ``(galaxy, 2)``."""
    offsets = [_from_middle(n, image) for n in image.shape[-2:]]
    center = image.new_zeros(len(image), 2)
    noise = torch.pi**0.5 * width  # of the flux in the window
    for _ in range(_N_STEPS):
        y, x = (offset - shift[:, None] for offset, shift in zip(offsets, center.unbind(1)))
        window_y, window_x = ((-0.5 * (one / width).square()).exp() for one in (y, x))
        by_row = (image @ window_x[..., None])[..., 0]
        flux = (by_row * window_y).sum(1)
        moment = torch.stack([(by_row * window_y * y).sum(1),
                              ((image.mT @ window_y[..., None])[..., 0] * window_x * x).sum(1)], 1)
        # Twice the moment, since the window pulls the centroid to its own center.
        step = 2 * moment / flux.clamp_min(_FAINTEST * noise)[:, None]
        center = center + step.clamp(-_LARGEST_STEP, _LARGEST_STEP)
    # Expected offset, if offsets scatter by a pixel, given the error of the centroid.
    known = (flux / noise - _OF_NOISE).clamp_min(0).square()
    center = center * (known / (known + width**2))[:, None]
    return torch.where(center.norm(dim=1, keepdim=True) < 2 * width, center, 0)


@torch.no_grad()
def measure_placement(flux, noise, coarser=1.0):
    """Measure where the galaxy in the middle of images is, and which pixels belong to its neighbors.

    The center is the centroid in a Gaussian window of the sum of the bands, each over its noise; it is the middle of
    the image where there is no signal or the centroid is farther than twice the width of the window. A pixel belongs
    to a neighbor as far as that sum, smoothed, is significantly brighter than on the opposite side of the galaxy.

    Parameters
    ----------
    flux : torch.Tensor
        Shape ``(galaxy, band, y, x)``.
    noise : torch.Tensor
        Sky noise of one pixel, shape ``(band, 1, 1)``.
    coarser : float, optional
        Side of a pixel of the coarser survey in pixels of these images.

    Returns
    -------
    Placement
    """
    image = (flux / noise).sum(1, keepdim=True) / flux.shape[1]**0.5
    center = _centroid(image[:, 0], _WINDOW * coarser)
    smooth, error = _blurred(image, _SMOOTHING * coarser)
    opposite = _mirrored(smooth, center, "border").clamp_min(0)
    excess = (smooth - (1 + _ASYMMETRY) * opposite) / (2**0.5 * error)
    return Placement(center, (excess - _SIGNIFICANT).sigmoid())
