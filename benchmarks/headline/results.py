"""The table of results: its columns, one small file per training, and the merged ``results.ecsv``."""

import json
import logging
import os
from typing import NamedTuple

import numpy as np
from astropy.table import Column, Table

from headline.data import locked, write_text
from headline.plan import SAMPLES, SEEDS, STUDIES, benchmark_runs

__all__ = ["BANDS", "COLORS", "REFERENCES", "REFERENCE_KEY", "RESULTS", "column_names", "has_row", "merge_rows",
           "read_row", "write_row"]

log = logging.getLogger(__name__)

RESULTS = "results.ecsv"
REFERENCES = ("real input", "real target", "resampled input")
# Key of reference rows, which belong to no run.
REFERENCE_KEY = "reference"
BANDS = ("u", "g", "r", "i", "z")
COLORS = ("u-g", "g-r", "r-i", "i-z")
SHAPES = ("half_light_radius", "concentration", "asymmetry", "sersic_index")
RELATIVE = ("half_light_radius", "sersic_index")


class _Kind(NamedTuple):
    text: str
    empty: object = np.nan
    unit: str | None = None
    length: int | None = None


def _numbers(n_draws):
    """Return the measured columns by name."""
    columns = {}
    for estimator, on in (("transfer", "real images of training galaxies"), ("retrained", "images as in this row")):
        which = f"estimator trained on {on}"
        columns |= {
            f"nmad_{estimator}": _Kind(f"1.4826 median |dz - median dz|, dz = (z_phot - z) / (1 + z); {which}"),
            f"outlier_{estimator}": _Kind(f"share of the galaxies with |dz| > 0.05; {which}"),
            f"bias_{estimator}": _Kind(f"median dz; {which}"),
            f"nmad_{estimator}_draws": _Kind(
                "NMAD of resampled test galaxies, the same ones in every row of a sample", length=n_draws),
            f"outlier_{estimator}_draws": _Kind(f"as nmad_{estimator}_draws, of the share of outliers", length=n_draws)}
    for stem, what, unit, length in (
            ("color", f"color in an aperture of 4 arcsec minus that of the truth; {', '.join(COLORS)}", "mag", 4),
            ("slope", f"slope of color with log10 radius, minus true slope; {', '.join(COLORS)}", "mag / dex", 4),
            ("slope_early", "as slope, of galaxies with a bulge fraction above 0.5", "mag / dex", 4),
            ("slope_late", "as slope, of the others", "mag / dex", 4),
            ("aperture", "relative error of flux in an aperture of 4 arcsec where S/N > 20; u, g, r, i, z", None, 5),
            ("peak", "peak flux minus that of the truth; u, g, r, i, z", "mag", 5),
            ("peak_color", f"difference of the errors of two peak fluxes; {', '.join(COLORS)}", "mag", 4),
            *((f"morphology_{name}", f"{'relative ' * (name in RELATIVE)}error of {name} in r", None, None)
              for name in SHAPES)):
        stem, _, kind = stem.partition("_") if stem.startswith("slope_") else (stem, "", "")
        end = f"_{kind}" if kind else ""
        columns |= {f"{stem}_scatter{end}": _Kind(f"1.4826 median |x - median x| of {what}", unit=unit, length=length),
                    f"{stem}_bias{end}": _Kind(f"median of {what}", unit=unit, length=length)}
    columns["population_auc"] = _Kind(
        "area under the ROC curve for bulge fractions above 0.5, of populations found without labels")
    columns["relative_rmse"] = _Kind("median of rms error over rms of the truth; u, g, r, i, z", length=5)
    return columns


def _columns(n_draws):
    """Return all columns by name."""
    return {
        "sample": _Kind("simulated sample", "-"), "group": _Kind("comparison that the row is part of", "-"),
        "run": _Kind("name, of one training in a sample", "-"), "backbone": _Kind("network", "-"),
        "variant": _Kind("what it is trained with", "-"), "seed": _Kind("of the training; -1 without", -1),
        "fraction": _Kind("share of the training pairs"), "budget": _Kind("optimizer steps over those of the matrix"),
        "n_pairs": _Kind("training pairs", 0), "n_steps": _Kind("optimizer steps", 0),
        "config_hash": _Kind("SHA-256 of the TrainConfig", "-"), "translator_hash": _Kind("of the translator", "-"),
        "parameters": _Kind("of the network", 0), "sampling_steps": _Kind("of a diffusion, else 0", 0),
        "device": _Kind("of the training", "-"), "processor": _Kind("of the machine", "-"),
        "threads": _Kind("of torch", 0), "precision": _Kind("of the training", "-"),
        "version_astro_galtrans": _Kind("", "-"), "version_torch": _Kind("", "-"),
        "seconds": _Kind("wall-clock time of the training", unit="s"),
        "translate_seconds": _Kind("wall-clock time of translating 1000 galaxies", unit="s"),
        "memory": _Kind("most memory that the process had until then", unit="MB"),
        "n_failed": _Kind("test galaxies with masked pixels or a translation that is not finite, left out", 0),
        "n_morphology": _Kind("test galaxies whose size and shape are measured", 0),
        **_numbers(n_draws)}


