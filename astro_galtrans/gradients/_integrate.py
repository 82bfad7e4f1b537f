"""From SED gradients back to an image, by least squares."""

from __future__ import annotations

import warnings
from typing import Any, TYPE_CHECKING

import astropy.units as u
import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.gradients._sed import softened_log
from astro_galtrans.images import BandCube

if TYPE_CHECKING:
    from astropy.units import Quantity, UnitBase

    from astro_galtrans.gradients._sed import SEDGradients

__all__ = ["integrate_gradients"]


def integrate_gradients(
    gradients: SEDGradients, *, anchor: str | None = None, total_flux: Quantity | None = None,
    unit: UnitBase | str = u.Jy,
) -> BandCube:
    """The image whose SED gradients are nearest to the given ones.

    Gradients along x and y give the softened log flux of each band up to a constant (a Poisson equation, solved by
    sparse least squares with equal weights). The constant of one band, the anchor, comes from its total flux; that
    of each other band from the gradients along the passbands, by least squares from neighbour to neighbour.

    Parameters
    ----------
    gradients : SEDGradients
        As `sed_gradients` gives, or changed.
    anchor : str, optional
        Band whose total flux is known; default the one of highest flux over softening.
    total_flux : `~astropy.units.Quantity`, optional
        Sum of the anchor's good pixels; default what ``gradients.total_flux`` holds.
    unit : `~astropy.units.Unit` or str, optional
        Unit of the image, as ``"nmgy"``.

    Returns
    -------
    BandCube
        Pixels that no gradient connects to the others are masked and NaN; a warning says how many have gradients
        all the same. The gradients of an image give it back to a relative 1e-6, or to the rounding of float32 images
        converted to Jy. No uncertainty is set.

    Raises
    ------
    ValueError
        If no gradient of the anchor band is finite, or the bands are not connected by any passband gradient.
    """
    bands = gradients.bands
    index = _anchor_index(gradients, anchor)
    softening = gradients.softening.to_value(u.Jy)
    step = np.diff(np.log(gradients.wavelength.value))
    relative = [_integrate_band(gradients, band) for band in range(len(bands))]
    flux: Any = [None] * len(bands)
    total = gradients.total_flux[index] if total_flux is None else u.Quantity(total_flux)
    flux[index] = _anchored(relative[index], softening[index], total.to_value(u.Jy))
    for this, known, pair, sign in _order(index, len(bands)):
        shared = max(softening[this], softening[known])
        slope = np.where(_finite(gradients.passband, pair), gradients.passband.data[pair], np.nan)
        wanted = softened_log(flux[known], shared) + sign * slope * step[pair]
        flux[this] = _joined(relative[this], softening[this], wanted, shared, bands[this])
    flux = np.stack(flux)
    mask = ~np.isfinite(flux)
    image = BandCube(flux, unit=u.Jy, wcs=gradients.wcs, bands=bands, survey=gradients.survey,
                     mask=mask if mask.any() else None, meta=dict(gradients.meta))
    return image.to_unit(unit)


def _anchor_index(gradients, anchor):
    if anchor is None:
        return int(np.argmax((gradients.total_flux / gradients.softening).value))
    if anchor not in gradients.bands:
        raise ValueError(f"anchor must be one of {', '.join(gradients.bands)}, got {anchor!r}")
    return gradients.bands.index(anchor)


def _order(index, n_bands):
    """(band, neighbour already known, passband element, sign) from the anchor outwards."""
    yield from ((band, band - 1, band - 1, 1) for band in range(index + 1, n_bands))
    yield from ((band, band + 1, band, -1) for band in range(index - 1, -1, -1))


def _finite(element, band):
    good = np.isfinite(element.data[band])
    return good if element.mask is None else good & ~element.mask[band]


def _integrate_band(gradients, band):
    """Softened log flux of one band with mean 0 over its largest connected part, NaN elsewhere."""
    along_x, along_y = _finite(gradients.x, band), _finite(gradients.y, band)
    ny, nx = along_y.shape[0] + 1, along_x.shape[1] + 1
    number = np.arange(ny * nx).reshape(ny, nx)
    first = np.concatenate([number[:, :-1][along_x], number[:-1][along_y]])
    second = np.concatenate([number[:, 1:][along_x], number[1:][along_y]])
    values = np.concatenate([gradients.x.data[band][along_x] * gradients.pixel_sides[0],
                             gradients.y.data[band][along_y] * gradients.pixel_sides[1]])
    if not len(values):
        raise ValueError(f"band {gradients.bands[band]} has no finite gradient along x or y")
    kept = _largest_part(first, second, ny * nx, gradients.bands[band])
    inside = kept[first]
    order = np.cumsum(kept) - 1
    n, m = int(kept.sum()), int(inside.sum())
    rows = np.arange(m)
    difference = sparse.csc_matrix(
        (np.repeat([-1.0, 1.0], m), (np.tile(rows, 2), np.concatenate([order[first[inside]], order[second[inside]]]))),
        shape=(m, n))
    normal = (difference.T @ difference).tolil()
    normal[0, 0] += 1.0  # fixes the free constant; the residual does not depend on it
    solution = splu(normal.tocsc()).solve(difference.T @ values[inside])
    out = np.full(ny * nx, np.nan)
    out[kept] = solution - solution.mean()
    return out.reshape(ny, nx)


def _largest_part(first, second, n, band):
    graph = sparse.coo_matrix((np.ones(len(first)), (first, second)), shape=(n, n))
    _, label = connected_components(graph, directed=False)
    size = np.bincount(label)
    touched = np.zeros(n, dtype=bool)
    touched[first] = touched[second] = True
    kept = label == np.argmax(size)
    lost = int((touched & ~kept).sum())
    if lost:
        warnings.warn(f"band {band}: {lost} pixels are cut off from the others by masked ones and stay masked",
                      GaltransWarning, stacklevel=4)
    return kept


def _anchored(relative, softening, total):
    """Flux from the relative softened log flux: the constant c with sum 2 s sinh(l + c) = total, in closed form."""
    good = np.isfinite(relative)
    rising = (2 * softening * np.exp(relative[good])).sum()
    falling = (2 * softening * np.exp(-relative[good])).sum()
    root = np.sqrt(total**2 + rising * falling)
    # the two forms are equal; each is free of cancellation for its sign of the total
    constant = np.log((total + root) / rising if total > 0 else falling / (root - total))
    return 2 * softening * np.sinh(relative + constant)


def _joined(relative, softening, wanted, shared, band):
    """Flux of a band whose softened log flux under the shared softening is nearest to ``wanted``."""
    good = np.isfinite(relative) & np.isfinite(wanted)
    if not good.any():
        raise ValueError(f"band {band} is not connected to its neighbour by any finite passband gradient")
    guess = softened_log(2 * shared * np.sinh(wanted[good]), softening) - relative[good]
    constant = np.median(guess)
    for _ in range(50):
        inner = relative[good] + constant
        flux = 2 * softening * np.sinh(inner)
        residual = wanted[good] - softened_log(flux, shared)
        slope = 2 * softening * np.cosh(inner) / np.sqrt(flux**2 + 4 * shared**2)
        change = (slope * residual).sum() / (slope**2).sum()
        constant += np.clip(change, -1.0, 1.0)
        if abs(change) < 1e-13:
            break
    return 2 * softening * np.sinh(relative + constant)
