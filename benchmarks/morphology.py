"""Compare the morphology of simulated galaxies with that of real ones, and their color gradients with published ones.

    python benchmarks/morphology.py --data $GALTRANS_REAL_DATA --out benchmarks/results/morphology

Simulated stamps of each survey have the bands, size and magnitudes of the real ones, as in realism.py, and go through
the PSF and the noise of the survey. The table ``morphology.ecsv`` has a row for each survey and quantity, with the
median and robust scatter of both samples, the largest distance of their cumulative distributions and its probability
(Kolmogorov-Smirnov): concentration, asymmetry, smoothness, Gini, M20, Sersic index, half-light radius and axis ratio by
statmorph, and the color within the first aperture minus that in the ring between the third and the fourth.

``gradients.ecsv`` has the color gradients of simulated galaxies without PSF and noise between 0.2 and 2 half-light
radii, in mag per dex of radius, for early and late types.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

from dataclasses import replace  # noqa: E402
from pathlib import Path  # noqa: E402

import astropy.units as u  # noqa: E402
import numpy as np  # noqa: E402
import statmorph  # noqa: E402
from astropy.stats import mad_std  # noqa: E402
from astropy.table import Table  # noqa: E402
from realism import StampFeatures, match_magnitudes  # noqa: E402
from realism_stamps import SETS, simulate  # noqa: E402
from scipy.stats import ks_2samp  # noqa: E402

from astro_galtrans.images import segment_galaxy  # noqa: E402
from astro_galtrans.simulation import GalaxyPopulation, simulate_pairs  # noqa: E402
from astro_galtrans.surveys import Survey, get_survey  # noqa: E402

log = logging.getLogger("morphology")
STATMORPH = {"concentration": "concentration", "asymmetry": "asymmetry", "smoothness": "smoothness", "gini": "gini",
             "m20": "m20", "Sersic index": "sersic_n", "half-light radius": "rhalf_ellip",
             "axis ratio": "elongation_asymmetry"}
RADII = np.geomspace(0.2, 2.0, 6)  # half-light radii
GRADIENT_POPULATION = GalaxyPopulation("gradients", (14.5, 17.5), (0.02, 0.15))


def measure(flux, measures):
    """Return the morphology of one galaxy, a dict of name to number, and its aperture magnitude."""
    sky = [plane[measures.sky] for plane in flux]
    flux = np.nan_to_num(flux - np.array([np.nanmedian(values) for values in sky])[:, None, None])
    sums = np.einsum("byx,ayx->ba", flux, measures.apertures)
    found, image = {}, flux[measures.band]
    sigma = mad_std(sky[measures.band], ignore_nan=True)
    segments = segment_galaxy(image, sigma, measures.scale * u.arcsec)
    if segments is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                shape = statmorph.SourceMorphology(image, segments, 1, weightmap=np.full_like(image, sigma),
                                                   sersic_maxiter=300)
                if shape.flag < 4:
                    found = {name: getattr(shape, key) for name, key in STATMORPH.items()}
                    found["half-light radius"] *= measures.scale
                    found["axis ratio"] = 1 / found["axis ratio"]
            except (ArithmeticError, AssertionError, IndexError, RuntimeError, ValueError):
                found = {}
    outer = sums[:, 3] - sums[:, 2]
    for i, (blue, red) in enumerate(zip(measures.bands, measures.bands[1:])):
        if min(sums[i, 0], sums[i + 1, 0], outer[i], outer[i + 1]) > 0:
            ratio = sums[i, 0] / sums[i + 1, 0] * outer[i + 1] / outer[i]
            found[f"gradient of {blue} - {red}"] = -2.5 * np.log10(ratio)
    return found, 22.5 - 2.5 * np.log10(max(sums[measures.band, -1], 1e-6))


def measure_all(stamps, settings):
    """Return a dict of name to values, NaN where a measurement fails, and magnitudes."""
    measures = StampFeatures(stamps, settings)
    rows, magnitudes = zip(*(measure(flux, measures) for flux in stamps.flux))
    names = sorted({name for row in rows for name in row})
    return {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}, np.array(magnitudes)


def compare(name, options):
    """Return the rows of one survey."""
    settings = SETS[name]
    real = settings.read(options.data)
    simulated = simulate(name, real, options.simulated, options.seed, options.workers, **options.settings)
    theirs, magnitudes = measure_all(real, settings)
    ours, our_magnitudes = measure_all(simulated, settings)
    kept, chosen = match_magnitudes(magnitudes, our_magnitudes, settings.magnitudes, options.each, options.seed)
    rows = []
    for quantity, values in theirs.items():
        pair = [sample[np.isfinite(sample)] for sample in (values[kept], ours[quantity][chosen])]
        result, statistics = ks_2samp(*pair), [(np.median(sample), mad_std(sample)) for sample in pair]
        rows.append((name, quantity, *statistics[0], *statistics[1], result.statistic, result.pvalue, *map(len, pair)))
        log.info("%-8s %-22s real %7.3f +- %.3f simulated %7.3f +- %.3f distance %.3f (p %.3f)", *rows[-1][:8])
    return rows


def gradients(n, seed):
    """Return the color gradients of early and late types, a `~astropy.table.Table`.

    They are measured in circular rings on images without noise, through SDSS filters with a PSF of 0.2 arcsec.
    """
    sdss = get_survey("SDSS")
    sharp = Survey("sharp", tuple(replace(band, psf_fwhm=0.2 * u.arcsec) for band in sdss), 0.15 * u.arcsec, sdss.unit)
    pairs = simulate_pairs(n, input_survey=sharp, target_survey=sharp, seed=seed, sample=GRADIENT_POPULATION,
                           sky="plain", input_size=160, target_size=8, truth=True, progress=True)
    found = []
    y, x = (np.indices(pairs.input_truth.shape[-2:]) - 79.5) * 0.15
    for row, truth in zip(pairs.catalog, pairs.input_truth):
        radius = np.hypot(x - row["x_offset"], y - row["y_offset"]) / row["half_light_radius"]
        rings = np.array([truth[:, (radius > inner) & (radius <= outer)].sum(axis=1)
                          for inner, outer in zip(RADII, RADII[1:])])
        magnitude = -2.5 * np.log10(np.clip(rings, 1e-9, None))
        slopes = np.polyfit(0.5 * np.log10(RADII[1:] * RADII[:-1]), magnitude[:, :-1] - magnitude[:, 1:], 1)[0]
        found.append((bool(row["early"]), *slopes))
    names = [f"{blue} - {red}" for blue, red in zip("ugri", "griz")]
    found, rows = Table(rows=found, names=["early", *names]), []
    for kind in (True, False):
        for name in names:
            values = found[name][found["early"] == kind]
            rows.append(("early" if kind else "late", name, np.median(values), mad_std(values), len(values)))
            log.info("%-6s %s: %.3f +- %.3f mag per dex (%d galaxies)", *rows[-1])
    return Table(rows=rows, names=("type", "color", "median", "scatter", "n"))


def write(table, path):
    """Write a table, in place of rows of the same surveys."""
    if path.exists() and "survey" in table.colnames:
        old = Table.read(path)
        rows = [tuple(row) for row in old if row["survey"] not in set(table["survey"])] + [tuple(row) for row in table]
        table = Table(rows=rows, names=table.colnames)
    for name in table.colnames:
        if table[name].dtype.kind == "f":
            table[name].info.format = ".4g"
    path.parent.mkdir(parents=True, exist_ok=True)
    table.write(path, overwrite=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--surveys", nargs="*", choices=SETS, default=["SDSS", "KiDS", "HSC"])
    parser.add_argument("--settings", type=json.loads, default={}, help="keywords of simulate_pairs, as JSON")
    parser.add_argument("--simulated", type=int, default=500, help="galaxies to simulate of each survey")
    parser.add_argument("--gradients", type=int, default=600, help="galaxies whose color gradients are measured")
    parser.add_argument("--each", type=int, default=3, help="simulated galaxies of the magnitude of each real one")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.gradients:
        write(gradients(options.gradients, options.seed), options.out / "gradients.ecsv")
    names = ("survey", "quantity", "real_median", "real_scatter", "simulated_median", "simulated_scatter", "distance",
             "probability", "n_real", "n_simulated")
    for name in options.surveys:
        write(Table(rows=compare(name, options), names=names), options.out / "morphology.ecsv")


if __name__ == "__main__":
    main()
