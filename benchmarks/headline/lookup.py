"""Lookup of runs in the table of results."""

import numpy as np

from headline.bootstrap import combine_seeds, missing

__all__ = ["BACKBONES", "ESTIMATORS", "INPUT", "INPUT_VARIANTS", "TARGET", "VARIANTS", "Runs"]

BACKBONES = ("unet", "swin", "srgan", "capsule", "diffusion")
INPUT_VARIANTS = ("gradient+redshift", "gradient+spectrum")
VARIANTS = ("conventional", "gradient", *INPUT_VARIANTS)
ESTIMATORS = ("transfer", "retrained")
INPUT, TARGET = "real input", "real target"
_SAMPLES = ("bright", "faint")
_TEXTS = ("sample", "group", "run", "backbone", "variant", "config_hash", "device", "precision", "processor",
          "version_astro_galtrans", "version_torch")


def _find(tree, key):
    """Return a number of a nested mapping, NaN if it is missing."""
    if key in tree:
        return float(tree[key])
    found = [_find(value, key) for value in tree.values() if isinstance(value, dict)]
    return next((value for value in found if np.isfinite(value)), np.nan)


class Runs:
    """The rows of a table of results.

    Missing columns and cells are NaN or an empty string. Of several rows with the same settings the last one counts.

    Parameters
    ----------
    results : `~astropy.table.Table`
    sample : str, optional
        Use only this sample.
    """

    def __init__(self, results, sample=None):
        self.meta = dict(results.meta)
        self.units = {name: results[name].unit for name in results.colnames}
        self.n = len(results)
        self._texts, self.columns = {}, {}
        for name in results.colnames:
            column = np.ma.asarray(results[name])
            if name in _TEXTS:
                self._texts[name] = ["" if cell is np.ma.masked else str(cell) for cell in column]
            elif column.dtype.kind in "fiub":
                self.columns[name] = np.asarray(np.ma.filled(column.astype(float), np.nan))
        names = dict.fromkeys(self.text("sample", index) for index in range(self.n))
        if sample is not None and self.n and sample not in names:
            raise ValueError(f"sample must be one of {', '.join(names)}, got {sample!r}")
        ordered = [*(name for name in _SAMPLES if name in names), *(name for name in names if name not in _SAMPLES)]
        self.samples = ordered if sample is None else [name for name in ordered if name == sample]
        self.bands = tuple(self.meta.get("bands", "ugriz"))
        self.n_test = _find(self.meta, "n_test")

    def text(self, column, index):
        return self._texts[column][index] if column in self._texts else ""

    def number(self, column, index):
        """Return a float, or an array of the column's shape."""
        return self.columns[column][index] if column in self.columns else np.nan

    def find(self, sample, group, backbone=None, variant=None, *, seeds=None, **numbers):
        """Return the indices of rows, one per seed.

        Parameters
        ----------
        seeds : collection of int, optional
            Use only these seeds.
        **numbers
            Required values of columns, as ``fraction=0.1``.
        """
        wanted = {"sample": sample, "group": group, "backbone": backbone, "variant": variant}
        found = {}
        for index in range(self.n):
            if any(value is not None and self.text(name, index) != value for name, value in wanted.items()):
                continue
            if any(not np.isclose(self.number(name, index), value) for name, value in numbers.items()):
                continue
            seed = self.seed(index)
            if seeds is None or seed in seeds:
                found[seed] = index
        return list(found.values())

    def first(self, sample, *places, seeds=None, **numbers):
        """Return the rows of the first ``(group, backbone, variant)`` that has any."""
        found = (self.find(sample, *place, seeds=seeds, **numbers) for place in places)
        return next(filter(None, found), [])

    def seed(self, index):
        seed = self.number("seed", index)
        return int(seed) if np.isfinite(seed) else 0

    def seeds(self, rows):
        return {self.seed(index) for index in rows}

    def distinct(self, sample, group, column):
        """Return the values of a column in a group, in order of appearance."""
        rows = [index for index in range(self.n)
                if self.text("sample", index) == sample and self.text("group", index) == group]
        read = self.text if column in _TEXTS else self.number
        return list(dict.fromkeys(value for value in (read(column, index) for index in rows) if value == value))

    def backbones(self, sample, group="matrix"):
        there = self.distinct(sample, group, "backbone")
        return [*(name for name in BACKBONES if name in there), *(name for name in there if name not in BACKBONES)]

    def nmad(self, rows, estimator):
        """Return the NMAD of the redshifts, mean over the seeds."""
        return self.drawn(rows, f"nmad_{estimator}")

    def drawn(self, rows, column):
        """Return a number that has draws, mean over the seeds."""
        if not rows or column not in self.columns:
            return missing()
        values = [self.number(column, index) for index in rows]
        if f"{column}_draws" in self.columns:
            draws = [self.number(f"{column}_draws", index) for index in rows]
        else:
            draws = np.full((len(rows), 1), np.nan)
        parts = [*(self.text(name, rows[0]) for name in ("sample", "backbone", "variant")),
                 str(self.number("fraction", rows[0])), str(self.number("n_steps", rows[0]))]
        return combine_seeds(values, draws, "/".join(parts))

    def reference(self, sample, name, estimator):
        """Return the NMAD on real images."""
        return self.nmad(self.reference_rows(sample, name), estimator)

    def reference_rows(self, sample, name):
        rows = [index for index in range(self.n) if self.text("sample", index) == sample
                and self.text("group", index) == "reference" and self.text("run", index) == name]
        return rows[-1:]

    def mean(self, rows, column):
        """Return the mean of a column over the seeds, a float or an array; NaN where no seed has it."""
        if not rows or column not in self.columns:
            return np.nan
        values = np.stack([np.asarray(self.number(column, index)) for index in rows])
        there = np.isfinite(values)
        with np.errstate(invalid="ignore"):
            return (np.where(there, values, 0).sum(axis=0) / there.sum(axis=0))[()]

    def errors(self, rows, stem):
        """Return the root of the sum of the squares of bias and scatter."""
        return np.hypot(self.mean(rows, f"{stem}_bias"), self.mean(rows, f"{stem}_scatter"))

    def best(self, variant):
        """Return the backbone with the smallest geometric mean NMAD over samples and estimators, or None.

        Backbones that lack a number that another one has are left out.
        """
        logs = {}
        for backbone in dict.fromkeys(name for sample in self.samples for name in self.backbones(sample)):
            values = [self.nmad(self.find(sample, "matrix", backbone, variant), estimator).value
                      for sample in self.samples for estimator in ESTIMATORS]
            logs[backbone] = np.log(values)
        if not logs:
            return None
        there = np.isfinite(list(logs.values())).any(axis=0)
        means = {name: values[there].mean() for name, values in logs.items() if there.any()}
        means = {name: value for name, value in means.items() if np.isfinite(value)}
        return min(means, key=means.get) if means else None
