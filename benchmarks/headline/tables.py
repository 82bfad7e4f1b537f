"""Tables of a benchmark, from its results."""

import numpy as np

from headline import measures, studies
from headline.bootstrap import ratio
from headline.lookup import ESTIMATORS, INPUT, TARGET, VARIANTS, Runs
from headline.measures import make_table
from headline.studies import gain_columns
from headline.targets import targets

__all__ = ["benchmark_tables"]


def benchmark_tables(results, sample=None):
    """Return the tables of a benchmark.

    Parameters
    ----------
    results : `~astropy.table.Table`
        One row per run, as in ``Table.read("results.ecsv")``. Runs, columns and cells may be missing; numbers that
        depend on them are left out or NaN.
    sample : str, optional
        Use only this sample.

    Returns
    -------
    dict of str to `~astropy.table.Table`
        ``"headline"``
            NMAD of every backbone and variant by transferred and retrained estimators, with reduction and
            preservation gain over the conventional translator of the *same* backbone. ``allowed`` is the gain of an
            NMAD equal to that on real input images.
        ``"best"``
            Our best translator, without and with a redshift or a spectrum in its input, against the conventional one
            of each backbone. It is one backbone for all samples and both estimators: that of the smallest geometric
            mean NMAD.
        ``"limits"``
            NMAD of each translator relative to that on real input images.
        ``"objective"``
            The gradient objective against the pixel objective with the same network.
        ``"weights"``
            Weights of the gradient objective: the flow ("full"), Student's t ("no-flow"), Gaussian, none, and the pixel
            objective; seeds that all of them have. ``reduction`` is 1 - flow / other. Biases and scatters are the
            largest over the colors or bands.
        ``"ablation"``, ``"learning_curve"``, ``"scarcity"``
            Parts left out, training budgets, numbers of pairs. ``loss`` is the NMAD minus that with all pairs,
            ``loss_ratio`` ours over the conventional one; the row of fraction 0 is the sum over all fractions.
        ``"colors"``, ``"color_gradients"``, ``"apertures"``, ``"peaks"``, ``"morphology"``
            Errors of the images. A ``factor`` is the error of the conventional translator of the same backbone over
            that of the row, where an error is the root of bias squared plus scatter squared; the factor is the
            geometric mean over the colors.
        ``"targets"``
            Goals and results.
        ``"cost"``
            Parameters and times.

        Columns that end in ``_low`` and ``_high`` are 95 % bootstrap intervals. All numbers of a sample use the same
        resampled galaxies, so differences are paired. With several seeds, numbers are means over the seeds, and NMADs
        are resampled over seeds too.

    Raises
    ------
    ValueError
        If the sample is unknown.
    """
    runs = Runs(results, sample)
    makers = {
        "headline": headline, "best": best, "limits": limits, "objective": studies.objective,
        "weights": studies.weights, "ablation": studies.ablation,
        "learning_curve": studies.learning_curve, "scarcity": studies.scarcity, "colors": measures.colors,
        "color_gradients": measures.color_gradients, "apertures": measures.apertures, "peaks": measures.peaks,
        "morphology": measures.morphology, "targets": targets, "cost": measures.cost,
    }
    return {name: make(runs) for name, make in makers.items()}


def headline(runs):
    rows = []
    for sample in runs.samples:
        for name in (INPUT, TARGET):
            found = runs.reference_rows(sample, name)
            if found:
                rows.append(_headline_row(runs, sample, name, "", found, []))
        for backbone in runs.backbones(sample):
            conventional = runs.find(sample, "matrix", backbone, "conventional")
            there = runs.distinct(sample, "matrix", "variant")
            for variant in [*VARIANTS, *(name for name in there if name not in VARIANTS)]:
                found = runs.find(sample, "matrix", backbone, variant)
                if found:
                    first = [] if variant == "conventional" else conventional
                    rows.append(_headline_row(runs, sample, backbone, variant, found, first))
    return make_table(rows)


def _headline_row(runs, sample, name, variant, found, conventional):
    row = {"sample": sample, "images": name, "variant": variant, "n_seeds": len(found)}
    for estimator in ESTIMATORS:
        row.update(runs.nmad(found, estimator).columns(f"nmad_{estimator}"))
        for what in ("outlier", "bias"):
            row[f"{what}_{estimator}"] = float(runs.mean(found, f"{what}_{estimator}"))
    for estimator in ESTIMATORS:
        row.update(gain_columns(runs, sample, found, conventional, estimator))
    return row


def best(runs):
    rows = []
    for variant in VARIANTS[1:]:
        ours = runs.best(variant)
        for sample in runs.samples if ours else ():
            own = runs.find(sample, "matrix", ours, variant)
            for backbone in runs.backbones(sample) if own else ():
                other = runs.find(sample, "matrix", backbone, "conventional")
                if other:
                    row = {"sample": sample, "images": ours, "variant": variant, "conventional": backbone}
                    for estimator in ESTIMATORS:
                        row.update(gain_columns(runs, sample, own, other, estimator))
                    rows.append(row)
    return make_table(rows)


def limits(runs):
    rows = []
    for sample in runs.samples:
        for backbone in runs.backbones(sample):
            for variant in VARIANTS:
                found = runs.find(sample, "matrix", backbone, variant)
                for estimator in ESTIMATORS if found else ():
                    own = runs.nmad(found, estimator)
                    limit, ceiling = (runs.reference(sample, name, estimator) for name in (INPUT, TARGET))
                    share = ratio(own, limit)
                    rows.append({
                        "sample": sample, "images": backbone, "variant": variant, "estimator": estimator,
                        **own.columns("nmad"), "nmad_real_input": limit.value, "nmad_real_target": ceiling.value,
                        **share.columns("over_input"), **ratio(own, ceiling).columns("over_target"),
                        "within_5_percent": "" if np.isnan(share.value) else "yes" if share.value <= 1.05 else "no"})
    return make_table(rows)
