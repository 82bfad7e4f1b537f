"""Goals of the benchmark, set before any result, and whether they are met."""

import numpy as np

from headline import measures, studies
from headline.bootstrap import known, missing, preservation_gain, ratio, reduction
from headline.lookup import BACKBONES, ESTIMATORS, INPUT, INPUT_VARIANTS, TARGET

__all__ = ["targets"]

# Translators of Ruan, Lin et al. (2025); the U-Net is ours.
PUBLISHED = BACKBONES[1:]
_FIELDS = ("target", "sample", "estimator", "images", "against", "measure", "value", "low", "high", "interval",
           "at_least", "at_most", "allowed", "aim", "verdict", "clear", "aim_reached")
_PERCENT = 0.01
# Relative standard deviation of an NMAD of n Gaussian numbers, times sqrt(n)
_NMAD_ERROR = 1.166
_MAGNITUDE = 2.5 / np.log(10)


def targets(runs):
    """Return a row for each goal, sample and estimator, with measurement, reference and verdict.

    The verdict is that of the measured value; ``clear`` is "yes" if the whole interval is on the same side. Where the
    goal concerns four conventional translators, the row is the worst of them, and without one of them the goal is not
    "met". Goals of a study that is not part of a sample are left out unless it was run.
    """
    rows = []
    studies = {_flow: ("weights", "ablation"), _scarcity: ("scarcity",)}
    planned = runs.meta.get("sizes", {}).get("studies", runs.samples)
    for sample in runs.samples:
        for make in (_product, _limit, _input, _input_colors, _objective, _flow, _slopes, _shapes, _apertures,
                     _populations, _scarcity):
            own = studies.get(make)
            if own is None or sample in planned or any(runs.find(sample, study) for study in own):
                rows += list(make(runs, sample))
    return measures.make_table([_complete(row) for row in rows])


def _complete(row):
    row = {"estimator": "", "images": "", "against": "", "at_least": np.nan, "at_most": np.nan, "allowed": np.nan,
           "aim": np.nan, **row}
    number = row.pop("number")
    low, high = row.pop("span", None) or number.interval()
    row.setdefault("interval", "bootstrap" if np.isfinite(low) or np.isfinite(high) else "")
    whole = row.pop("complete", True)
    row.update(value=number.value, low=low, high=high)
    met = [_reaches(value, row["at_least"], row["at_most"]) for value in (number.value, low, high)]
    row["verdict"] = "met" if met[0] else "missed"
    if np.isnan(number.value) or (met[0] and not whole):
        row["verdict"] = "not measured"
    known = row["verdict"] != "not measured" and not np.isnan([low, high]).any()
    row["clear"] = "" if not known else "yes" if met[0] == met[1] == met[2] else "no"
    reached = _reaches(number.value, row["aim"], np.nan)
    row["aim_reached"] = "" if np.isnan(row["aim"]) or row["verdict"] == "not measured" else "yes" if reached else "no"
    return {name: row[name] for name in _FIELDS}


def _reaches(value, at_least, at_most):
    return bool((np.isnan(at_least) or value >= at_least) and (np.isnan(at_most) or value <= at_most))


def _worst_gain(runs, sample, backbone, variant, estimator):
    """Return the smallest preservation gain over the published translators: (number, against, all measured)."""
    own = runs.nmad(runs.find(sample, "matrix", backbone, variant) if backbone else [], estimator)
    target = runs.reference(sample, TARGET, estimator)
    gains = {}
    for name in PUBLISHED:
        other = runs.nmad(runs.find(sample, "matrix", name, "conventional"), estimator)
        gains[name] = preservation_gain(own, other, target)
    return _worst(gains, min)


def _worst(numbers, pick):
    there = {name: number for name, number in numbers.items() if np.isfinite(number.value)}
    if not there:
        return missing(), "", False
    name = pick(there, key=lambda key: there[key].value)
    whole = len(there) == len(numbers)
    return there[name], name if whole else f"{name} ({len(there)} of {len(numbers)})", whole


def _product(runs, sample):
    best = runs.best("gradient")
    for estimator in ESTIMATORS:
        number, against, whole = _worst_gain(runs, sample, best, "gradient", estimator)
        yield {"target": "best translator", "sample": sample, "estimator": estimator, "images": best or "",
               "against": against, "measure": "preservation gain", "number": number, "complete": whole,
               "allowed": _allowed(runs, sample, against, estimator), "at_least": 0.4, "aim": 0.6}


def _allowed(runs, sample, against, estimator):
    """Return the gain of the information limit over a conventional translator."""
    rows = runs.find(sample, "matrix", against.partition(" ")[0], "conventional") if against else []
    return studies.allowed_gain(runs, sample, rows, estimator).value


def _limit(runs, sample):
    best = runs.best("gradient")
    for estimator in ESTIMATORS:
        own = runs.nmad(runs.find(sample, "matrix", best, "gradient") if best else [], estimator)
        yield {"target": "information limit", "sample": sample, "estimator": estimator, "images": best or "",
               "against": INPUT, "measure": "NMAD ratio", "at_most": 1.05,
               "number": ratio(own, runs.reference(sample, INPUT, estimator))}


def _input(runs, sample):
    for variant in INPUT_VARIANTS:
        best = runs.best(variant)
        for estimator in ESTIMATORS:
            number, against, whole = _worst_gain(runs, sample, best, variant, estimator)
            yield {"target": f"with {variant.partition('+')[2]}", "sample": sample, "estimator": estimator,
                   "images": best or "", "against": against, "measure": "preservation gain", "number": number,
                   "complete": whole, "at_least": 0.8, "aim": 0.95}


