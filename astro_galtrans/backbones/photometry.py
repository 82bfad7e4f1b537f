"""The photometry head: aperture fluxes of the target from those of the input, and images that agree with them."""

from functools import lru_cache

import torch
from torch import nn

__all__ = ["N_APERTURES", "PhotometryHead", "aperture_fluxes", "aperture_radii", "log_apertures"]

# Radii in pixels of the coarser survey; 4.2, 2.1 and 1.1 arcsec between SDSS and CFHTLS.
_OUTER_RADIUS = 10.7
N_APERTURES = 3
_N_INPUT = 6
_INNERMOST, _OUTERMOST = 1.5, 15.5
_OVERSAMPLING = 5
_LARGEST_CHANGE = 2.0  # in log flux
_N_PASSES = 2
_SMOOTHNESS = 0.15  # width of the step between two rings over its radius
_FAR = 8.0  # standard deviations at which what the perceptron reads is cut
_BRIGHTEST = 25.0  # log flux; 4e10 times the noise, where float32 is still at ease
_MOST_MISSING = 0.2  # share of an aperture
_RIDGE = 1e-4  # of the covariance of log fluxes, for its inverse in single precision
_PENALTY = 1.0  # of the squared slopes, for features of unit variance


def aperture_radii(step):
    """Radii in target pixels of the apertures whose fluxes are predicted, from the widest, a tuple of float.

    Parameters
    ----------
    step : float
        Target pixel scale over input pixel scale.
    """
    coarser = max(1.0, 1 / step)
    return tuple(_OUTER_RADIUS * coarser / 2**k for k in range(N_APERTURES))


# Not in inference mode, where the masks would be kept in a form that a training later on could not use.
@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _masks(n_y, n_x, radii):
    """Share of each pixel within circles around the centre of the image, shape ``(radius, n_y * n_x)``."""
    offset = (torch.arange(_OVERSAMPLING) + 0.5) / _OVERSAMPLING - 0.5
    y, x = ((torch.arange(n)[:, None] - 0.5 * (n - 1) + offset).flatten() for n in (n_y, n_x))
    square = y[:, None] ** 2 + x**2
    inside = torch.stack([(square <= radius**2).float() for radius in radii])
    return inside.unflatten(1, (n_y, _OVERSAMPLING)).unflatten(3, (n_x, _OVERSAMPLING)).mean((2, 4)).flatten(1)


def aperture_fluxes(flux, radii):
    """Flux in circular apertures around the centre of images.

    Parameters
    ----------
    flux : torch.Tensor
        Shape ``(galaxy, band, y, x)``.
    radii : tuple of float
        In pixels.

    Returns
    -------
    fluxes : torch.Tensor
        Shape ``(galaxy, band, radius)``.
    areas : torch.Tensor
        Pixels of each aperture within the image, shape ``(radius,)``.
    """
    masks = _masks(*flux.shape[-2:], radii).to(flux)
    return flux.flatten(2) @ masks.T, masks.sum(1)


def log_apertures(flux, noise, radii):
    """Softened log flux in circular apertures, asinh(f / 2s) with s the sky noise of the whole aperture.

    Parameters
    ----------
    flux : torch.Tensor
        Shape ``(galaxy, band, y, x)``.
    noise : torch.Tensor
        Sky noise of one pixel, shape ``(band, 1, 1)``.
    radii : tuple of float
        In pixels.

    Returns
    -------
    torch.Tensor
        Shape ``(galaxy, band, radius)``.
    """
    fluxes, areas = aperture_fluxes(flux, radii)
    return torch.asinh(fluxes / (2 * noise[:, 0] * areas.sqrt()))


def _rings(apertures):
    """What is between apertures and their next inner ones, and in the innermost, along the last axis."""
    return torch.cat([apertures[..., :-1] - apertures[..., 1:], apertures[..., -1:]], -1)


