"""Parts of a field that share no piece of sky."""

from __future__ import annotations

from typing import Literal, TYPE_CHECKING

import numpy as np

from astro_galtrans._utils.masked import whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astro_galtrans.pairs import PairSet

__all__ = ["split_by_position"]


def split_by_position(
    pairs: PairSet, fractions: Sequence[float], *, axis: Literal["x", "y"] = "x",
) -> tuple[PairSet, ...]:
    """Parts of a set of pairs from different parts of their fields, so that no two share a galaxy or a pixel.

    A random split would put neighbours, and the same galaxy in two realisations of the noise, on both sides. Here each
    field is cut into strips across one axis, and galaxies whose target stamp reaches over a border are left out.

    Parameters
    ----------
    pairs : PairSet
        From `semi_real_pairs`: the catalogue must have ``field`` and the pixel of each galaxy.
    fractions : sequence of float
        Shares of the field's length, each above 0, together at most 1.
    axis : {"x", "y"}, optional
        The axis of the deep image that is cut.

    Returns
    -------
    tuple of PairSet

    Raises
    ------
    ValueError
        If the fractions are not as said, or a part would be empty.
    """
    if axis not in ("x", "y"):
        raise ValueError(f"axis must be 'x' or 'y', got {axis!r}")
    shares = whole(fractions, "fractions").astype(float)
    if shares.ndim != 1 or not len(shares) or np.any(~(shares > 0)) or shares.sum() > 1 + 1e-9:
        raise ValueError(f"fractions must be above 0 and together at most 1, got {fractions!r}")
    if pairs.catalog is None or not {"field", axis} <= set(pairs.catalog.colnames):
        raise ValueError(f"pairs must have a catalogue with columns field and {axis}")
    place, field = np.asarray(pairs.catalog[axis], dtype=float), np.asarray(pairs.catalog["field"])
    reach = pairs.target_flux.shape[-1] / 2 + 0.5
    low, high = place.copy(), place.copy()
    for number in np.unique(field):
        low[field == number], high[field == number] = place[field == number].min(), place[field == number].max()
    # from one stamp's end to the other's
    start, length = low - reach, high - low + 2 * reach
    parts, left = [], 0.0
    for share in shares:
        begin, end = start + left * length, start + (left + share) * length
        rows = np.flatnonzero((place - reach >= begin - 1e-6) & (place + reach <= end + 1e-6))
        if not len(rows):
            raise ValueError(f"fractions {list(map(float, shares))} leave a part without galaxies")
        parts.append(pairs.select(rows))
        left += share
    return tuple(parts)
