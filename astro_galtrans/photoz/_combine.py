"""Combination of several ensembles of redshift densities of the same galaxies."""

from __future__ import annotations

from typing import Literal, TYPE_CHECKING

import numpy as np
import torch

from astro_galtrans._utils.masked import floats, is_tensor
from astro_galtrans._utils.torch_state import as_tensor
from astro_galtrans.photoz._pdf import RedshiftPDF

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

__all__ = ["combine"]

_METHODS = ("arithmetic", "harmonic", "geometric")


def _check(ensembles):
    members = list(ensembles)
    if not members or not all(isinstance(member, RedshiftPDF) for member in members):
        kinds = ", ".join(type(member).__name__ for member in members) or "nothing"
        raise TypeError(f"ensembles must be a sequence of RedshiftPDF, got {kinds}")
    first = members[0]
    for number, member in enumerate(members[1:], 1):
        if len(member) != len(first):
            raise ValueError(f"ensembles must be of the same galaxies: {len(first)} in the first, {len(member)} in "
                             f"number {number}")
        if member.interpolation != first.interpolation or not torch.equal(
                member._grid.cpu().double(), first._grid.cpu().double()):
            raise ValueError(f"ensembles must share one grid; number {number} has another: use RedshiftPDF.regrid")
    return members


def _weights(weights, members):
    """Return weights of shape ``(n_members, n_galaxies or 1)``."""
    first = members[0]
    values = np.ones(len(members)) if weights is None else weights
    values = as_tensor(values if is_tensor(values) else np.array(floats(values, "weights", dtype=float)))
    values = values.to(device=first.device, dtype=first._density.dtype)
    if values.shape not in ((len(members),), (len(members), len(first))):
        raise ValueError(f"weights must have the shape ({len(members)},) or ({len(members)}, {len(first)}), got "
                         f"{tuple(values.shape)}")
    if not bool(((values >= 0) & torch.isfinite(values)).all()):
        raise ValueError("weights must be finite and not negative")
    return values.reshape(len(members), -1)


def _pooled(member, weight, method, tiny):
    """Return the term of one member in the sum over the members."""
    density = torch.nan_to_num(member)
    if method == "arithmetic":
        return weight * density
    zero = torch.where(density > 0, 0.0, torch.inf).to(density)
    floored = density.clamp(min=tiny)
    value = 1 / floored if method == "harmonic" else -floored.log()
    # A member without weight has no effect, also where it is zero.
    return torch.where(weight > 0, weight * value + zero, torch.zeros_like(density))


def combine(
    ensembles: Sequence[RedshiftPDF], weights: ArrayLike | None = None, *,
    method: Literal["arithmetic", "harmonic", "geometric"] = "arithmetic", on_masked: Literal["mask", "skip"] = "mask",
    on_invalid: Literal["mask", "raise"] = "mask",
) -> RedshiftPDF:
    """Combine ensembles of redshift densities of the same galaxies, for example of several estimators.

    With weights w_k that sum to one for each galaxy, at each grid point (in each bin) and normalized afterwards:

    ==============  ==========================  =====================================================================
    arithmetic      sum w_k p_k                 the linear pool (Stone 1961, Ann. Math. Stat. 32, 1339): one of the
                                                members is right; contains the differences of the members
    harmonic        1 / sum(w_k / p_k)          the mean of Lin et al. (2024, A&A 691, A331) for members with
                                                independent errors: nearly zero where one member is
    geometric       exp(sum w_k ln p_k)         the log-linear pool (Genest & Zidek 1986, Stat. Sci. 1, 114), between
                                                the two
    ==============  ==========================  =====================================================================

    The arithmetic mean is exact between the grid points, the others are evaluated at the grid points with lines between
    them. The geometric mean of two Gaussians of one width s is a Gaussian of width s about the mean of their means.

    Parameters
    ----------
    ensembles : sequence of RedshiftPDF
        Of the same galaxies on the same grid.
    weights : array_like, optional
        Shape ``(n_ensembles,)``, or ``(n_ensembles, n_galaxies)``; equal by default. Their scale does not matter.
    method : {"arithmetic", "harmonic", "geometric"}, optional
        The mean.
    on_masked : {"mask", "skip"}, optional
        Whether a galaxy that is masked in one ensemble is masked in the result, or combined from the others.
    on_invalid : {"mask", "raise"}, optional
        Whether a galaxy is masked, with a warning, or an error, if the mean is zero everywhere because no redshift is
        possible in all ensembles.

    Returns
    -------
    RedshiftPDF

    Raises
    ------
    TypeError
        If an ensemble is not a RedshiftPDF.
    ValueError
        For ensembles with different numbers of galaxies or grids, or weights of another shape.

    Examples
    --------
    >>> from astro_galtrans.photoz import RedshiftPDF, combine
    >>> one, other = (RedshiftPDF([0.0, 1.0, 2.0], [row], tolerance=9) for row in ([1, 1, 0], [0, 1, 1]))
    >>> combine([one, other]).density.round(3)
    array([[0.333, 0.667, 0.333]])
    >>> combine([one, other], method="harmonic").density
    array([[0., 1., 0.]])
    """
    if method not in _METHODS:
        raise ValueError(f"method must be one of {', '.join(_METHODS)}, got {method!r}")
    if on_masked not in ("mask", "skip"):
        raise ValueError(f"on_masked must be 'mask' or 'skip', got {on_masked!r}")
    members = _check(ensembles)
    first, weights = members[0], _weights(weights, members)
    valid = torch.stack([member._valid.to(first.device) for member in members])
    good = valid.any(dim=0) if on_masked == "skip" else valid.all(dim=0)
    weights = weights * valid if on_masked == "skip" else weights.expand(valid.shape)
    share = weights.sum(dim=0)
    total = torch.zeros_like(first._density)
    tiny = torch.finfo(total.dtype).tiny
    for member, weight in zip(members, weights / torch.where(share > 0, share, torch.ones_like(share))):
        total += _pooled(member._density.to(total), weight[:, None], method, tiny)
    if method == "harmonic":
        total = 1 / total
    elif method == "geometric":
        # Relative to the highest value, because the product of many small ones underflows.
        least = total.amin(dim=1, keepdim=True)
        total = torch.exp(torch.where(torch.isfinite(least), least, torch.zeros_like(least)) - total)
    total[~good] = float("nan")
    total[good & (share == 0)] = 0
    grid, density = (first._grid, total) if first._is_tensor else (first.grid, total.cpu().numpy())
    return RedshiftPDF(grid, density, on_invalid=on_invalid, tolerance=torch.inf, interpolation=first.interpolation)
