"""The photometry head: aperture fluxes of the target from those of the input, and images that agree with them."""

from functools import lru_cache

import torch
from astropy.utils.decorators import deprecated_renamed_argument
from torch import nn

from astro_galtrans.backbones.placement import measure_placement

__all__ = ["N_APERTURES", "PhotometryHead", "aperture_fluxes", "aperture_masks", "aperture_radii", "log_apertures"]

# Radii in pixels of the coarser survey; 4.2, 2.1 and 1.1 arcsec between SDSS and CFHTLS.
_OUTER_RADIUS = 10.7
N_APERTURES = 3
_N_INPUT = 6
_INNERMOST, _OUTERMOST = 1.5, 15.5
_OVERSAMPLING = 5
_LARGEST_CHANGE = 2.0  # in log flux
_N_PASSES = 2
_SMOOTHNESS = 0.15  # width of the step between two rings over its radius
_FAR = 8.0  # standard deviations at which the input of the perceptron is clipped
_BRIGHTEST = 25.0  # log flux; 4e10 times the noise, well within float32
_MOST_MISSING = 0.2  # share of an aperture
_RIDGE = 1e-4  # of the covariance of log fluxes, for its inverse in single precision
_PENALTY = 1.0  # of the squared slopes, for features of unit variance


@deprecated_renamed_argument("step", "scale_ratio", "0.2")
def aperture_radii(scale_ratio):
    """Return the radii in target pixels of the apertures whose fluxes are predicted, from the widest.

    Parameters
    ----------
    scale_ratio : float
        Target pixel scale over input pixel scale.

    Returns
    -------
    tuple of float
    """
    coarser = max(1.0, 1 / scale_ratio)
    return tuple(_OUTER_RADIUS * coarser / 2**k for k in range(N_APERTURES))


# Not in inference mode, where the masks would be kept in a form that a training later on could not use.
@lru_cache(maxsize=64)
@torch.inference_mode(False)
def aperture_masks(n_y, n_x, radii):
    """Return the share of each pixel within circles around the center of an image.

    Parameters
    ----------
    n_y, n_x : int
        Rows and columns.
    radii : tuple of float
        In pixels.

    Returns
    -------
    torch.Tensor
        Shape ``(radius, n_y * n_x)``.
    """
    offset = (torch.arange(_OVERSAMPLING) + 0.5) / _OVERSAMPLING - 0.5
    y, x = ((torch.arange(n)[:, None] - 0.5 * (n - 1) + offset).flatten() for n in (n_y, n_x))
    square = y[:, None] ** 2 + x**2
    inside = torch.stack([(square <= radius**2).float() for radius in radii])
    return inside.unflatten(1, (n_y, _OVERSAMPLING)).unflatten(3, (n_x, _OVERSAMPLING)).mean((2, 4)).flatten(1)


def aperture_fluxes(flux, radii, weights=None):
    """Sum the flux in circular apertures.

    Parameters
    ----------
    flux : torch.Tensor
        Shape ``(galaxy, band, y, x)``.
    radii : tuple of float
        In pixels.
    weights : torch.Tensor, optional
        Weight of each pixel in each aperture, as `Placement.weights` returns it; by default its share within circles
        around the center of the image.

    Returns
    -------
    fluxes : torch.Tensor
        Shape ``(galaxy, band, radius)``.
    areas : torch.Tensor
        Pixels of each aperture around the center of the image, shape ``(radius,)``.
    """
    masks = aperture_masks(*flux.shape[-2:], radii).to(flux)
    return flux.flatten(2) @ (masks if weights is None else weights).mT, masks.sum(1)


def log_apertures(flux, noise, radii, weights=None):
    """Return the softened log flux in circular apertures, asinh(f / 2s) with s the sky noise of the whole aperture.

    Parameters
    ----------
    flux : torch.Tensor
        Shape ``(galaxy, band, y, x)``.
    noise : torch.Tensor
        Sky noise of one pixel, shape ``(band, 1, 1)``.
    radii : tuple of float
        In pixels.
    weights : torch.Tensor, optional
        As of `aperture_fluxes`.

    Returns
    -------
    torch.Tensor
        Shape ``(galaxy, band, radius)``.
    """
    fluxes, areas = aperture_fluxes(flux, radii, weights)
    return torch.asinh(fluxes / (2 * noise[:, 0] * areas.sqrt()))


