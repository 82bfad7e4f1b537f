"""The galaxies that are nearest in a space of features; tensors in and out."""

import numpy as np
import torch

from astro_galtrans._utils.masked import floats

__all__ = ["FeatureSpace", "feature_array"]

# Elements of one block of distances, so that memory stays below about 100 MB.
_BLOCK = 4_000_000


def feature_array(features, n=None):
    """Features as a float64 array of shape ``(n, n_features)``, NaN where masked or not finite.

    Parameters
    ----------
    features : array_like, `~astropy.table.Table` or dict of str to array_like
        Shape ``(n,)`` or ``(n, n_features)``, or one column a feature.
    n : int, optional
        Number of galaxies expected.
    """
    if hasattr(features, "colnames"):
        features = {name: features[name] for name in features.colnames}
    columns = []
    for column in list(features.values()) if isinstance(features, dict) else [features]:
        column = floats(column, "features", dtype=float, kinds="iufb")
        columns.append(column[:, None] if column.ndim == 1 else column)
    n = len(columns[0]) if n is None and columns and columns[0].ndim else n
    if not columns or any(column.ndim != 2 or len(column) != n or not column.shape[1] for column in columns):
        shapes = ", ".join(str(column.shape) for column in columns)
        raise ValueError(f"features must have the shape ({n},) or ({n}, n_features), got {shapes or 'no column'}")
    joined = np.concatenate(columns, axis=1)
    return np.where(np.isfinite(joined), joined, np.nan)


class FeatureSpace:
    """Galaxies in a space of features, each divided by its spread so that units do not matter.

    Parameters
    ----------
    features : ndarray
        Finite, shape ``(n, n_features)``.
    scale : ndarray, optional
        Spread of each feature: by default the difference of its 75th and 25th percentile, which outliers hardly move,
        or its standard deviation where that is zero.
    """

    def __init__(self, features, scale=None):
        self.features = np.array(features, dtype=float)
        if scale is None:
            low, high = np.percentile(self.features, [25, 75], axis=0)
            scale = np.where(high > low, high - low, np.std(self.features, axis=0))
        self.scale = np.where(np.asarray(scale) > 0, scale, 1.0)

    def __len__(self):
        return len(self.features)

    def nearest(self, features, k, device, own=None):
        """The ``k`` nearest galaxies, nearest first, in blocks of places.

        Parameters
        ----------
        features : ndarray
            Places, finite, shape ``(m, n_features)``.
        k : int
        device : `torch.device`
        own : ndarray of int, optional
            For each place the galaxy that is not to count, shape ``(m,)``.

        Yields
        ------
        slice, `torch.Tensor`, `torch.Tensor`
            Rows of the block, their neighbours and the distances of those, both of shape ``(rows, k)``.
        """
        dtype = torch.float32 if device.type == "mps" else torch.float64
        here = torch.from_numpy(self.features / self.scale).to(device, dtype)
        there = torch.from_numpy(np.asarray(features, dtype=float) / self.scale).to(device, dtype)
        block = max(1, _BLOCK // len(here))
        for start in range(0, len(there), block):
            rows = slice(start, min(start + block, len(there)))
            distance = torch.cdist(there[rows], here, compute_mode="donot_use_mm_for_euclid_dist")
            if own is not None:
                distance.scatter_(1, torch.as_tensor(own[rows], device=device)[:, None], torch.inf)
            found = torch.topk(distance, k, dim=1, largest=False, sorted=True)
            yield rows, found.indices, found.values