def _input_colors(runs, sample):
    """Yield the largest ratio over the colors of the error with further input to that without."""
    for variant in INPUT_VARIANTS:
        best = runs.best(variant)
        own, other = ([] if best is None else runs.find(sample, "matrix", best, name) for name in (variant, "gradient"))
        value = _largest(runs.errors(own, "color") / runs.errors(other, "color"))
        yield {"target": f"colors with {variant.partition('+')[2]}", "sample": sample, "images": best or "",
               "against": f"{best} without" if best else "", "measure": "largest ratio of color errors",
               "at_most": 1.0, **_approximate(runs.n_test, value)}


def _largest(values):
    values = np.atleast_1d(values)
    return float(np.nanmax(values)) if np.isfinite(values).any() else np.nan


def _approximate(n, value):
    """Return a ratio of two scatters with the interval for two independent sets of n Gaussian errors."""
    width = np.exp(1.96 * np.sqrt(2 / n) * _NMAD_ERROR) if n > 0 else np.nan
    number = known(value)
    span = (np.nan, np.nan) if np.isnan(value * width) else (value / width, value * width)
    return {"number": number, "span": span, "interval": "approximate" if np.isfinite(span[0]) else ""}


def _objective(runs, sample):
    ours, pixel = studies.objective_rows(runs, sample)
    for estimator in ESTIMATORS:
        number = preservation_gain(runs.nmad(ours, estimator), runs.nmad(pixel, estimator),
                                   runs.reference(sample, TARGET, estimator))
        yield {"target": "objective alone", "sample": sample, "estimator": estimator, "images": "unet",
               "against": "pixel, same network", "measure": "preservation gain", "number": number,
               "allowed": studies.allowed_gain(runs, sample, pixel, estimator).value, "at_least": 0.2, "aim": 0.4}


def _flow(runs, sample):
    found = studies.weights_rows(runs, sample)
    others = ("no-flow", "gaussian") if found else ("gaussian",)
    found = found or studies.ablation_rows(runs, sample)
    for other in others:
        for estimator in ESTIMATORS:
            full, own = (runs.nmad(found.get(name, []), estimator) for name in ("full", other))
            yield {"target": "the flow helps", "sample": sample, "estimator": estimator, "images": "unet",
                   "against": other, "measure": "reduction", "number": reduction(full, own), "at_least": 0.0}


def _against_published(runs, sample, compare):
    """Compare the best translator with each of the published ones."""
    best = runs.best("gradient")
    own = runs.find(sample, "matrix", best, "gradient") if best else []
    found = {}
    for name in PUBLISHED:
        other = runs.find(sample, "matrix", name, "conventional")
        found[name] = known(compare(own, other) if own and other else np.nan)
    return best or "", found


def _slopes(runs, sample):
    best, found = _against_published(runs, sample, lambda own, other: measures.factor(runs, own, other, "slope"))
    number, against, whole = _worst(found, min)
    yield {"target": "color gradients", "sample": sample, "images": best, "against": against,
           "measure": "factor in slope error", "at_least": 2.0, "complete": whole,
           **_approximate(runs.n_test, number.value)}


def _shapes(runs, sample):
    names = measures.morphology_measures(runs)

    def largest(own, other):
        return _largest([1 / measures.factor(runs, own, other, f"morphology_{name}") for name in names] or np.nan)

    best, found = _against_published(runs, sample, largest)
    number, against, whole = _worst(found, max)
    n = runs.mean(runs.find(sample, "matrix", best, "gradient"), "n_morphology") if best else np.nan
    yield {"target": "morphology", "sample": sample, "images": best, "against": against, "at_most": 1.0,
           "measure": "largest ratio of errors", "complete": whole, **_approximate(n, number.value)}


def _apertures(runs, sample):
    best = runs.best("gradient")
    own = runs.find(sample, "matrix", best, "gradient") if best else []
    scale = _MAGNITUDE if str(runs.units.get("aperture_bias") or "") == "mag" else 1.0
    bias = _largest(np.abs(runs.mean(own, "aperture_bias"))) / scale
    yield {"target": "aperture flux", "sample": sample, "images": best or "", "measure": "largest median bias",
           "number": known(bias), "at_most": _PERCENT}
    scatter = {name: runs.mean(runs.reference_rows(sample, name), "aperture_scatter")
               for name in (INPUT, "resampled input")}
    limit = next((name for name, values in scatter.items() if np.isfinite(values).any()), INPUT)
    value = _largest(runs.mean(own, "aperture_scatter") / scatter[limit])
    yield {"target": "aperture flux", "sample": sample, "images": best or "", "against": limit, "at_most": 1.0,
           "measure": "largest ratio of scatters", "number": known(value)}


def _populations(runs, sample):
    best = runs.best("gradient")
    values = [runs.number("population_auc", index) for index in runs.find(sample, "matrix", best, "gradient")] \
        if best else []
    value = float(np.mean(values)) if values else np.nan
    realistic = runs.meta.get("sizes", {}).get("sky") == "realistic"
    yield {"target": "populations", "sample": sample, "images": best or "",
           "measure": "ROC AUC of bulge fractions above 0.5", "number": known(value),
           "at_least": 0.90 if sample == "faint" and realistic else 0.95}


def _scarcity(runs, sample):
    table = studies.scarcity(runs)
    for estimator in ESTIMATORS:
        key = sample, estimator, 0
        row = next((row for row in table if (row["sample"], row["estimator"], row["fraction"]) == key), None)
        number = missing() if row is None else known(float(row["loss_ratio"]))
        span = {} if row is None else {"span": (row["loss_ratio_low"], row["loss_ratio_high"])}
        yield {"target": "scarce data", "sample": sample, "estimator": estimator, "images": "unet",
               "against": "unet conventional", "measure": "ratio of losses", "number": number, "at_most": 0.5, **span}
