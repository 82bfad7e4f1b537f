"""What was found about redshift densities: tables, figures, and the folder they are written into."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from astro_galtrans._utils.figures import STYLE
from astro_galtrans._utils.io import whole_folder
from astro_galtrans._utils.optional import optional

if TYPE_CHECKING:
    from os import PathLike

    import numpy as np
    from astropy.table import Table
    from matplotlib.figure import Figure

__all__ = ["METRICS_FILE", "RedshiftJudgement", "check_folder"]

METRICS_FILE = "metrics.ecsv"


class RedshiftJudgement:
    """What `judge_redshifts` found.

    Attributes
    ----------
    metrics : `~astropy.table.Table`
        One row a metric: ``of`` (``"point"``, ``"density"`` or ``"n(z)"``), ``estimate`` (which point estimate),
        ``metric``, ``value``, its interval ``low`` and ``high`` (NaN where there is none), and ``n`` galaxies. The
        counts of galaxies left out, and the settings, are in ``meta``.
    bins : dict of str to `~astropy.table.Table`
        For ``"z_spec"``, ``"z_phot"`` and each other quantity the metrics in its bins.
    z_spec, z_phot, pit : ndarray
        Of the galaxies with a density and a true redshift; z_phot is NaN where there is none.
    nz : `~astropy.table.Table`
        ``redshift``, and ``stacked``, the mean of the densities there.
    """

    def __init__(
        self, metrics: Table, bins: dict[str, Table], z_spec: np.ndarray, z_phot: np.ndarray, pit: np.ndarray,
        nz: Table,
    ) -> None:
        self.metrics, self.bins, self.z_spec, self.z_phot, self.pit, self.nz = metrics, bins, z_spec, z_phot, pit, nz

    def __repr__(self) -> str:
        return f"<RedshiftJudgement: {len(self.z_spec)} galaxies, {len(self.metrics)} metrics>"

    def __getitem__(self, name: str) -> float:
        """The value of a metric, of the first estimate that has it."""
        return float(self.metrics["value"][list(self.metrics["metric"]).index(name)])

    def summary(self) -> str:
        """What was judged, what was left out and why, and the main metrics, in one line."""
        meta = self.metrics.meta
        left_out = [f"{meta[key]:,} {words}" for key, words in (
            ("n_without_density", "without a valid density"), ("n_without_z_spec", "without a usable true redshift"),
            ) if meta[key]]
        text = f"{meta['n_used']:,} of {meta['n_galaxies']:,} galaxies judged"
        text += f" ({', '.join(left_out)})" if left_out else ""
        if meta["n_without_z_phot"]:
            text += f", {meta['n_without_z_phot']:,} of them without a point estimate"
        return (f"{text}; NMAD {self['nmad']:.4f}, bias {self['bias_median']:+.4f}, CRPS {self['crps']:.4f}, "
                f"KS of the PIT {self['pit_ks']:.4f}")

    def figures(self) -> dict[str, Figure]:
        """The diagnostic figures.

        Returns
        -------
        dict of str to `matplotlib.figure.Figure`
            ``"z_density"``, ``"pit"``, ``"qq"``, ``"bias"``, ``"nz"``, and ``"bins_NAME"`` for each quantity in whose
            bins was judged.

        Raises
        ------
        ImportError
            Without matplotlib, which is in ``astro_galtrans[report]``.
        """
        from astro_galtrans.photoz._figures import make_figures

        return make_figures(self)

    def write(self, out: str | PathLike, overwrite: bool = False) -> Path:
        """Write the tables and figures into a folder, which appears when all of it is there.

        Parameters
        ----------
        out : str or path-like
            Folder to make; an empty one may be there.
        overwrite : bool, optional
            Whether a folder that an earlier call wrote may be replaced.

        Returns
        -------
        `~pathlib.Path`
            The folder.
        """
        matplotlib = optional("matplotlib", "report", "figures")
        path = check_folder(out, overwrite)
        with whole_folder(path) as partial:
            self.metrics.write(partial / METRICS_FILE, format="ascii.ecsv")
            self.nz.write(partial / "nz.ecsv", format="ascii.ecsv")
            for name, table in self.bins.items():
                table.write(partial / f"bins_{_file_name(name)}.ecsv", format="ascii.ecsv")
            with matplotlib.rc_context(STYLE):
                for name, figure in self.figures().items():
                    figure.savefig(partial / f"{_file_name(name)}.png", dpi=150, metadata={"Software": None})
        return path


def check_folder(out, overwrite):
    """The folder to write, as an absolute path, or an error where it cannot be made: better before the work."""
    path = Path(os.path.realpath(out))
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot make {path}: the folder {path.parent} does not exist")
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"{path} is a file, not a folder to write to")
    if path.is_dir() and any(path.iterdir()):
        if not overwrite:
            raise FileExistsError(f"{path} is there already and not empty; overwrite=True replaces it")
        if not (path / METRICS_FILE).is_file():
            raise FileExistsError(f"{path} has no {METRICS_FILE}: it holds something else and is not overwritten")
    return path


def _file_name(name):
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)
