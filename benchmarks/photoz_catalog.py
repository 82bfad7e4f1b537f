"""Redshifts from magnitudes of the SDSS main galaxy sample: the catalog estimator and nearest neighbors.

    python benchmarks/photoz_catalog.py SDSS_MGS.train SDSS_MGS.test --out photoz_catalog.ecsv

The script reads the two halves of the sample that is distributed with MLZ (Carrasco Kind & Brunner 2013, MNRAS 432,
1483; https://github.com/mgckind/MLZ): columns zs, ugriz, four colors, and their errors. The table has a row for the 15
nearest neighbors in four colors and r, and one for each seed and number of members of `fit_catalog_estimator`. Point
estimates are medians of the neighbors and of the densities.
"""

import argparse
import logging
import os
import platform
import time

import numpy as np
import torch
from astropy.table import Table
from scipy.spatial import cKDTree

from astro_galtrans.photoz import distribution_metrics, fit_catalog_estimator, point_metrics

POINT = ("nmad", "sigma_iqr", "bias_mean", "bias_median", "outlier_005")
DISTRIBUTION = ("crps", "log_score", "cde_loss", "pit_ks")
log = logging.getLogger(__name__)


def read(path):
    """Return magnitudes, errors and redshifts by position; the header lacks the name of the error of u."""
    values = np.loadtxt(path)
    return values[:, 1:6], values[:, 10:15], values[:, 0]


def neighbors(train, test, k=15):
    """Return the median redshift of the k nearest training galaxies in colors and r, in units of their scatter."""
    inputs = [np.column_stack([-np.diff(part[0], axis=1), part[0][:, 2]]) for part in (train, test)]
    center, scale = inputs[0].mean(axis=0), inputs[0].std(axis=0)
    _, found = cKDTree((inputs[0] - center) / scale).query((inputs[1] - center) / scale, k)
    return np.median(train[2][found], axis=1)


def measured(z_phot, z_spec, n_bootstrap):
    metrics = point_metrics(z_phot, z_spec, n_bootstrap=n_bootstrap)
    low, high = metrics.intervals["nmad"]
    return {**{name: metrics[name] for name in POINT}, "nmad_low": low, "nmad_high": high}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", help="SDSS_MGS.train")
    parser.add_argument("test", help="SDSS_MGS.test")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--members", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--output", choices=["bins", "density"], default="density")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--n-bootstrap", type=int, default=1000)
    parser.add_argument("--out", help="ECSV file for the table")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)
    train, test = read(options.train), read(options.test)
    rows = [{"method": "15 neighbors", "seed": 0, "members": 0, "seconds": 0.0,
             **measured(neighbors(train, test), test[2], options.n_bootstrap),
             **dict.fromkeys(DISTRIBUTION, np.nan)}]
    for members in options.members:
        for seed in options.seeds:
            started = time.perf_counter()
            estimator = fit_catalog_estimator(
                train[0], train[2], errors=train[1], seed=seed, n_members=members, output=options.output,
                epochs=options.epochs, device=options.device)
            seconds = time.perf_counter() - started
            pdf = estimator.predict(test[0], test[1], device=options.device)
            scores = distribution_metrics(pdf, test[2])
            rows.append({"method": options.output, "seed": seed, "members": members, "seconds": seconds,
                         **measured(pdf.median(), test[2], options.n_bootstrap),
                         **{name: float(scores[name]) for name in DISTRIBUTION}})
            log.info("%d members, seed %d: NMAD %.5f in %.0f s", members, seed, rows[-1]["nmad"], seconds)
    table = Table(rows)
    table.meta = {"device": options.device, "threads": options.threads, "processor": platform.processor(),
                  "cores": os.cpu_count(), "torch": str(torch.__version__), "epochs": options.epochs,
                  "n_train": len(train[2]), "n_test": len(test[2])}
    for name in table.colnames[4:]:
        table[name].info.format = ".5f" if name in (*POINT, "nmad_low", "nmad_high", "crps") else ".4f"
    table["seconds"].info.format = ".0f"
    log.info("%s", "\n".join(table.pformat(max_width=-1, max_lines=-1)))
    if options.out:
        table.write(options.out, format="ascii.ecsv", overwrite=True)


if __name__ == "__main__":
    main()
