"""Measure how well a classifier distinguishes simulated galaxies from real ones.

    python benchmarks/realism.py --data $GALTRANS_REAL_DATA --out realism --label templates --statmorph

Real stamps of SDSS, CFHTLS, KiDS and HSC are compared with simulated stamps of the same survey, bands and size, of the
same magnitudes. Features are measured on the stamps alone, by group; a random forest and a logistic regression are
trained on each group and on all, in ten folds. Stamps of one cell of a field, a sixteenth of it, or of one scene are in
the same fold, as they share pixels, background and seeing; "random forest, any fold" has stamps in any fold, and so
recognizes the places of its field too. The table ``realism.ecsv`` has a row for each survey, group and model:

- "auc", area under the ROC curve of the held-out scores: 0.5 is a simulation as good as the sky;
- "low" and "high", its 95 % interval, by a bootstrap over galaxies;
- "n_real" and "n_simulated".

``features.ecsv`` has the single features that separate best: the AUC of each alone, and the median and robust scatter
of both samples. ``distributions.ecsv`` has percentiles of a color, half-light radius, concentration, ellipticity, noise
correlation and neighbors of both samples, from which the documentation draws a figure. Where statmorph is installed,
the group "statmorph" has its concentration, asymmetry, smoothness, Gini, M20 and Sersic index. ``mixed_SURVEY.png``
shows stamps of both kinds in random order, and ``mixed_SURVEY.txt`` says which are real. ``--label`` names the
simulation in the tables; rows of the same label are replaced.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path  # noqa: E402

import astropy.units as u  # noqa: E402
import numpy as np  # noqa: E402
from astropy.stats import mad_std  # noqa: E402
from astropy.table import Table, vstack  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from photutils.aperture import CircularAperture  # noqa: E402
from realism_stamps import SETS, simulate  # noqa: E402
from scipy import ndimage  # noqa: E402
from sklearn.ensemble import RandomForestClassifier  # noqa: E402
from sklearn.impute import SimpleImputer  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import RobustScaler  # noqa: E402

try:
    import statmorph
except ImportError:
    statmorph = None

from astro_galtrans.images import segment_galaxy  # noqa: E402

log = logging.getLogger("realism")
FOLDS, ANY_FOLD = 10, "random forest"
N_BOOTSTRAP = 1000
N_FEATURES = 12
PERCENTILES = (5, 16, 25, 50, 75, 84, 95)
GRID = (6, 10)  # rows and columns of the mixed figure
STATMORPH = {"concentration": "concentration", "asymmetry": "asymmetry", "smoothness": "smoothness", "gini": "gini",
             "m20": "m20", "sersic_index": "sersic_n"}


class StampFeatures:
    """Features of the stamps of one set.

    Parameters
    ----------
    stamps : Stamps
    settings : StampSet
    """

    def __init__(self, stamps, settings):
        self.scale, self.bands, self.settings = stamps.scale, stamps.bands, settings
        side = stamps.flux.shape[-1]
        y, x = (np.indices((side, side)) - (side - 1) / 2) * stamps.scale
        self.x, self.y, self.radius = x, y, np.hypot(x, y)
        self.sky = self.radius > settings.sky_radius
        middle = (side - 1) / 2
        self.apertures = np.stack([
            CircularAperture((middle, middle), radius / stamps.scale).to_mask(method="exact").to_image((side, side))
            for radius in settings.radii])
        self.band = stamps.bands.index(settings.band)

    def measure(self, flux):
        """Return the features of one galaxy, a dict of name to number for each group, and its aperture magnitude."""
        sky = [plane[self.sky] for plane in flux]
        level = np.array([np.nanmedian(values) for values in sky])
        rms = np.array([mad_std(values, ignore_nan=True) for values in sky])
        flux = flux - level[:, None, None]
        filled = np.nan_to_num(flux)
        sums = np.einsum("byx,ayx->ba", filled, self.apertures)
        groups = {
            "noise": self._noise(flux, level, rms), "neighbors": self._neighbors(flux, rms),
            "colors": self._colors(sums), "shape": self._shape(filled[self.band], rms[self.band]),
            "centering": self._centering(filled), "profiles": self._profiles(sums), "psf": self._psf(filled, sums),
        }
        return groups, 22.5 - 2.5 * np.log10(max(sums[self.band, -1], 1e-6))

    def _noise(self, flux, level, rms):
        found = {}
        for name, plane, middle, sigma in zip(self.bands, flux, level, rms):
            clipped = np.where(self.sky & (np.abs(plane) < 3 * sigma), plane, np.nan)
            found[f"ln rms {name}"] = np.log(sigma)
            found[f"median over rms {name}"] = middle / sigma
            for axis, label in ((0, "y"), (1, "x")):
                products = clipped * np.roll(clipped, 1, axis)
                found[f"lag-1 correlation along {label} {name}"] = np.nanmean(products) / np.nanvar(clipped)
        return found

    def _neighbors(self, flux, rms):
        found = {}
        for name, plane, sigma in zip(self.bands, flux, rms):
            values = plane[self.sky] / sigma
            found[f"99.5th percentile {name}"] = np.nanpercentile(values, 99.5)
            found[f"0.5th percentile {name}"] = np.nanpercentile(values, 0.5)
            found[f"fraction above 5 sigma {name}"] = np.nanmean(values > 5)
        return found

    def _colors(self, sums):
        magnitudes = -2.5 / np.log(10) * np.arcsinh(sums / 0.02)
        return {f"{blue} - {red} within {radius} arcsec": magnitudes[i, k] - magnitudes[i + 1, k]
                for i, (blue, red) in enumerate(zip(self.bands, self.bands[1:]))
                for k, radius in enumerate(self.settings.radii)}

    def _shape(self, plane, rms):
        inside = self.radius < self.settings.radii[-1]
        order = np.argsort(self.radius[inside], kind="stable")
        growth = np.cumsum(plane[inside][order])
        r20, r50, r80 = np.interp([0.2, 0.5, 0.8], np.maximum.accumulate(growth / growth[-1]),
                                  self.radius[inside][order])
        weight = np.where(inside & (plane > 2 * rms), plane, 0.0)
        total = max(weight.sum(), 1e-9)
        x0, y0 = (weight * self.x).sum() / total, (weight * self.y).sum() / total
        dx, dy = self.x - x0, self.y - y0
        xx, yy, xy = ((weight * a * b).sum() / total for a, b in ((dx, dx), (dy, dy), (dx, dy)))
        values = np.sort(np.abs(plane[inside]))
        n = len(values)
        gini = ((2 * np.arange(1, n + 1) - n - 1) * values).sum() / max(values.mean() * n * (n - 1), 1e-9)
        turned = plane[::-1, ::-1]
        return {
            "concentration": 5 * np.log10(max(r80, 0.05) / max(r20, 0.05)), "half-light radius": r50,
            "second moment": np.sqrt(max(xx + yy, 1e-9)),
            "ellipticity": np.hypot(xx - yy, 2 * xy) / max(xx + yy, 1e-9), "gini": gini,
            "asymmetry": np.abs(plane - turned)[inside].sum() / max(np.abs(plane)[inside].sum(), 1e-9),
        }

    def _centers(self, filled):
        near = self.radius < self.settings.radii[1]
        weight = np.clip(np.where(near, filled, 0.0), 0, None)
        total = np.maximum(weight.sum(axis=(1, 2)), 1e-9)
        return (weight * self.x).sum(axis=(1, 2)) / total, (weight * self.y).sum(axis=(1, 2)) / total

    def _centering(self, filled):
        x, y = self._centers(filled)
        found = {"offset": np.hypot(x[self.band], y[self.band])}
        for i, name in enumerate(self.bands):
            if i != self.band:
                found[f"offset {name}"] = np.hypot(x[i] - x[self.band], y[i] - y[self.band])
        return found

    def _profiles(self, sums):
        return {f"flux within {radius} over {self.settings.radii[-1]} arcsec {name}":
                np.clip(row[k] / max(row[-1], 1e-3), -1, 3)
                for name, row in zip(self.bands, sums) for k, radius in enumerate(self.settings.radii[:-1])}

    def _psf(self, filled, sums):
        found, near = {}, self.radius < self.settings.radii[1]
        for name, plane, row in zip(self.bands, filled, sums):
            total = max(row[1], 1e-3)
            found[f"brightest pixel {name}"] = np.clip(plane[near].max() / total, 0, 3)
            found[f"curvature {name}"] = np.clip(np.sqrt((ndimage.laplace(plane)[near] ** 2).sum()) / total, 0, 10)
        return found


def statmorph_features(flux, measures):
    """Return C, A, S, Gini, M20 and Sersic index in the band of the set; NaN where statmorph fails."""
    found = dict.fromkeys(STATMORPH, np.nan)
    image = np.nan_to_num(flux[measures.band])
    sky = image[measures.sky]
    sigma = mad_std(sky)
    image = image - np.median(sky)
    segments = segment_galaxy(image, sigma, measures.scale * u.arcsec)
    if segments is None:
        return found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            measured = statmorph.SourceMorphology(image, segments, 1, weightmap=np.full_like(image, sigma),
                                                  sersic_maxiter=300)
        except (ArithmeticError, AssertionError, IndexError, RuntimeError, ValueError):
            return found
    if measured.flag < 4:
        found.update({name: value for name, key in STATMORPH.items() if (value := getattr(measured, key)) > -90})
    return found


def measure_all(stamps, settings, with_statmorph):
    """Return the features of all stamps: dict of group to `~astropy.table.Table`, and magnitudes."""
    measures = StampFeatures(stamps, settings)
    rows, magnitudes = [], []
    for flux in stamps.flux:
        groups, magnitude = measures.measure(flux)
        if with_statmorph:
            groups["statmorph"] = statmorph_features(flux, measures)
        rows.append(groups)
        magnitudes.append(magnitude)
    return {group: Table([row[group] for row in rows]) for group in rows[0]}, np.array(magnitudes)


def match_magnitudes(real, simulated, limits, each, seed):
    """Return the rows of real galaxies within the limits, and of the ``each`` nearest in magnitude of simulated ones.

    Each simulated galaxy is used once.
    """
    kept = np.flatnonzero((real > limits[0]) & (real < limits[1]))
    free, chosen = np.ones(len(simulated), dtype=bool), []
    for _ in range(each):
        for row in np.random.default_rng(seed).permutation(kept):
            distance = np.where(free, np.abs(simulated - real[row]), np.inf)
            nearest = int(np.argmin(distance))
            if distance[nearest] < 0.2:
                free[nearest] = False
                chosen.append(nearest)
    return kept, np.array(chosen, dtype=int)


def models(seed):
    """Return the classifiers by name."""
    return {
        "random forest": make_pipeline(
            SimpleImputer(strategy="median", keep_empty_features=True),
            RandomForestClassifier(200, min_samples_leaf=3, class_weight="balanced", random_state=seed)),
        "logistic regression": make_pipeline(
            SimpleImputer(strategy="median", keep_empty_features=True), RobustScaler(),
            LogisticRegression(C=0.1, class_weight="balanced", max_iter=5000)),
    }


def interval(truth, score, seed):
    """Return the 95 % interval of the AUC by a bootstrap within each class."""
    generator = np.random.default_rng(seed)
    simulated, real = score[truth == 0], score[truth == 1]
    # The AUC is the mean over all pairs of a real and a simulated galaxy.
    wins = (real[:, None] > simulated) + 0.5 * (real[:, None] == simulated)
    values = [wins[np.ix_(*(generator.integers(n, size=n) for n in wins.shape))].mean() for _ in range(N_BOOTSTRAP)]
    return np.percentile(values, (2.5, 97.5))


def classify(features, truth, places, seed):
    """Return the rows of the table: AUC of each group of features and of all, by each model."""
    rows, n_places = [], len(set(places[truth == 1]))
    for group in [*features, "all"]:
        tables = features.values() if group == "all" else [features[group]]
        matrix = np.concatenate([np.array([table[name] for name in table.colnames], dtype=float).T for table in tables],
                                axis=1)
        matrix[~np.isfinite(matrix)] = np.nan
        trained = [(name, model, places) for name, model in models(seed).items()]
        trained.append((f"{ANY_FOLD}, any fold", models(seed)[ANY_FOLD], np.arange(len(truth))))
        for name, model, kept_together in trained:
            folds = StratifiedGroupKFold(min(FOLDS, n_places), shuffle=True, random_state=seed)
            score = cross_val_predict(model, matrix, truth, groups=kept_together, cv=folds,
                                      method="predict_proba")[:, 1]
            low, high = interval(truth, score, seed)
            rows.append((group, name, roc_auc_score(truth, score), low, high))
            log.info("%-12s %-24s AUC %.3f (%.3f to %.3f)", *rows[-1])
    return Table(rows=rows, names=("group", "model", "auc", "low", "high"))


def best_features(features, truth):
    """Return the single features that separate the samples best."""
    rows = []
    for group, table in features.items():
        for name in table.colnames:
            values = np.asarray(table[name], dtype=float)
            good = np.isfinite(values)
            if good.sum() < 20 or len(set(truth[good])) < 2:
                continue
            auc = roc_auc_score(truth[good], values[good])
            kinds = [values[good & (truth == kind)] for kind in (1, 0)]
            statistics = [number for kind in kinds for number in (np.median(kind), mad_std(kind))]
            rows.append((group, name, max(auc, 1 - auc), *statistics))
    rows.sort(key=lambda row: -row[2])
    names = ("group", "feature", "auc", "real_median", "real_scatter", "simulated_median", "simulated_scatter")
    return Table(rows=rows[:N_FEATURES], names=names)


def distributions(features, truth, settings):
    """Return the percentiles of some features of real and of simulated galaxies."""
    shown = {
        "g - r": ("colors", f"g - r within {settings.radii[2]} arcsec"),
        "half-light radius": ("shape", "half-light radius"), "concentration": ("shape", "concentration"),
        "ellipticity": ("shape", "ellipticity"),
        "noise correlation": ("noise", "lag-1 correlation along x g"),
        "fraction above 5 sigma": ("neighbors", f"fraction above 5 sigma {settings.band}"),
    }
    rows = []
    for label, (group, name) in shown.items():
        values = np.asarray(features[group][name], dtype=float)
        for sample, kind in (("real", 1), ("simulated", 0)):
            one = values[(truth == kind) & np.isfinite(values)]
            rows.append((label, name, sample, len(one), *np.percentile(one, PERCENTILES)))
    return Table(rows=rows, names=("quantity", "feature", "sample", "n", *(f"p{q}" for q in PERCENTILES)))


def draw_mixed(real, simulated, measures, path, seed):
    """Draw real and simulated stamps in random order; a text file beside the figure says which are real."""
    generator = np.random.default_rng(seed)
    n = min(GRID[0] * GRID[1] // 2, len(real), len(simulated))
    stamps = [(flux, kind) for source, kind in ((real, "real"), (simulated, "simulated"))
              for flux in source[generator.permutation(len(source))[:n]]]
    order = generator.permutation(len(stamps))
    figure = Figure((GRID[1] * 1.15, GRID[0] * 1.25), layout="constrained")
    panels = figure.subplots(*GRID, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    channels = [2, 1, 0] if len(measures.bands) == 3 else [3, 2, 1]
    for number, (panel, row) in enumerate(zip(panels, order), start=1):
        flux = np.nan_to_num(stamps[row][0][channels])
        sky = flux[:, measures.sky]
        scaled = (flux - np.median(sky, axis=1)[:, None, None]) / mad_std(sky, axis=1)[:, None, None]
        panel.imshow(np.clip(np.arcsinh(np.moveaxis(scaled, 0, -1) / 3 + 0.4) / np.arcsinh(60.0), 0, 1),
                     origin="lower", interpolation="nearest")
        panel.set_title(str(number), fontsize=7, pad=1)
    figure.savefig(path, dpi=110)
    kinds = [f"{number} {stamps[row][1]}" for number, row in enumerate(order, start=1)]
    path.with_suffix(".txt").write_text("\n".join(kinds) + "\n")


def run(name, options):
    """Return the tables of one survey."""
    settings = SETS[name]
    real = settings.read(options.data)
    simulated = simulate(name, real, options.simulated, options.seed, options.workers, **options.settings)
    (ours, our_magnitudes), (theirs, magnitudes) = (
        measure_all(stamps, settings, options.statmorph) for stamps in (simulated, real))
    kept, chosen = match_magnitudes(magnitudes, our_magnitudes, settings.magnitudes, options.each, options.seed)
    log.info("%s: %d real, %d simulated", name, len(kept), len(chosen))
    features = {group: vstack([theirs[group][kept], ours[group][chosen]]) for group in theirs}
    truth = np.repeat([1, 0], [len(kept), len(chosen)])
    _, places = np.unique([f"{kind} {place}" for kind, found in
                           (("real", real.places[kept]), ("simulated", simulated.places[chosen])) for place in found],
                          return_inverse=True)
    scores = classify(features, truth, places, options.seed)
    found = best_features(features, truth)
    percentiles = distributions(features, truth, settings)
    for table in (scores, found, percentiles):
        table.add_column(options.label, 0, "label")
        table.add_column(name, 0, "survey")
    scores["n_real"], scores["n_simulated"] = len(kept), len(chosen)
    mixed = options.out / f"mixed_{name.lower().replace(' ', '_')}_{options.label}.png"
    draw_mixed(real.flux[kept], simulated.flux[chosen], StampFeatures(real, settings), mixed, options.seed)
    return scores, found, percentiles


def write(table, path):
    """Write rows, in place of those of the same survey and label."""
    if path.exists():
        old = Table.read(path)
        new = set(zip(table["survey"], table["label"]))
        table = vstack([old[[key not in new for key in zip(old["survey"], old["label"])]], table])
    for name in table.colnames:
        if table[name].dtype.kind == "f":
            table[name].info.format = ".4g"
    table.write(path, overwrite=True)


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables and figures")
    parser.add_argument("--surveys", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--label", default="now", help="name of the simulation in the tables")
    parser.add_argument("--settings", type=json.loads, default={}, help="keywords of simulate_pairs, as JSON")
    parser.add_argument("--simulated", type=int, default=700, help="galaxies to simulate of each survey")
    parser.add_argument("--each", type=int, default=3, help="simulated galaxies of the magnitude of each real one")
    parser.add_argument("--statmorph", action="store_true", help="measure with statmorph too")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


def main():
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.surveys:
        for table, file in zip(run(name, options), ("realism", "features", "distributions")):
            write(table, options.out / f"{file}.ecsv")


if __name__ == "__main__":
    main()
