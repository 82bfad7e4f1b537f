"""Tables of a benchmark as text."""

from typing import NamedTuple

import numpy as np

from headline.lookup import ESTIMATORS, VARIANTS
from headline.words import ablation_words, backbone_words, variant_words, weights_words

__all__ = ["Sheet", "number", "sheets"]

_NOTHING = "\u2013"


class Sheet(NamedTuple):
    """A table of text."""

    title: str
    header: list
    rows: list


def number(value, pattern=".4f"):
    """Return a number as text, with a true minus sign, or a dash for NaN."""
    if np.isnan(value):
        return _NOTHING
    if np.isinf(value):
        return "\u221e" if value > 0 else "\u2212\u221e"
    text = format(float(value), pattern)
    if not text.strip("+-0.,% "):
        text = text.lstrip("+-")  # a rounded zero has no sign
    return text.replace("-", "\u2212").replace("%", "\u00a0%")


def _ranged(row, name, pattern=".4f"):
    """Return a number with its interval as text."""
    text = number(row[name], pattern)
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if text == _NOTHING or np.isnan([low, high]).any():
        return text
    bare = pattern.replace("%", "f")
    factor = 100 if pattern.endswith("%") else 1
    return f"{text} [{number(factor * low, bare)},\u00a0{number(factor * high, bare)}]"


def sheets(tables):
    """Return the tables of `benchmark_tables` as text.

    Parameters
    ----------
    tables : dict of str to `~astropy.table.Table`

    Returns
    -------
    dict of str to list of Sheet
        Lists are empty where nothing was measured.
    """
    makers = {"headline": _headline, "gains": _gains, "best": _best, "limits": _limits, "objective": _objective,
              "weights": _weights, "ablation": _ablation, "learning_curve": _learning_curve, "scarcity": _scarcity,
              "colors": _colors, "color_gradients": _color_gradients, "apertures": _apertures, "peaks": _peaks,
              "morphology": _morphology, "targets": _targets, "cost": _cost}
    made = {name: make(tables["headline" if name == "gains" else name]) for name, make in makers.items()}
    return {name: [sheet._replace(rows=[[str(cell) for cell in row] for row in sheet.rows]) for sheet in own]
            for name, own in made.items()}


def _by_sample(table, make):
    """Return a sheet for each sample from ``make(rows, sample)``, without those that have no rows."""
    names = list(dict.fromkeys(table["sample"])) if len(table) else []
    made = [make(table[np.asarray(table["sample"] == name)], name) for name in names]
    return [sheet for sheet in made if sheet.rows]


def _who(row):
    return [backbone_words(row["images"]), variant_words(row["variant"])]


def _headline(table):
    def make(rows, sample):
        return Sheet(
            f"{sample} sample: redshifts estimated from the images",
            ["images", "objective", "NMAD, transfer", "NMAD, retrained", "> 0.05, transfer", "> 0.05, retrained"],
            [[*_who(row), *(_ranged(row, f"nmad_{name}") for name in ESTIMATORS),
              *(number(row[f"outlier_{name}"], ".1%") for name in ESTIMATORS)] for row in rows])

    return _by_sample(table, make)


_GAIN_HEADER = [f"{what}, {name}" for name in ESTIMATORS for what in ("reduction", "gain", "gain at the limit")]


def _gain_cells(row):
    """Return the cells of both estimators; the limit does not apply to translators with other input."""
    limited = str(row["variant"]) in VARIANTS[:2]
    return [cell for name in ESTIMATORS for cell in (
        _ranged(row, f"reduction_{name}", ".1%"), _ranged(row, f"gain_{name}", ".0%"),
        number(row[f"allowed_{name}"], ".0%") if limited else _NOTHING)]


def _gains(table):
    def make(rows, sample):
        rows = rows[[str(row["variant"]) not in ("", "conventional") for row in rows]]
        return Sheet(f"{sample} sample: against the conventional translator of the same backbone",
                     ["backbone", "objective", *_GAIN_HEADER], [[*_who(row), *_gain_cells(row)] for row in rows])

    return _by_sample(table, make)


def _best(table):
    def make(rows, sample):
        return Sheet(f"{sample} sample: our best translator against each conventional one",
                     ["ours", "against", *_GAIN_HEADER],
                     [[f"{backbone_words(row['images'])}, {variant_words(row['variant'])}",
                       backbone_words(row["conventional"]), *_gain_cells(row)] for row in rows])

    return _by_sample(table, make)


