"""Measure how well a translator separates early and late types without labels, compared with other methods.

    python benchmarks/populations.py --out benchmarks/results/populations.ecsv --figure populations.png
    python benchmarks/populations.py --translator t.asdf --out populations.ecsv

The script simulates galaxies (SDSS to CFHTLS, 32 x 32 to 68 x 68 pixels), trains small U-Nets with objective
"gradient" for some minutes or loads the given ones, and finds two populations among other galaxies. Labels (bulge
fraction above 0.5) are used only for the area under the ROC curve (AUC). Rows named "k-means" are two populations by
color and concentration, measured on the images; those named "supervised" are trained on the labels of the training
galaxies, as an upper limit.
"""

import argparse
import logging
import time

import numpy as np
import torch
from astropy.table import Table
from scipy.cluster.vq import kmeans2
from scipy.stats import mannwhitneyu

from training_rate import machine

from astro_galtrans.evaluation import populations
from astro_galtrans.pairs import PairSet
from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.storage import load, save
from astro_galtrans.training import TrainConfig, fit

log = logging.getLogger("populations")

_RADII = (0.6, 1.0, 1.5, 2.0, 3.0, 4.0, 5.5)  # arcsec
_SEEDS = {"training": 4101, "test": 4104}
_COMPONENTS = (6, 8, 10, 12, 20)
_SHARES = (0.1, 0.2, 0.25, 0.3, 0.7, 0.75, 0.8, 0.9)


def labels_of(pairs):
    return np.asarray(pairs.catalog["bulge_fraction"]) > 0.5


def auc(score, labels):
    """Return the AUC, for scores of unknown sign."""
    value = mannwhitneyu(score[labels], score[~labels]).statistic / (labels.sum() * (~labels).sum())
    return max(value, 1 - value)


def growth(pairs, side):
    """Return magnitudes in apertures, shape ``(galaxy, band, radius)``."""
    survey, flux = getattr(pairs, f"{side}_survey"), np.asarray(getattr(pairs, f"{side}_flux")[:])
    place = (np.arange(flux.shape[-1]) - (flux.shape[-1] - 1) / 2) * survey.pixel_scale.value
    radius = np.hypot(place[:, None], place)
    inside = np.stack([radius < edge for edge in _RADII], -1).reshape(-1, len(_RADII)).astype(np.float32)
    sums = flux.reshape(*flux.shape[:2], -1) @ inside
    return -2.5 * np.log10(np.maximum(sums, survey.sky_noise[:, None] * np.sqrt(inside.sum(0))))


def standard(values, like=None):
    like = values if like is None else like
    low, high = np.percentile(like, [0.5, 99.5], axis=0)
    center, spread = np.clip(like, low, high).mean(0), np.maximum(np.clip(like, low, high).std(0), 1e-6)
    return (np.clip(values, low, high) - center) / spread


def by_color_and_concentration(pairs, side, seed):
    """Return the difference of the distances to two means in u-g, g-r and r-band concentration."""
    magnitudes = growth(pairs, side)
    wide = magnitudes[..., 5]
    values = standard(np.stack([wide[:, 0] - wide[:, 1], wide[:, 1] - wide[:, 2],
                                magnitudes[:, 2, 2] - magnitudes[:, 2, 5]], 1))
    centers, _ = kmeans2(values, 2, minit="++", seed=seed)
    return np.subtract(*(np.linalg.norm(values - center, axis=1) for center in centers))


def supervised(training, labels, test, seed):
    """Return the scores of three perceptrons trained on the labels of the training galaxies."""
    x = torch.from_numpy(standard(training)).float()
    unseen, y = torch.from_numpy(standard(test, training)).float(), torch.from_numpy(labels).float()
    scores = 0.0
    for number in range(3):
        torch.manual_seed(3 * seed + number)
        parts = [torch.nn.Linear(x.shape[1], 64), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(64, 64),
                 torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(64, 1)]
        network = torch.nn.Sequential(*parts)
        optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 60)
        for _ in range(60):
            for rows in torch.randperm(len(x)).split(64):
                optimizer.zero_grad()
                torch.nn.functional.binary_cross_entropy_with_logits(network(x[rows])[:, 0], y[rows]).backward()
                optimizer.step()
            schedule.step()
        with torch.no_grad():
            scores = scores + network.eval()(unseen)[:, 0].numpy()
    return scores


def photometry(pairs, side):
    """Return colors and curves of growth."""
    magnitudes = growth(pairs, side)
    parts = magnitudes[:, 1:] - magnitudes[:, :-1], magnitudes[..., 1:] - magnitudes[..., :-1]
    return np.concatenate([part.reshape(len(magnitudes), -1) for part in parts] + [magnitudes[:, 2, -1:]], 1)


def galaxies(part, options):
    """Return simulated pairs or those of a file."""
    n, path = getattr(options, part), getattr(options, f"{part}_pairs")
    if path:
        return PairSet.open(path).select(np.arange(n))
    return simulate_pairs(n, seed=_SEEDS[part], sample=options.sample, input_size=32, workers=options.threads,
                          galaxies="templates", sky="plain")


def trained(training, seed, options):
    config = TrainConfig(objective="gradient", epochs=options.epochs, batch_size=16, precision="bf16", seed=seed,
                         backbone_options={"widths": [16, 32, 64]})
    result = fit(training, config, device=options.device)
    log.info("seed %d: %d epochs of %d pairs in %.0f s", seed, options.epochs, len(training), result.seconds)
    return result.translator