def column_names(n_draws=1):
    """Return the names of the measured columns."""
    return list(_numbers(n_draws))


def _path(out, sample, name, key):
    slug = name.replace("/", "-").replace(" ", "-")
    return out / sample / "rows" / f"{slug}-{key[:12]}.json"


def has_row(out, sample, name, key):
    """Return whether a run is finished."""
    return _path(out, sample, name, key).exists()


def write_row(out, sample, name, key, row):
    """Store the row of a run, a dict of plain values."""
    path = _path(out, sample, name, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(row, indent=1) + "\n")


def read_row(out, sample, name, key):
    """Return the row of a run, or None if it is not finished."""
    path = _path(out, sample, name, key)
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged; remove it to evaluate the run again: {error}") from error


def merge_rows(out, scale, command=None):
    """Write ``results.ecsv`` from the finished rows, in the order of the plan, and return it.

    A training that is part of several groups has a row in each. Rows of runs that are not in the plan are left out.
    """
    with locked(out / ".results.lock"):
        table = _table(list(_rows(out, scale)), scale)
        path = out / RESULTS
        table.meta.update(_meta(scale, path, command))
        partial = out / f".{RESULTS}.{os.getpid()}.part"
        try:
            table.write(partial, format="ascii.ecsv", overwrite=True)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    return table


def _rows(out, scale):
    for sample in SAMPLES:
        for name in REFERENCES:
            row = read_row(out, sample, name, REFERENCE_KEY)
            if row is not None:
                yield {**row, "sample": sample, "group": "reference", "run": name}
    runs = benchmark_runs(scale)
    for run in [*runs, *_asked_for(out, scale, runs)]:
        row = read_row(out, run.sample, run.name, run.key)
        if row is not None:
            yield {**row, **{name: getattr(run, name) for name in (
                "sample", "group", "backbone", "variant", "seed", "fraction", "budget", "n_pairs", "n_steps")},
                "run": run.name}


def _asked_for(out, scale, runs):
    """Return the runs of those studies outside the default plan that have a finished run."""
    known = {(run.sample, run.name) for run in runs}
    others = [run for run in benchmark_runs(scale, groups=STUDIES) if run.sample not in scale.studies]
    begun = {(run.sample, run.group) for run in others if (run.sample, run.name) not in known
             and read_row(out, run.sample, run.name, run.key) is not None}
    return [run for run in others if (run.sample, run.group) in begun]


def _table(rows, scale):
    table = Table()
    for name, kind in _columns(scale.n_draws).items():
        empty = kind.empty if kind.length is None else np.full(kind.length, np.nan)
        values = [row.get(name, empty) for row in rows]
        shape = () if kind.length is None else (kind.length,)
        kept = np.array(values, dtype=type(kind.empty) if values else None).reshape(len(rows), *shape)
        if not values:
            kept = np.empty((0, *shape), dtype="U1" if kind.empty == "-" else type(kind.empty))
        table[name] = Column(kept, unit=kind.unit, description=kind.text or None)
    return table


def _meta(scale, path, command):
    """Return the metadata: definitions, sizes, seeds and commands."""
    before = Table.read(path, format="ascii.ecsv").meta if path.exists() else {}
    commands = [*before.get("commands", []), *([command] if command else [])]
    return {
        "benchmark": "SDSS to CFHTLS, simulated galaxies", "scale": scale.name, "sizes": scale.to_dict(),
        "n_test": scale.n_test, "bands": list(BANDS), "colors": list(COLORS),
        "seeds": {name: list(seeds) for name, seeds in SEEDS.items()}, "commands": list(dict.fromkeys(commands)),
        "definitions": {
            "transfer": "the redshift estimator was trained on real target images of the training galaxies (the row "
                        "'real input': on real input images)",
            "retrained": "it was trained on translations of training galaxies (real images in the reference rows), "
                         "with the same settings and seed for all",
            "reduction": "1 - nmad(ours) / nmad(conventional)",
            "preservation gain": "(nmad(conventional) - nmad(ours)) / (nmad(conventional) - nmad(real target))",
            "truth": "images are compared with the noiseless target images"}}
