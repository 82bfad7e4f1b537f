"""How often the true redshift lies in the regions that hold a given probability."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from astropy.table import Table

from astro_galtrans._utils.masked import floats
from astro_galtrans._utils.torch_state import as_tensor
from astro_galtrans.photoz._pdf import RedshiftPDF
from astro_galtrans.photoz._pit import calibration_error, sorted_levels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["coverage"]


def coverage(pdf: RedshiftPDF, z_spec: ArrayLike, levels: ArrayLike | None = None) -> Table:
    """Coverage of the credible regions of redshift densities.

    For calibrated densities a fraction a of the true redshifts lies in the regions of probability a. Two kinds of
    regions are counted: central intervals, from the quantile (1 - a) / 2 to (1 + a) / 2, and regions of highest
    density, the smallest of their probability (Wittman, Bhaskar & Tobin 2016, MNRAS 457, 4005), which may fall into
    pieces.

    Parameters
    ----------
    pdf : RedshiftPDF
        Densities; masked rows are left out and counted.
    z_spec : array_like
        True redshifts, shape ``(n_galaxies,)``.
    levels : array_like, optional
        Probabilities from 0 to 1, by default 0.05, 0.10 ... 0.95.

    Returns
    -------
    `~astropy.table.Table`
        Columns ``level``, ``central`` and ``highest_density``; ``meta`` has the expected calibration errors ``ece``
        and ``ece_hpd`` (integrals of \\|coverage - level\\| over all levels, `distribution_metrics`) and the numbers of
        galaxies ``n``, ``n_masked`` and ``n_normalised``.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_galtrans.photoz import RedshiftPDF, coverage
    >>> pdf = RedshiftPDF([0.0, 1.0], np.ones((4, 2)))
    >>> table = coverage(pdf, [0.1, 0.4, 0.6, 0.95], [0.5])
    >>> print(table["central"][0])
    0.5
    """
    if not isinstance(pdf, RedshiftPDF):
        raise TypeError(f"pdf must be a RedshiftPDF, got {type(pdf).__name__}")
    levels = np.arange(1, 20) / 20 if levels is None else np.atleast_1d(floats(levels, "levels", dtype=float))
    if levels.ndim != 1 or not np.all((levels >= 0) & (levels <= 1)):
        raise ValueError(f"levels must be one-dimensional and from 0 to 1, got {levels!r}")
    if pdf.n_masked == len(pdf):
        raise ValueError("pdf has no galaxy that is not masked")
    valid = pdf._valid
    regions = {
        "central": (2 * as_tensor(pdf.pit(z_spec)).to(pdf.device)[valid] - 1).abs(),
        "highest_density": as_tensor(pdf.credible_level(z_spec)).to(pdf.device)[valid],
    }
    counts = pdf.counts
    table = Table({"level": levels}, meta={**counts, "n": counts["n"] - counts["n_masked"]})
    for (name, values), error in zip(regions.items(), ("ece", "ece_hpd")):
        ordered = sorted_levels(values, name)
        inside = torch.searchsorted(ordered, torch.from_numpy(levels).to(ordered), right=True)
        table[name] = inside.cpu().numpy() / len(ordered)
        table.meta[error] = float(calibration_error(ordered))
    return table
