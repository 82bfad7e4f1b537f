"""Calibrate miscalibrated redshift densities by their PIT and evaluate them on other galaxies.

    python benchmarks/photoz_calibration.py --out photoz_calibration.ecsv
    python benchmarks/photoz_calibration.py --sdss SDSS_MGS.train SDSS_MGS.test

The calibration is fitted on half of the galaxies and evaluated on the others. The simulated densities are Gaussians
with known errors. ``--sdss`` adds those of the catalog estimator on the SDSS main galaxy sample (the files of
``photoz_catalog.py``), as they are and squared, which makes them too narrow.
"""

import argparse
import logging
import time

import numpy as np
import torch
from astropy.table import Table
from scipy import stats

from photoz_catalog import read

from astro_galtrans.photoz import PITCalibration, RedshiftPDF, distribution_metrics, fit_catalog_estimator

log = logging.getLogger("photoz_calibration")
_METRICS = ("pit_ks", "coverage_68", "log_score")


def simulated(n, seed):
    """Return densities and features by label, and the true redshifts; the scatter grows with the magnitude."""
    rng = np.random.default_rng(seed)
    z_spec, magnitude = rng.uniform(0.3, 0.9, n), rng.uniform(18, 22, n)
    scatter = 0.01 + 0.01 * (magnitude - 18)
    center, grid = z_spec + scatter * rng.normal(size=n), np.linspace(0, 1.2, 241)

    def gaussians(place, width):
        return RedshiftPDF(grid, stats.norm.pdf(grid, place[:, None], np.broadcast_to(width, n)[:, None]),
                           tolerance=np.inf)

    kinds = {"true": (center, scatter), "too narrow by 2": (center, scatter / 2),
             "too wide by 2": (center, 2 * scatter), "shifted by 0.7 sigma": (center + 0.7 * scatter, scatter),
             "one width for all": (center, 0.03)}
    sets = {name: (gaussians(*kind), None) for name, kind in kinds.items()}
    sets["one width for all, local"] = (sets["one width for all"][0], magnitude)
    return sets, z_spec


def sdss(paths):
    """Return the same for the catalog estimator on the test galaxies."""
    train, test = map(read, paths)
    pdf = fit_catalog_estimator(train[0], train[2], errors=train[1], seed=0).predict(test[0], errors=test[1])
    squared = RedshiftPDF(pdf.grid, np.asarray(pdf.density)**2, tolerance=np.inf)
    return {"SDSS": (pdf, None), "SDSS, squared": (squared, None)}, test[2]


def rows(sets, z_spec):
    half = len(z_spec) // 2
    fit, test = slice(half), slice(half, None)
    for name, (pdf, features) in sets.items():
        given = () if features is None else (features[fit],)
        calibration = PITCalibration.fit(pdf.select(fit), z_spec[fit], *given)
        before, given = pdf.select(test), () if features is None else (features[test],)
        start = time.perf_counter()
        after = calibration(before, *given)
        rate = half / (time.perf_counter() - start)
        scores = {when: distribution_metrics(each, z_spec[test], list(_METRICS))
                  for when, each in (("before", before), ("after", after))}
        yield {"densities": name, "n_fit": half, **{
            f"{metric}_{when}": scores[when][metric] for metric in _METRICS for when in scores}, "per_second": rate}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--galaxies", type=int, default=8000, help="number of simulated galaxies")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sdss", nargs=2, metavar=("TRAIN", "TEST"), help="SDSS_MGS.train and SDSS_MGS.test")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="ECSV file for the table")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)
    found = list(rows(*simulated(options.galaxies, options.seed)))
    if options.sdss:
        found += rows(*sdss(options.sdss))
    table = Table(rows=found)
    for name in table.colnames[2:]:
        table[name].info.format = ".0f" if name == "per_second" else ".3f"
    log.info("%s", "\n".join(table.pformat(max_width=-1)))
    if options.out:
        table.write(options.out, format="ascii.ecsv", overwrite=True)


if __name__ == "__main__":
    main()
