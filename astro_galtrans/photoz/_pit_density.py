"""The probability density of the PIT on [0, 1]: linear between nodes, fitted to a histogram; tensors in and out.

The density is a mixture of the triangles ("hats") that the nodes carry. Its weights, one row for each density wanted,
have the shape ``(m, n_nodes)``, are positive and sum to one, so that each density is normalised by construction.
"""

import torch

__all__ = ["PITBasis"]

_BINS_OF_CELL = 8
# Densities too narrow by a factor of two put 5 % of the PITs beyond the cumulative probability of four of their sigma.
_TAIL_SIGMAS = (-4.0, -3.5, -3.0, -2.5, -2.0)


def _nodes():
    tail = torch.special.ndtr(torch.tensor(_TAIL_SIGMAS, dtype=torch.float64, device="cpu"))
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64, device="cpu")
    inner = torch.arange(1, 20, dtype=torch.float64, device="cpu")
    return torch.cat([ends[:1], tail, inner / 20, 1 - tail.flip(0), ends[1:]])


class PITBasis:
    """Nodes of the PIT density, dense towards 0 and 1, and the fit of the weights.

    The nodes are 0.05 apart, and beyond 0.05 and 0.95 half a sigma of a normal distribution, to 4 sigma: where
    densities are too narrow the PIT piles up at both ends.

    Parameters
    ----------
    device : `torch.device`
    dtype : `torch.dtype`
    """

    def __init__(self, device, dtype):
        place = {"device": device, "dtype": dtype}
        nodes = _nodes()
        parts = torch.arange(_BINS_OF_CELL, dtype=torch.float64, device="cpu") / _BINS_OF_CELL
        edges = (nodes[:-1, None] + parts * torch.diff(nodes)[:, None]).flatten()
        edges = torch.cat([edges, nodes[-1:]])
        centres = 0.5 * (edges[1:] + edges[:-1])
        half = 0.5 * torch.diff(nodes)
        area = torch.nn.functional.pad(half, (0, 1)) + torch.nn.functional.pad(half, (1, 0))
        above = (centres[:, None] - nodes[:-1]) / torch.diff(nodes)
        rise = torch.nn.functional.pad(above, (1, 0), value=torch.inf)
        fall = torch.nn.functional.pad(1 - above, (0, 1), value=torch.inf)
        hats = torch.minimum(rise, fall).clamp(min=0)
        self.nodes, self.area, self.edges = nodes.to(**place), area.to(**place), edges.to(**place)
        # Hats are straight within a bin: the value at the centre is the mean over the bin.
        self.shapes = (hats / area).to(**place)

    @property
    def uniform(self):
        """Weights of the uniform density, shape ``(1, n_nodes)``."""
        return self.area[None]

    def bins_of(self, pit):
        """Bin of the histogram that each PIT falls into."""
        inner = self.edges[1:-1]
        return torch.bucketize(pit.to(self.edges).contiguous(), inner, right=True)

    def histogram(self, bins, weights=None):
        """Weighted counts of the bins along the last axis, shape ``(m, n_bins)`` for ``(m, k)``."""
        counts = torch.zeros(len(bins), len(self.edges) - 1, device=self.edges.device, dtype=self.edges.dtype)
        weights = torch.ones_like(bins, dtype=counts.dtype) if weights is None else weights
        return counts.scatter_add_(1, bins, weights)

    def fit(self, counts, prior, strength, n_iterations):
        """Weights of greatest posterior probability, by expectation and maximisation.

        Parameters
        ----------
        counts : `torch.Tensor`
            Histograms, shape ``(m, n_bins)``.
        prior : `torch.Tensor`
            Weights that the fit starts from and is drawn to, ``(1, n_nodes)`` or ``(m, n_nodes)``.
        strength : float
            How many galaxies the prior counts for (a Dirichlet prior).
        n_iterations : int

        Returns
        -------
        `torch.Tensor`
            Shape ``(m, n_nodes)``.
        """
        weights = prior.expand(len(counts), -1)
        total = counts.sum(dim=1, keepdim=True) + strength
        for _ in range(n_iterations):
            share = weights * ((counts / (weights @ self.shapes.T)) @ self.shapes)
            weights = (share + strength * prior) / total
        return weights

    def log_density(self, weights, bins):
        """Logarithm of the densities, averaged over the bin of one PIT each, shape ``(m,)``."""
        density = weights.expand(len(bins), -1) @ self.shapes.T
        return density.gather(1, bins[:, None])[:, 0].log()

    def density(self, weights, pit):
        """Densities at PITs of shape ``(m, k)``."""
        cell = self._cell(pit)
        height = (weights / self.area).expand(len(pit), -1)
        left, right = height.gather(1, cell), height.gather(1, cell + 1)
        return left + (right - left) * self._part(pit, cell)

    def cumulative(self, weights, pit):
        """Cumulative probabilities at PITs of shape ``(m, k)``."""
        cell = self._cell(pit)
        height = (weights / self.area).expand(len(pit), -1)
        whole = 0.5 * (height[:, 1:] + height[:, :-1]) * torch.diff(self.nodes)
        before = torch.nn.functional.pad(torch.cumsum(whole, dim=1), (1, 0)).gather(1, cell)
        left, right = height.gather(1, cell), height.gather(1, cell + 1)
        part, width = self._part(pit, cell), torch.diff(self.nodes)[cell]
        return before + width * part * (left + 0.5 * (right - left) * part)

    def _cell(self, pit):
        return (torch.searchsorted(self.nodes, pit.contiguous(), right=True) - 1).clamp(0, len(self.nodes) - 2)

    def _part(self, pit, cell):
        return (pit - self.nodes[cell]) / (self.nodes[cell + 1] - self.nodes[cell])
