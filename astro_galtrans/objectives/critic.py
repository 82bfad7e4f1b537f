"""The critic of an adversarial training: images to scores, high for what looks like a target image."""

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

__all__ = ["Critic", "diversity"]

_SLOPE = 0.2
_CELL = 8  # pixels on a side over which images are averaged before they are compared with one another
_FEWEST = 4  # galaxies of which a spread says something


class Critic(nn.Module):
    """Convolutions that halve the grid, and a score for each patch of what is left of it.

    A score a patch instead of one an image (Isola et al. 2017, arXiv:1611.07004) makes it a judge of texture at any
    image size. It looks at asinh of the stretched flux, in which the cores of a few bright galaxies do not drown the
    texture of the rest. There is no normalisation over the batch; with ``spectral`` each convolution is divided by its
    largest singular value (Miyato et al. 2018, arXiv:1802.05957), which bounds how steeply scores change with images.

    Parameters
    ----------
    n_bands : int
        Bands of the images.
    widths : sequence of int, optional
        Channels of each level, the finest first; each further level halves the grid.
    spectral : bool, optional
        Whether to divide each convolution by its largest singular value.
    """

    def __init__(self, n_bands, widths=(16, 32, 64), spectral=True):
        super().__init__()
        layers = [nn.Conv2d(n_bands, widths[0], 3, padding=1)]
        layers += [nn.Conv2d(n_in, n_out, 4, stride=2, padding=1) for n_in, n_out in zip(widths, widths[1:])]
        layers += [nn.Conv2d(widths[-1], widths[-1], 3, padding=1), nn.Conv2d(widths[-1], 1, 1)]
        for layer in layers:
            nn.init.orthogonal_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.layers = nn.ModuleList(spectral_norm(layer) if spectral else layer for layer in layers)

    def forward(self, images):
        """Stretched images of shape ``(galaxy, band, Y, X)`` to scores of shape ``(galaxy, patch)``, in float32."""
        with torch.autocast(images.device.type, enabled=False):
            x = torch.asinh(images.float())
            for layer in self.layers[:-1]:
                if min(x.shape[-2:]) < 2:
                    x = functional.pad(x, (0, int(x.shape[-1] < 2), 0, int(x.shape[-2] < 2)), mode="replicate")
                x = functional.leaky_relu(layer(x), _SLOPE)
            return self.layers[-1](x).flatten(1)


@torch.no_grad()
def diversity(images, target):
    """How much images differ from galaxy to galaxy, relative to how much target images do.

    The spread is the standard deviation over galaxies of the mean of each square of 8 pixels, which takes most of the
    noise away, root-mean-squared over squares and bands. A generator whose modes have collapsed, here one that gives
    every galaxy about the same image whatever it is shown, has a diversity near 0.

    Parameters
    ----------
    images, target : torch.Tensor
        Stretched images, shape ``(galaxy, band, Y, X)``.

    Returns
    -------
    float or None
        None for fewer than 4 galaxies.
    """
    if len(images) < _FEWEST:
        return None
    cell = tuple(min(_CELL, n) for n in target.shape[-2:])
    spreads = [
        functional.avg_pool2d(x.float(), cell, ceil_mode=True, count_include_pad=False).std(0).square().mean().sqrt()
        for x in (images, target)
    ]
    return float(spreads[0] / spreads[1].clamp_min(1e-6))
