"""Tables of errors of the images: colors, color gradients, apertures, peaks, morphology; and of the cost."""

import re

import numpy as np

from headline.lookup import INPUT, TARGET

__all__ = ["apertures", "color_gradients", "color_names", "colors", "cost", "factor", "make_table", "morphology",
           "morphology_measures", "peaks"]

_MORPHOLOGY = re.compile(r"morphology_(.+)_(?:scatter|bias)$")
_REFERENCES = (INPUT, "resampled input", TARGET)


def make_table(rows, units=None):
    """Return a Table of rows; ``units`` maps the beginning of a column name to its unit."""
    from astropy.table import Table

    table = Table(rows=rows) if rows else Table()
    for name in table.colnames:
        if table[name].dtype.kind == "f":
            table[name].info.format = ".4g"
            unit = next((unit for start, unit in (units or {}).items() if name.startswith(start)), None)
            table[name].unit = unit
    return table


def color_names(runs):
    return [f"{a}-{b}" for a, b in zip(runs.bands, runs.bands[1:])]


def morphology_measures(runs):
    """Return the names of the shape measurements in the results."""
    return list(dict.fromkeys(match[1] for match in map(_MORPHOLOGY.match, runs.columns) if match))


def factor(runs, ours, conventional, stem):
    """Return the ratio of the conventional errors to ours, the geometric mean over the entries of a column."""
    own, other = runs.errors(ours, stem), runs.errors(conventional, stem)
    with np.errstate(all="ignore"):
        logs = np.log(np.atleast_1d(other / own))
    logs = logs[np.isfinite(logs)]
    return float(np.exp(logs.mean())) if logs.size else np.nan


def _images(runs, sample):
    """Yield references, then translators: (backbone or reference, variant, rows, rows of the conventional one)."""
    for name in _REFERENCES:
        rows = runs.reference_rows(sample, name)
        if rows:
            yield name, "", rows, []
    for backbone in runs.backbones(sample):
        conventional = runs.find(sample, "matrix", backbone, "conventional")
        for variant in runs.distinct(sample, "matrix", "variant"):
            rows = runs.find(sample, "matrix", backbone, variant)
            if rows:
                yield backbone, variant, rows, conventional


def _wide(runs, stems, labels, units, *, with_factor=()):
    """Return a row for each kind of images, with a column for each entry of each vector column."""
    rows = []
    for sample in runs.samples:
        for name, variant, found, conventional in _images(runs, sample):
            row = {"sample": sample, "images": name, "variant": variant, "n_seeds": len(found)}
            for stem in stems:
                values = np.broadcast_to(runs.mean(found, stem), len(labels))
                row.update({f"{stem}_{label}": float(value) for label, value in zip(labels, values)})
            for stem in with_factor:
                row[f"{stem}_factor"] = factor(runs, found, conventional, stem) if conventional else np.nan
            if any(np.isfinite(value) for value in row.values() if isinstance(value, float)):
                rows.append(row)
    return make_table(rows, {f"{stem}_{label}": runs.units.get(stem) or units for stem in stems for label in labels})


def colors(runs):
    """Return the errors of the colors and their ratio to those of the conventional translator."""
    return _wide(runs, ("color_scatter", "color_bias"), color_names(runs), "mag", with_factor=("color",))


def color_gradients(runs):
    """Return the errors of the slope of color with log10 radius, for all galaxies and for early and late types."""
    stems = ("slope_scatter", "slope_bias", "slope_scatter_early", "slope_scatter_late")
    return _wide(runs, stems, color_names(runs), "mag / dex", with_factor=("slope",))


def apertures(runs):
    """Return the errors of the aperture flux in each band."""
    return _wide(runs, ("aperture_bias", "aperture_scatter", "relative_rmse"), runs.bands, None)


def peaks(runs):
    """Return the errors of the peak flux in each band, and of its colors."""
    fluxes = _wide(runs, ("peak_bias", "peak_scatter"), runs.bands, None)
    cross = _wide(runs, ("peak_color_scatter",), color_names(runs), "mag")
    if not len(fluxes) or not len(cross):
        return fluxes if len(fluxes) else cross
    from astropy.table import join

    keys = ["sample", "images", "variant", "n_seeds"]
    fluxes["order"] = np.arange(len(fluxes))
    both = join(fluxes, cross, keys=keys, join_type="left").filled(np.nan)
    both.sort("order")
    both.remove_column("order")
    return both


def morphology(runs):
    """Return bias and scatter of the shape measurements, and the ratio of their error to the conventional one."""
    rows = []
    for sample in runs.samples:
        for name, variant, found, conventional in _images(runs, sample):
            for measure in morphology_measures(runs):
                stem = f"morphology_{measure}"
                bias, scatter = (float(runs.mean(found, f"{stem}_{what}")) for what in ("bias", "scatter"))
                if np.isfinite([bias, scatter]).any():
                    rows.append({
                        "sample": sample, "images": name, "variant": variant, "n_seeds": len(found), "measure": measure,
                        "bias": bias, "scatter": scatter,
                        "over_conventional": 1 / factor(runs, found, conventional, stem)})
    return make_table(rows)


def cost(runs):
    """Return parameters and times of each translator."""
    rows = []
    for sample in runs.samples:
        for name, variant, found, _ in _images(runs, sample):
            if variant:
                last = found[-1]
                rows.append({
                    "sample": sample, "images": name, "variant": variant, "n_seeds": len(found),
                    **{column: float(runs.mean(found, column)) for column in
                       ("parameters", "n_pairs", "n_steps", "seconds", "translate_seconds", "threads")},
                    **{column: runs.text(column, last) for column in ("device", "precision")}})
    return make_table(rows, {"seconds": "s", "translate_seconds": "s"})
