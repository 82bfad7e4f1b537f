"""Tables of what the images themselves are worth: colours, colour gradients, apertures, peaks, morphology, cost."""

import re

import numpy as np

from headline.lookup import INPUT, TARGET

__all__ = ["apertures", "color_gradients", "color_names", "colors", "cost", "factor", "make_table", "morphology",
           "morphology_measures", "peaks"]

_MORPHOLOGY = re.compile(r"morphology_(.+)_(?:scatter|bias)$")
_REFERENCES = (INPUT, "resampled input", TARGET)


def make_table(rows, units=None):
    """A Table from rows; ``units`` maps the beginning of a column name to its unit."""
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
    """Names of the measures of shape in the results."""
    return list(dict.fromkeys(match[1] for match in map(_MORPHOLOGY.match, runs.columns) if match))


def factor(runs, ours, conventional, stem):
    """How many times smaller our errors are, the geometric mean over the entries of a column."""
    own, other = runs.errors(ours, stem), runs.errors(conventional, stem)
    with np.errstate(all="ignore"):
        logs = np.log(np.atleast_1d(other / own))
    logs = logs[np.isfinite(logs)]
    return float(np.exp(logs.mean())) if logs.size else np.nan


def _images(runs, sample):
    """Reference rows, then every translator: (backbone or reference, variant, rows, rows of its conventional one)."""
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
    """A row for each kind of images, a column for each entry of each of the vector columns."""
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
    """Errors of the colours, and how many times smaller they are than those of the conventional translator."""
    return _wide(runs, ("color_scatter", "color_bias"), color_names(runs), "mag", with_factor=("color",))


def color_gradients(runs):
    """Errors of the slope of colour with log10 radius, of all galaxies and of early and late types."""
    stems = ("slope_scatter", "slope_bias", "slope_scatter_early", "slope_scatter_late")
    return _wide(runs, stems, color_names(runs), "mag / dex", with_factor=("slope",))


def apertures(runs):
    """Errors of the aperture flux in each band."""
    return _wide(runs, ("aperture_bias", "aperture_scatter", "relative_rmse"), runs.bands, None)


def peaks(runs):
    """Errors of the peak flux in each band, and of its colours."""
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
    """Bias and scatter of the measures of shape, and the ratio of their error to that of the conventional one."""
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
    """What each translator of the comparison takes."""
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
