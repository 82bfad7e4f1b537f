"""What the networks of all estimators have in common: from their outputs to densities on a grid."""

import torch
from torch import nn

from astro_galtrans.objectives.conditional_density import ConditionalDensity
from astro_galtrans.photoz._piecewise import trapezoid_weights

__all__ = ["DensityModel"]


class DensityModel(nn.Module):
    """Base of the models: a network's outputs become densities at the points of a grid.

    Subclasses make ``network``, with ``n_outputs`` outputs, and a ``forward`` that gives them.

    Parameters
    ----------
    grid : ndarray
        Redshifts, shape ``(n_grid,)``.
    output : {"bins", "density"}
        Whether the outputs are logits over the grid or conditions of a `ConditionalDensity`.
    """

    def __init__(self, grid, output):
        super().__init__()
        redshift = torch.tensor(grid, dtype=torch.float64)
        self.n_outputs, self.flow = len(grid), None
        if output == "density":
            self.flow = ConditionalDensity()
            self.n_outputs = self.flow.n_inputs
            # The flow's number runs from -2 to 2 over the grid.
            scale = 0.25 * float(grid[-1] - grid[0])
            self._offset = (0.5 * float(grid[-1] + grid[0]), scale)
            self.register_buffer("points", self.standardised(redshift).float(), persistent=False)
        self.register_buffer("log_cell", trapezoid_weights(redshift).log().float())
        self.register_buffer("power", torch.ones(()))

    def standardised(self, redshift):
        """Redshifts as the flow sees them."""
        return (redshift - self._offset[0]) / self._offset[1]

    def logits(self, outputs):
        """Logarithm of the probability around each grid point, up to a constant for each galaxy."""
        if self.flow is None:
            return outputs
        return self.flow.log_prob(self.points.expand(len(outputs), -1), outputs) + self.log_cell

    def density(self, logits):
        """Normalised densities at the grid points: the logits are of the probability around each of them."""
        powered = self.power * (logits.float() - self.log_cell)
        return (torch.log_softmax(powered + self.log_cell, dim=1) - self.log_cell).exp()