def _rings(apertures):
    """Differences of apertures and their next inner ones, and the innermost, along the last axis."""
    return torch.cat([apertures[..., :-1] - apertures[..., 1:], apertures[..., -1:]], -1)


class PhotometryHead(nn.Module):
    """Aperture fluxes of the target from those of the input, and a translation that is renormalized to them.

    A convolutional network sums the errors of a thousand pixels when it paints a galaxy, so its colors are worse than
    those of its input. Here the integrated fluxes are one small regression. It starts as the linear one of log fluxes
    on those of the input in six apertures, solved before training, which weighs the well measured against the noisy. A
    perceptron on the same values, colors, the backbone's embedding and its condition adds to it. Each band of the
    painted image is then multiplied by a smooth function of radius.

    Parameters
    ----------
    n_input, n_target : int
        Bands of the two surveys.
    n_extra : int
        Length of the embedding and condition of a galaxy.
    scale_ratio : float
        Target pixel scale over input pixel scale.
    width : int, optional
        Of the perceptron's two hidden layers.
    takes_missing : bool, optional
        Whether the input may lack bands or regions. The log fluxes of apertures without data are then replaced by
        their expectation given the others, under the Gaussian distribution of the training galaxies, and the
        perceptron also reads which are observed.
    centered : bool, optional
        Whether apertures follow the measured center of the galaxy and leave out its neighbors, see `place`. By default
        they are circles around the center of the image.
    """

    @deprecated_renamed_argument("step", "scale_ratio", "0.2")
    def __init__(self, n_input, n_target, n_extra, scale_ratio, width=128, takes_missing=False,
                 centered=False):
        super().__init__()
        self.takes_missing, self.centered, self.scale_ratio = takes_missing, centered, scale_ratio
        self.radii = aperture_radii(scale_ratio)
        coarser = max(1.0, scale_ratio)
        ratio = (_OUTERMOST / _INNERMOST) ** (1 / (_N_INPUT - 1))
        self.input_radii = tuple(_INNERMOST * coarser * ratio**k for k in range(_N_INPUT))
        n_features, n_fluxes = _N_INPUT * (2 * n_input - 1), _N_INPUT * n_input
        n_flags = n_fluxes if takes_missing else 0
        self.perceptron = nn.Sequential(
            nn.Linear(n_features + n_flags + n_extra, width), nn.GELU(), nn.Linear(width, width), nn.GELU(),
            nn.Linear(width, n_target * len(self.radii)),
        )
        with torch.no_grad():
            self.perceptron[-1].bias.zero_()
        self.register_buffer("feature_mean", torch.zeros(n_features))
        self.register_buffer("feature_spread", torch.ones(n_features))
        if takes_missing:
            self.register_buffer("covariance", torch.eye(n_fluxes))
        self.register_buffer("slopes", torch.zeros(n_target * N_APERTURES, n_features))
        # Mean and scatter of the target's log aperture fluxes, under the names that files have.
        for name, value in (("level_mean", 0.0), ("level_spread", 1.0)):
            self.register_buffer(name, torch.full((n_target, N_APERTURES), value))

    def place(self, flux, noise):
        """Return the `Placement` of the galaxies of the input, or None if apertures are around the middle of images.

        Parameters
        ----------
        flux, noise
            As of `forward`.
        """
        return measure_placement(flux, noise, max(1.0, self.scale_ratio)) if self.centered else None

    def place_target(self, placement, size):
        """Return the `Placement` on the target grid and the weights of its pixels in the apertures.

        Parameters
        ----------
        placement : Placement or None
            As `place` returns it.
        size : tuple of int
            Rows and columns of the target images.

        Returns
        -------
        placement : Placement or None
        weights : torch.Tensor or None
            As of `aperture_fluxes`.
        """
        if placement is None:
            return None, None
        placement = placement.on(size, self.scale_ratio)
        return placement, placement.weights(self.radii)

    def features(self, flux, noise, observed=None, placement=None):
        """Return the softened log fluxes of the input in its apertures and their differences between bands.

        Parameters
        ----------
        flux, noise
            As of `forward`.
        observed : torch.Tensor of bool, optional
            As `observed_apertures` returns it; the log fluxes of the others are replaced by their expectation.
        placement : Placement, optional
            As `place` returns it.

        Returns
        -------
        torch.Tensor
            Shape ``(galaxy, feature)``.
        """
        log_flux = log_apertures(flux, noise, self.input_radii, self._input_weights(placement))
        if observed is not None:
            log_flux = self._expected(log_flux.flatten(1), observed.flatten(1)).view_as(log_flux)
        return torch.cat([log_flux.flatten(1), (log_flux[:, 1:] - log_flux[:, :-1]).flatten(1)], 1)

    def _input_weights(self, placement):
        return None if placement is None else placement.weights(self.input_radii)

    def observed_apertures(self, valid, placement=None):
        """Return the input apertures of which, and of each within, at most a fifth has no data.

        Parameters
        ----------
        valid : torch.Tensor of bool
            Pixels with data, shape ``(galaxy, band, y, x)``.
        placement : Placement, optional
            As `place` returns it.

        Returns
        -------
        torch.Tensor of bool
            Shape ``(galaxy, band, radius)``.
        """
        missing, areas = aperture_fluxes((~valid).float(), self.input_radii, self._input_weights(placement))
        return (missing / areas).cummax(-1).values <= _MOST_MISSING

    def _expected(self, log_flux, observed):
        """Log fluxes, with those not observed replaced by their expectation given the observed ones."""
        n_fluxes = log_flux.shape[1]
        mean, known = self.feature_mean[:n_fluxes], observed.to(log_flux.dtype)
        covariance = self.covariance * known[:, :, None] * known[:, None] + torch.diag_embed(1 - known)
        offset = (log_flux - mean) * known
        solution = torch.linalg.solve(covariance, offset[..., None])[..., 0] * known
        return torch.where(observed, log_flux, mean + solution @ self.covariance)

    @torch.no_grad()
    def solve(self, features, log_flux):
        """Set the linear regression and the units of the perceptron.

        Parameters
        ----------
        features : torch.Tensor
            Of training galaxies, as `features` returns them.
        log_flux : torch.Tensor
            Log fluxes of their targets, as of `log_apertures`, shape ``(galaxy, target band, radius)``.
        """
        self.feature_mean.copy_(features.mean(0))
        if self.takes_missing:
            inputs = features[:, :len(self.covariance)].double()
            covariance = torch.cov(inputs.T, correction=0)
            self.covariance.copy_(covariance + _RIDGE * torch.eye(len(covariance), dtype=torch.float64))
        self.feature_spread.copy_(features.std(0, correction=0).clamp_min(1e-3))
        self.level_mean.copy_(log_flux.mean(0))
        x = ((features - self.feature_mean) / self.feature_spread).double()
        y = (log_flux - self.level_mean).flatten(1).double()
        # Colors are differences of the other features: the penalty makes the solution unique.
        slopes = torch.linalg.solve(x.T @ x + _PENALTY * torch.eye(x.shape[1], dtype=x.dtype), x.T @ y)
        self.slopes.copy_(slopes.T)
        rest = (y - x @ slopes).std(0, correction=0).clamp_min(1e-2)
        self.level_spread.copy_(rest.view_as(self.level_spread))

    def forward(self, flux, noise, extra, valid=None, placement=None):
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
        placement : Placement, optional
            As `place` returns it.

        Returns
        -------
        torch.Tensor
            Shape ``(galaxy, target band, radius)``.
        """
        parts = []
        observed = None if valid is None or not self.takes_missing else self.observed_apertures(valid, placement)
        features = (self.features(flux, noise, observed, placement) - self.feature_mean) / self.feature_spread
        if self.takes_missing:
            shape = len(flux), len(self.covariance)
            parts = [flux.new_ones(shape) if observed is None else observed.view(shape).to(flux.dtype)]
        added = self.perceptron(torch.cat([features.clamp(-_FAR, _FAR), *parts, extra], 1))
        added = added.unflatten(1, self.level_mean.shape)
        linear = (features @ self.slopes.T).unflatten(1, self.level_mean.shape)
        return (self.level_mean + linear + self.level_spread * added).clamp(-_BRIGHTEST, _BRIGHTEST)

    def renormalize(self, image, flux, extra, valid, input_noise, target_noise, placement=None):
        """Return a target image with the aperture fluxes that `forward` predicts, in float32 under autocast.

        The second value that is returned are the weights of its pixels in the apertures, as of `place_target`.

        Parameters
        ----------
        image : torch.Tensor
            Target flux, shape ``(galaxy, band, Y, X)``.
        flux, valid, placement
            As of `forward`.
        extra : list of torch.Tensor
            Parts of ``extra`` of `forward`.
        input_noise, target_noise : torch.Tensor
            Sky noise of one pixel, shape ``(band, 1, 1)``.
        """
        with torch.autocast(flux.device.type, enabled=False):
            extra = torch.cat([part.float() for part in extra], 1) if extra else flux.new_zeros(len(flux), 0)
            placed = self.place_target(placement, image.shape[-2:])
            log_flux = self(flux, input_noise, extra, valid, placement)
            return self.apply_to(image, log_flux, target_noise, *placed), placed[1]

    def apply_to(self, image, log_flux, noise, placement=None, weights=None):
        """Multiply each band of an image by a smooth function of radius so that its aperture fluxes are as predicted.

        The rings between the apertures are multiplied, with smoothed steps, in two passes: an error of a fifth becomes
        half a per cent. A pass changes the image by a factor of at most 7. Neighbors are left as they are.

        Parameters
        ----------
        image : torch.Tensor
            Target flux, shape ``(galaxy, band, Y, X)``.
        log_flux : torch.Tensor
            As `forward` returns it.
        noise : torch.Tensor
            Sky noise of one target pixel, shape ``(band, 1, 1)``.
        placement, weights : optional
            As `place_target` returns them.

        Returns
        -------
        torch.Tensor
            Shape of ``image``.
        """
        fluxes, areas = aperture_fluxes(image, self.radii, weights)
        rings = _rings(areas)
        inside = rings > 0.5  # a ring around a small image has no pixel to change
        softening = 2 * noise[:, 0] * rings.clamp_min(0.5).sqrt()
        wanted = torch.asinh(_rings(log_flux.sinh() * (2 * noise[:, 0] * areas.sqrt())) / softening)
        shares = self._shares(image, placement)
        for _ in range(_N_PASSES):
            change = (wanted - torch.asinh(_rings(fluxes) / softening)).clamp(-_LARGEST_CHANGE, _LARGEST_CHANGE)
            factor = (torch.where(inside, change, 0) @ shares).exp()
            image = image * factor.unflatten(-1, image.shape[-2:])
            fluxes, _ = aperture_fluxes(image, self.radii, weights)
        return image

    def _shares(self, image, placement):
        """Shares of pixels in the change of each ring, 1 in all without neighbors; ``(..., radius, Y * X)``."""
        if placement is None:
            y, x = (torch.arange(n, device=image.device) - 0.5 * (n - 1) for n in image.shape[-2:])
            radius = torch.hypot(y[:, None], x[None]).flatten()
        else:
            radius = placement.distance().flatten(1)[:, None]
        edges = torch.tensor(self.radii[1:], device=image.device)[:, None]
        within = torch.sigmoid((edges - radius) / (_SMOOTHNESS * edges)).to(image.dtype)
        whole = torch.ones_like(within[..., :1, :])
        shares = _rings(torch.cat([whole, within], -2).mT).mT
        return shares if placement is None else shares * (1 - placement.neighbors.flatten(2))
