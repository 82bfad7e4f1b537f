"""Tables of single questions: the objective alone, ablations, training budgets, scarce pairs."""

import numpy as np

from headline.bootstrap import missing, preservation_gain, ratio, reduction
from headline.lookup import ESTIMATORS, INPUT, TARGET, VARIANTS
from headline.measures import factor, make_table

__all__ = ["ablation", "ablation_rows", "allowed_gain", "gain_columns", "learning_curve", "objective", "objective_rows",
           "scarcity", "weights", "weights_rows"]


def gain_columns(runs, sample, ours, conventional, estimator):
    """Return reduction, preservation gain, and the gain of the information limit as columns."""
    own, other = runs.nmad(ours, estimator), runs.nmad(conventional, estimator)
    return {**reduction(own, other).columns(f"reduction_{estimator}"),
            **preservation_gain(own, other, runs.reference(sample, TARGET, estimator)).columns(f"gain_{estimator}"),
            f"allowed_{estimator}": allowed_gain(runs, sample, conventional, estimator).value}


def allowed_gain(runs, sample, conventional, estimator):
    """Return the preservation gain of the information limit, which a translator without other input can reach."""
    return preservation_gain(runs.reference(sample, INPUT, estimator), runs.nmad(conventional, estimator),
                             runs.reference(sample, TARGET, estimator))


def objective_rows(runs, sample, seeds=None):
    """Return the rows of the gradient and the pixel objective on the same network."""
    ours = runs.first(sample, ("objective", "unet", "gradient"), ("matrix", "unet", "gradient"), seeds=seeds)
    names = [name for name in runs.distinct(sample, "objective", "variant") if name.startswith("pixel")]
    return ours, runs.find(sample, "objective", "unet", names[0], seeds=seeds) if names else []


def objective(runs):
    rows = []
    for sample in runs.samples:
        ours, pixel = objective_rows(runs, sample)
        for estimator in ESTIMATORS if ours and pixel else ():
            own, other = runs.nmad(ours, estimator), runs.nmad(pixel, estimator)
            target = runs.reference(sample, TARGET, estimator)
            rows.append({
                "sample": sample, "estimator": estimator, "n_seeds": min(len(ours), len(pixel)),
                **other.columns("nmad_pixel"), **own.columns("nmad_gradient"),
                **reduction(own, other).columns("reduction"),
                **preservation_gain(own, other, target).columns("gain"),
                "allowed": allowed_gain(runs, sample, pixel, estimator).value,
                "color_factor": factor(runs, ours, pixel, "color"),
                "slope_factor": factor(runs, ours, pixel, "slope")})
    return make_table(rows)


def weights_rows(runs, sample):
    """Return the rows of each way to weight the objective by name, the flow as "full", of the seeds that all have."""
    names = [name for name in runs.distinct(sample, "weights", "variant") if name != "gradient"]
    found = {"full": runs.first(sample, ("weights", "unet", "gradient"), ("matrix", "unet", "gradient")),
             **{name: runs.find(sample, "weights", "unet", name) for name in names}}
    seeds = set.intersection(*map(runs.seeds, found.values()))
    found = {name: [index for index in rows if runs.seed(index) in seeds] for name, rows in found.items()}
    return found if names and seeds else {}


def weights(runs):
    rows = []
    for sample in runs.samples:
        found = weights_rows(runs, sample)
        for name, own in found.items():
            row = {"sample": sample, "variant": name, "n_seeds": len(own)}
            for what in ("nmad", "outlier"):
                for estimator in ESTIMATORS:
                    column = f"{what}_{estimator}"
                    one, flow = runs.drawn(own, column), runs.drawn(found["full"], column)
                    less = missing() if name == "full" else reduction(flow, one)
                    row.update({**one.columns(column), **less.columns(f"reduction_{column}")})
            for stem in ("color", "aperture", "peak"):
                row[f"{stem}_bias"] = _largest(runs.mean(own, f"{stem}_bias"))
                row[f"{stem}_scatter"] = _largest(runs.mean(own, f"{stem}_scatter"))
            rows.append(row)
    return make_table(rows, {"color": "mag", "peak": "mag"})


def _largest(values):
    """Return the number of largest absolute value, with its sign; NaN if there is none."""
    values = np.atleast_1d(values)
    values = values[np.isfinite(values)]
    return float(values[np.argmax(np.abs(values))]) if values.size else np.nan


def ablation_rows(runs, sample):
    """Return the rows of the full objective ("full"), of each ablation and of the pixel objectives, by name."""
    variants = runs.distinct(sample, "ablation", "variant")
    if not variants:
        return {}
    seeds = runs.seeds(runs.find(sample, "ablation"))
    full = runs.first(sample, ("ablation", "unet", "gradient"), ("matrix", "unet", "gradient"), seeds=seeds)
    found = {"full": full, **{name: runs.find(sample, "ablation", "unet", name) for name in variants
                              if name != "gradient" and not name.startswith("pixel")}}
    pixel = [name for name in variants if name.startswith("pixel")]
    found["pixel"] = (runs.find(sample, "ablation", "unet", pixel[0]) if pixel
                      else objective_rows(runs, sample, seeds)[1])
    found["conventional"] = runs.find(sample, "matrix", "unet", "conventional", seeds=seeds)
    return {name: rows for name, rows in found.items() if rows}