def of_translator(translator, test, name, options, rows):
    """Add the rows of a translator and return its populations by the scales, or by the sky noise without scales.

    Populations "by halves" are found in one half of the galaxies and evaluated on the other; those with other fractions
    of early types are found in and evaluated on samples with that fraction.
    """
    learned = translator.objective.has_gradient_weights
    kinds = (["scales", "excess"] if learned else []) + ["noise", "embedding"]
    every, half, first = np.ones(len(test), bool), np.arange(len(test)) < len(test) // 2, None
    kinds = kinds[:1] if options.scales_alone else kinds
    for kind in kinds + (["weights"] if options.weights and learned else []):
        found = None
        runs = [("", every, lambda kind=kind: populations(translator, test, features=kind, device=options.device))]
        runs += [(f", {number} components", every, lambda number=number: found.refit(n_components=number))
                 for number in _COMPONENTS]
        runs += [(f", found in the {what} half", ~one, lambda one=one: found.refit(one))
                 for one, what in ((half, "first"), (~half, "second"))]
        if kind == kinds[0]:
            runs += [(f", {share:.0%} of early type", one, lambda one=one: found.refit(one))
                     for share, one in ((share, mixed(test, share)) for share in _SHARES)]
        for what, inside, find in runs:
            start = time.perf_counter()
            try:
                other = find()
            except ValueError as error:
                log.info("%s, %s%s: %s", name, kind, what, error)
                rows.append((name, kind + what, *6 * [np.nan]))
                if found is None:
                    break
                continue
            found = other if found is None else found
            add_row(other, found, test, inside, (name, kind + what), rows, time.perf_counter() - start)
        first = found if first is None else first
    return first


def mixed(test, share, seed=0):
    """Return a mask that leaves a given fraction of early types."""
    early = np.asarray(test.catalog["early"], dtype=bool)
    order = np.random.default_rng(seed).permutation(len(test))
    n = min(early.sum() / share, (~early).sum() / (1 - share))
    inside = np.zeros(len(test), bool)
    for kind, part in ((early, share), (~early, 1 - share)):
        inside[order[kind[order]][:int(n * part)]] = True
    return inside


def add_row(found, like, test, inside, name, rows, seconds):
    """Add a row: AUC of some galaxies, and the fraction of these in the same population as before."""
    areas = [found.auc(np.ma.array(labels, mask=~inside))
             for labels in (labels_of(test), np.asarray(test.catalog["early"], dtype=bool))]
    same = np.mean((found.table["population"] == like.table["population"])[inside])
    rows.append((*name, *areas, same, found.separation, found.bic_gain, seconds))
    log.info("%s, %s: AUC %.4f, types %.4f, %.3f the same", *rows[-1][:5])


def references(training, test, options, rows):
    labels, early = labels_of(test), np.asarray(test.catalog["early"], dtype=bool)
    scores = {("true type", "early"): early.astype(float)}
    for side in ("input", "target"):
        scores["k-means", f"{side} images"] = by_color_and_concentration(test, side, 0)
        scores["supervised", f"{side} images"] = supervised(photometry(training, side), labels_of(training),
                                                            photometry(test, side), 0)
    for (name, what), score in scores.items():
        known = auc(score, early) if name != "true type" else np.nan
        rows.append((name, what, auc(score, labels), known, *4 * [np.nan]))
        log.info("%s, %s: AUC %.4f", *rows[-1][:3])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--translator", nargs="*", help="ASDF files of translators (default: train some)")
    parser.add_argument("--sample", choices=("bright", "faint"), default="bright")
    parser.add_argument("--training", type=int, default=2400, help="training pairs")
    parser.add_argument("--test", type=int, default=2000, help="test galaxies")
    parser.add_argument("--training-pairs", help="file of training pairs (default: simulate)")
    parser.add_argument("--test-pairs", help="file of test pairs (default: simulate)")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds of the trainings")
    parser.add_argument("--scales-alone", action="store_true", help="omit the other kinds of features")
    parser.add_argument("--weights", action="store_true", help="add features of the weights of the flow; takes minutes")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", default="populations.ecsv")
    parser.add_argument("--figure", help="PNG file for the populations of the first translator")
    parser.add_argument("--save", help="ASDF file for the first trained translator")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("lightning").setLevel(logging.ERROR)
    torch.set_num_threads(options.threads)
    training, test = (galaxies(part, options) for part in ("training", "test"))
    rows = []
    if options.translator:
        runs = [(lambda path=path: load(path), path.rpartition("/")[2]) for path in options.translator]
    else:
        runs = [(lambda seed=seed: trained(training, seed, options), f"U-Net, seed {seed}") for seed in options.seeds]
    for number, (make, name) in enumerate(runs):
        translator = make()
        found = of_translator(translator, test, name, options, rows)
        if number == 0 and options.save and not options.translator:
            save(options.save, translator, overwrite=True)
        if number == 0 and options.figure:
            found.figure(labels_of(test), names=("bulge fraction below 0.5", "above 0.5")).savefig(
                options.figure, dpi=110, metadata={"Software": None})
    references(training, test, options, rows)
    table = Table(rows=rows, names=("method", "what", "auc", "auc_early", "same", "separation", "bic_gain", "seconds"))
    for column in table.itercols():
        if column.dtype.kind == "f":
            column.format = ".4f" if column.name in ("auc", "auc_early", "same") else ".1f"
    table.meta = {"device": machine(torch.device(options.device)), "sample": options.sample,
                  "n_training": options.training, "n_test": options.test, "epochs": options.epochs,
                  "seeds": "" if options.test_pairs else str(_SEEDS)}
    table.write(options.out, format="ascii.ecsv", overwrite=True)
    log.info("%s", "\n".join(table.pformat(max_lines=-1, max_width=-1)))


if __name__ == "__main__":
    main()