def _limits(table):
    def make(rows, sample):
        lines = {}
        for row in rows[[str(row["variant"]) in VARIANTS[:2] for row in rows]]:
            line = lines.setdefault((row["images"], row["variant"]), [*_who(row), *4 * [_NOTHING]])
            place = 2 + 2 * ESTIMATORS.index(row["estimator"])
            line[place:place + 2] = [_ranged(row, "over_input", ".3f"), row["within_5_percent"] or _NOTHING]
        return Sheet(f"{sample} sample: NMAD over that on real input images",
                     ["backbone", "objective", "transfer", "within 5 %", "retrained", "within 5 %"],
                     list(lines.values()))

    return _by_sample(table, make)


def _objective(table):
    rows = [[row["sample"], row["estimator"], str(row["n_seeds"]), _ranged(row, "nmad_pixel"),
             _ranged(row, "nmad_gradient"), _ranged(row, "reduction", ".1%"), _ranged(row, "gain", ".0%"),
             number(row["allowed"], ".0%"), *(number(row[f"{stem}_factor"], ".2f") for stem in ("color", "slope"))]
            for row in table]
    return [Sheet("gradient against pixel objective on the same network",
                  ["sample", "estimator", "seeds", "NMAD, pixel", "NMAD, gradient", "reduction", "gain",
                   "gain at the limit", "color errors, factor", "slope errors, factor"], rows)] if rows else []


def _weights(table):
    def make(rows, sample):
        redshifts = Sheet(
            f"{sample} sample: weights of the objective, redshifts",
            ["weights", "seeds", *(f"{what}, {name}" for name in ESTIMATORS for what in (
                "NMAD", "> 0.05", "flow below it, NMAD", "flow below it, > 0.05"))],
            [[weights_words(row["variant"]), row["n_seeds"], *(cell for name in ESTIMATORS for cell in (
                number(row[f"nmad_{name}"]), number(row[f"outlier_{name}"], ".1%"),
                _ranged(row, f"reduction_nmad_{name}", "+.1%"),
                _ranged(row, f"reduction_outlier_{name}", "+.0%")))] for row in rows])
        fluxes = Sheet(
            f"{sample} sample: weights of the objective, largest scatter and bias over colors and bands",
            ["weights", "color (mag)", "aperture flux (%)", "peak flux (mag)"],
            [[weights_words(row["variant"]), *(", ".join(
                number(factor * row[f"{stem}_{what}"], pattern) for what, pattern in zip(("scatter", "bias"), patterns))
                for stem, factor, patterns in (("color", 1, (".3f", "+.3f")), ("aperture", 100, (".1f", "+.1f")),
                                               ("peak", 1, (".3f", "+.3f"))))] for row in rows])
        return redshifts, fluxes

    names = list(dict.fromkeys(table["sample"])) if len(table) else []
    return [sheet for name in names for sheet in make(table[np.asarray(table["sample"] == name)], name)]


def _ablation(table):
    def make(rows, sample):
        return Sheet(
            f"{sample} sample: parts left out or replaced",
            ["", *(f"NMAD, {name}" for name in ESTIMATORS), *(f"change, {name}" for name in ESTIMATORS),
             "color errors", "slope errors", "aperture errors"],
            [[ablation_words(row["variant"]), *(number(row[f"nmad_{name}"]) for name in ESTIMATORS),
              *(_ranged(row, f"increase_{name}", "+.1%") for name in ESTIMATORS),
              *(number(row[f"increase_{stem}"], "+.0%") for stem in ("color", "slope", "aperture"))]
             for row in rows])

    return _by_sample(table, make)


def _learning_curve(table):
    def make(rows, sample):
        return Sheet(
            f"{sample} sample: NMAD against the training budget",
            ["steps", *(f"{what}, {name}" for name in ESTIMATORS
                        for what in ("conventional", "gradient", "reduction"))],
            [[f"{row['n_steps']:,}", *(cell for name in ESTIMATORS for cell in (
                number(row[f"nmad_conventional_{name}"]), number(row[f"nmad_gradient_{name}"]),
                _ranged(row, f"reduction_{name}", ".1%")))] for row in rows])

    return _by_sample(table, make)


def _scarcity(table):
    def make(rows, sample):
        return Sheet(
            f"{sample} sample: fewer pairs, the same number of steps",
            ["pairs", "estimator", "NMAD, conventional", "NMAD, gradient", "loss, conventional", "loss, gradient",
             "ratio of losses"],
            [["all fractions" if row["fraction"] == 0 else number(row["n_pairs"], ",.0f"), row["estimator"],
              number(row["nmad_conventional"]), number(row["nmad_gradient"]),
              _ranged(row, "loss_conventional", "+.4f"), _ranged(row, "loss_gradient", "+.4f"),
              _ranged(row, "loss_ratio", ".2f")] for row in sorted(rows, key=lambda row: str(row["estimator"]))])

    return _by_sample(table, make)