def ablation(runs):
    rows = []
    for sample in runs.samples:
        found = ablation_rows(runs, sample)
        rows += [_ablation_row(runs, sample, name, own, found.get("full", [])) for name, own in found.items()]
    return make_table(rows)


def _ablation_row(runs, sample, name, own, full):
    row = {"sample": sample, "variant": name}
    for estimator in ESTIMATORS:
        ours, whole = runs.nmad(own, estimator), runs.nmad(full, estimator)
        more = missing() if name == "full" else ratio(ours, whole).plus(-1)
        row.update({**ours.columns(f"nmad_{estimator}"), **more.columns(f"increase_{estimator}")})
    for stem in ("color", "slope", "aperture"):
        row[f"increase_{stem}"] = np.nan if name == "full" else factor(runs, full, own, stem) - 1
    return row


def learning_curve(runs):
    rows = []
    for sample in runs.samples:
        steps = set(runs.distinct(sample, "learning-curve", "n_steps"))
        seeds = runs.seeds(runs.find(sample, "learning-curve"))
        if steps:
            steps |= {float(runs.number("n_steps", index)) for variant in VARIANTS[:2]
                      for index in runs.find(sample, "matrix", "unet", variant, seeds=seeds)}
        for n_steps in sorted(step for step in steps if np.isfinite(step)):
            found = {variant: runs.first(sample, ("learning-curve", "unet", variant), ("matrix", "unet", variant),
                                         seeds=seeds, n_steps=n_steps) for variant in VARIANTS[:2]}
            row = {"sample": sample, "n_steps": int(n_steps)}
            for estimator in ESTIMATORS:
                for name, own in found.items():
                    row.update(runs.nmad(own, estimator).columns(f"nmad_{name}_{estimator}"))
            for estimator in ESTIMATORS:
                row.update(gain_columns(runs, sample, found["gradient"], found["conventional"], estimator))
            rows.append(row)
    return make_table(rows)


def scarcity_runs(runs, sample):
    """Return for each variant the rows of each fraction of the pairs, including all pairs."""
    fractions = runs.distinct(sample, "scarcity", "fraction")
    seeds = runs.seeds(runs.find(sample, "scarcity"))
    found = {}
    for variant in VARIANTS[:2] if fractions else ():
        found[variant] = {fraction: runs.find(sample, "scarcity", "unet", variant, fraction=fraction)
                          for fraction in sorted(fractions, reverse=True) if not np.isclose(fraction, 1)}
        found[variant] = {1.0: runs.first(sample, ("scarcity", "unet", variant), ("matrix", "unet", variant),
                                          seeds=seeds, fraction=1.0), **found[variant]}
    return found


def scarcity_loss(runs, found, variant, fraction, estimator):
    """Return the NMAD with fewer pairs minus that with all."""
    return runs.nmad(found[variant][fraction], estimator) - runs.nmad(found[variant][1.0], estimator)


def scarcity(runs):
    rows = []
    for sample in runs.samples:
        found = scarcity_runs(runs, sample)
        totals = {}
        for fraction in found["gradient"] if found else ():
            n_pairs = [runs.mean(found[variant][fraction], "n_pairs") for variant in found]
            for estimator in ESTIMATORS:
                row = {"sample": sample, "fraction": fraction, "n_pairs": float(np.nanmax([*n_pairs, -1.0])),
                       "estimator": estimator}
                for variant in found:
                    row.update(runs.nmad(found[variant][fraction], estimator).columns(f"nmad_{variant}"))
                losses = {name: missing() if fraction == 1 else scarcity_loss(runs, found, name, fraction, estimator)
                          for name in found}
                rows.append({**row, **_loss_columns(losses)})
                if np.isfinite([loss.value for loss in losses.values()]).all():
                    totals.setdefault(estimator, []).append(losses)
        for estimator, parts in totals.items():
            whole = {name: sum((part[name] for part in parts[1:]), parts[0][name]) for name in found}
            blank = {f"nmad_{name}{end}": np.nan for name in found for end in ("", "_low", "_high")}
            rows.append({"sample": sample, "fraction": 0.0, "n_pairs": np.nan, "estimator": estimator, **blank,
                         **_loss_columns(whole)})
    return make_table(rows)


def _loss_columns(losses):
    return {**losses["conventional"].columns("loss_conventional"), **losses["gradient"].columns("loss_gradient"),
            **ratio(losses["gradient"], losses["conventional"]).columns("loss_ratio")}