class PhotometryHead(nn.Module):
    """Aperture fluxes of the target from those of the input, and a translation multiplied to agree with them.

    A convolutional network sums the errors of a thousand pixels when it paints a galaxy, and its colours are worse than
    those of the input that it was given. Here the integrated fluxes are one small regression. It starts as the linear
    one of log fluxes on those of the input in six apertures, solved before training, which weighs what is measured well
    against what is noise. A perceptron that reads the same, colours, the backbone's embedding and its condition adds to
    it. Each band of the painted image is then multiplied by a smooth function of radius.

    Parameters
    ----------
    n_input, n_target : int
        Bands of the two surveys.
    n_extra : int
        Length of the embedding and condition of a galaxy.
    step : float
        Target pixel scale over input pixel scale.
    width : int, optional
        Of the perceptron's two hidden layers.
    takes_missing : bool, optional
        Whether the input may lack bands or regions. The log fluxes of apertures without data are then replaced by
        their expectation given the others, under the Gaussian distribution of the training galaxies, and the
        perceptron also reads which are observed.
    """

    def __init__(self, n_input, n_target, n_extra, step, width=128, takes_missing=False):
        super().__init__()
        self.step, self.takes_missing = step, takes_missing
        self.radii = aperture_radii(step)
        coarser = max(1.0, step)
        ratio = (_OUTERMOST / _INNERMOST) ** (1 / (_N_INPUT - 1))
        self.input_radii = tuple(_INNERMOST * coarser * ratio**k for k in range(_N_INPUT))
        n_features, n_levels = _N_INPUT * (2 * n_input - 1), _N_INPUT * n_input
        n_flags = n_levels if takes_missing else 0
        self.perceptron = nn.Sequential(
            nn.Linear(n_features + n_flags + n_extra, width), nn.GELU(), nn.Linear(width, width), nn.GELU(),
            nn.Linear(width, n_target * len(self.radii)),
        )
        with torch.no_grad():
            self.perceptron[-1].bias.zero_()
        self.register_buffer("feature_mean", torch.zeros(n_features))
        self.register_buffer("feature_spread", torch.ones(n_features))
        if takes_missing:
            self.register_buffer("covariance", torch.eye(n_levels))
        self.register_buffer("slopes", torch.zeros(n_target * N_APERTURES, n_features))
        for name, value in (("level_mean", 0.0), ("level_spread", 1.0)):
            self.register_buffer(name, torch.full((n_target, N_APERTURES), value))

    def features(self, flux, noise, observed=None):
        """Softened log fluxes of the input in its apertures and their differences between bands.

        Parameters
        ----------
        flux, noise
            As of `forward`.
        observed : torch.Tensor of bool, optional
            As `observed_apertures` gives it; the log fluxes of the others are replaced by their expectation.

        Returns
        -------
        torch.Tensor
            Shape ``(galaxy, feature)``.
        """
        levels = log_apertures(flux, noise, self.input_radii)
        if observed is not None:
            levels = self._expected(levels.flatten(1), observed.flatten(1)).view_as(levels)
        return torch.cat([levels.flatten(1), (levels[:, 1:] - levels[:, :-1]).flatten(1)], 1)

    def observed_apertures(self, valid):
        """Input apertures in which pixels with data leave little to fill.

        Parameters
        ----------
        valid : torch.Tensor of bool
            Pixels with data, shape ``(galaxy, band, y, x)``.

        Returns
        -------
        torch.Tensor of bool
            Shape ``(galaxy, band, radius)``: at most a fifth of the aperture, and of each within it, has no data.
        """
        missing, areas = aperture_fluxes((~valid).float(), self.input_radii)
        return (missing / areas).cummax(-1).values <= _MOST_MISSING

    def _expected(self, levels, observed):
        """Log fluxes of which those not observed are replaced by their expectation given the observed ones."""
        n_levels = levels.shape[1]
        mean, known = self.feature_mean[:n_levels], observed.to(levels.dtype)
        covariance = self.covariance * known[:, :, None] * known[:, None] + torch.diag_embed(1 - known)
        offset = (levels - mean) * known
        solution = torch.linalg.solve(covariance, offset[..., None])[..., 0] * known
        return torch.where(observed, levels, mean + solution @ self.covariance)

    @torch.no_grad()
    def solve(self, features, levels):
        """Set the linear regression and the units of the perceptron.

        Parameters
        ----------
        features : torch.Tensor
            Of training galaxies, as `features` gives them.
        levels : torch.Tensor
            Log fluxes of their targets, as of `log_apertures`, shape ``(galaxy, target band, radius)``.
        """
        self.feature_mean.copy_(features.mean(0))
        if self.takes_missing:
            levels_in = features[:, :len(self.covariance)].double()
            covariance = torch.cov(levels_in.T, correction=0)
            self.covariance.copy_(covariance + _RIDGE * torch.eye(len(covariance), dtype=torch.float64))
        self.feature_spread.copy_(features.std(0, correction=0).clamp_min(1e-3))
        self.level_mean.copy_(levels.mean(0))
        x = ((features - self.feature_mean) / self.feature_spread).double()
        y = (levels - self.level_mean).flatten(1).double()
        # Colours are differences of the other features: the penalty makes the solution one.
        slopes = torch.linalg.solve(x.T @ x + _PENALTY * torch.eye(x.shape[1], dtype=x.dtype), x.T @ y)
        self.slopes.copy_(slopes.T)
        rest = (y - x @ slopes).std(0, correction=0).clamp_min(1e-2)
        self.level_spread.copy_(rest.view_as(self.level_spread))

    def forward(self, flux, noise, extra, valid=None):
        """Predict log fluxes of the target, as of `log_apertures`.

        Parameters
        ----------
        flux : torch.Tensor
            Input flux, shape ``(galaxy, band, y, x)``.
        noise : torch.Tensor
            Sky noise of one input pixel, shape ``(band, 1, 1)``.
        extra : torch.Tensor
            Embedding and condition of each galaxy, shape ``(galaxy, n_extra)``.
        valid : torch.Tensor of bool, optional
            Pixels of the input with data, of its shape; None if all have.

        Returns
        -------
        torch.Tensor
            Shape ``(galaxy, target band, radius)``.
        """
        parts = []
        observed = None if valid is None or not self.takes_missing else self.observed_apertures(valid)
        features = (self.features(flux, noise, observed) - self.feature_mean) / self.feature_spread
        if self.takes_missing:
            shape = len(flux), len(self.covariance)
            parts = [flux.new_ones(shape) if observed is None else observed.view(shape).to(flux.dtype)]
        added = self.perceptron(torch.cat([features.clamp(-_FAR, _FAR), *parts, extra], 1))
        added = added.unflatten(1, self.level_mean.shape)
        linear = (features @ self.slopes.T).unflatten(1, self.level_mean.shape)
        return (self.level_mean + linear + self.level_spread * added).clamp(-_BRIGHTEST, _BRIGHTEST)

    def apply_to(self, image, levels, noise):
        """Multiply each band of an image by a smooth function of radius so that its aperture fluxes are as predicted.

        What is multiplied are the rings between the apertures, whose steps are smoothed, in two passes: a fifth
        that an aperture is off becomes half a per cent. A pass changes the image by a factor of at most 7.

        Parameters
        ----------
        image : torch.Tensor
            Target flux, shape ``(galaxy, band, Y, X)``.
        levels : torch.Tensor
            As `forward` gives them.
        noise : torch.Tensor
            Sky noise of one target pixel, shape ``(band, 1, 1)``.

        Returns
        -------
        torch.Tensor
            Shape of ``image``.
        """
        fluxes, areas = aperture_fluxes(image, self.radii)
        rings = _rings(areas)
        inside = rings > 0.5  # a ring around a small image holds nothing to be changed
        softening = 2 * noise[:, 0] * rings.clamp_min(0.5).sqrt()
        wanted = torch.asinh(_rings(levels.sinh() * (2 * noise[:, 0] * areas.sqrt())) / softening)
        shares = self._shares(image)
        for _ in range(_N_PASSES):
            change = (wanted - torch.asinh(_rings(fluxes) / softening)).clamp(-_LARGEST_CHANGE, _LARGEST_CHANGE)
            factor = (torch.where(inside, change, 0) @ shares).exp()
            image = image * factor.unflatten(-1, image.shape[-2:])
            fluxes, _ = aperture_fluxes(image, self.radii)
        return image

    def _shares(self, image):
        """How much of the change of each ring a pixel takes, in all 1, shape ``(radius, Y * X)``."""
        y, x = (torch.arange(n, device=image.device) - 0.5 * (n - 1) for n in image.shape[-2:])
        radius = torch.hypot(y[:, None], x[None]).flatten()
        edges = torch.tensor(self.radii[1:], device=image.device)[:, None]
        within = torch.sigmoid((edges - radius) / (_SMOOTHNESS * edges)).to(image.dtype)
        whole = torch.ones_like(within[:1])
        return _rings(torch.cat([whole, within]).T).T