def _labels(table, stem):
    return [name.removeprefix(f"{stem}_") for name in table.colnames
            if name.startswith(f"{stem}_") and name.removeprefix(f"{stem}_").replace("-", "").isalpha()
            and len(name.removeprefix(f"{stem}_")) in (1, 3)]


def _errors(table, title, stem, what, *, patterns=(".3f", "+.3f"), factor=None, scale=1):
    """Return a sheet with scatter and bias in one cell for each band or color."""
    def make(rows, sample):
        labels = _labels(rows, f"{stem}_scatter")
        ratio = [] if factor is None else ["factor"]
        return Sheet(
            f"{sample} sample: {title}", ["images", "objective", *labels, *ratio],
            [[*_who(row), *(_NOTHING if cells == 2 * [_NOTHING] else ", ".join(cells) for cells in (
                [number(scale * row[f"{stem}_{part}_{label}"], pattern)
                 for part, pattern in zip(what, patterns)] for label in labels)),
              *([number(row[factor], ".2f")] if factor else [])] for row in rows])

    return _by_sample(table, make)


def _colors(table):
    return _errors(table, "scatter and bias of the color (mag)", "color", ("scatter", "bias"), factor="color_factor")


def _color_gradients(table):
    whole = _errors(table, "scatter and bias of the slope of color (mag/dex)", "slope", ("scatter", "bias"),
                    factor="slope_factor")
    return [*whole, *_errors(table, "scatter of the slope of early, of late types (mag/dex)", "slope",
                             ("scatter_early", "scatter_late"), patterns=(".3f", ".3f"))]


def _apertures(table):
    return _errors(table, "scatter and bias of the aperture flux (%)", "aperture", ("scatter", "bias"), scale=100,
                   patterns=(".2f", "+.2f"))


def _peaks(table):
    fluxes = _errors(table, "scatter and bias of the peak flux (mag)", "peak", ("scatter", "bias"))
    return [*fluxes, *_errors(table, "scatter of the color of the peak (mag)", "peak_color", ("scatter",))]


def _morphology(table):
    def make(rows, sample):
        measures = list(dict.fromkeys(rows["measure"]))
        lines = {}
        for row in rows:
            line = lines.setdefault((row["images"], row["variant"]), [*_who(row), *len(measures) * [_NOTHING]])
            line[2 + measures.index(row["measure"])] = f"{number(row['scatter'], '.3f')}, {number(row['bias'], '+.3f')}"
        return Sheet(f"{sample} sample: scatter and bias of measures of shape in r",
                     ["images", "objective", *(name.replace("_", " ") for name in measures)], list(lines.values()))

    return _by_sample(table, make)


def _any_words(name):
    return ablation_words(name) if backbone_words(name) == name else backbone_words(name)


def _targets(table):
    def make(rows, sample):
        lines = []
        for row in rows:
            pattern = {"preservation gain": ".0%", "reduction": ".1%", "largest median bias": ".2%"}.get(
                row["measure"], ".2f")
            goal = f"\u2265\u00a0{number(row['at_least'], pattern)}" if np.isfinite(row["at_least"]) else \
                f"\u2264\u00a0{number(row['at_most'], pattern)}"
            if np.isfinite(row["allowed"]):
                goal += f" (the limit: {number(row['allowed'], pattern)})"
            verdict = row["verdict"] + (", interval on both sides" if row["clear"] == "no" else "")
            first, *rest = str(row["against"]).split(" ")
            other = " ".join([(backbone_words if rest else _any_words)(first), *rest])
            against = " / ".join(filter(None, [backbone_words(row["images"]), other])) or _NOTHING
            lines.append([row["target"], row["estimator"] or _NOTHING, against, row["measure"],
                          _ranged({**dict(zip(row.colnames, row)), "value_low": row["low"],
                                   "value_high": row["high"]}, "value", pattern), goal, verdict])
        return Sheet(f"{sample} sample: goals",
                     ["target", "estimator", "images / against", "measure", "found", "goal", "verdict"], lines)

    return _by_sample(table, make)


def _cost(table):
    def make(rows, sample):
        return Sheet(
            f"{sample} sample: cost",
            ["backbone", "objective", "parameters", "steps", "training (s)", "1,000 galaxies (s)", "precision"],
            [[*_who(row), *(number(row[name], ",.0f") for name in ("parameters", "n_steps", "seconds")),
              number(row["translate_seconds"], ".1f"), row["precision"]] for row in rows])

    return _by_sample(table, make)
