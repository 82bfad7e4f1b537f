"""Measure the speed of the log-flux gradients, and draw the figure of the page about them.

    python benchmarks/sed_gradients.py --galaxies 400 --out sed_gradients.ecsv
    python benchmarks/sed_gradients.py --figure docs/_static/sed_galaxy.png

Wall-clock rates are the best of the repeats, each with all galaxies at once. Rates per CPU second depend least on other
load of the machine; with several workers they count the time of all.
"""

import argparse
import logging
import os
import time

import numpy as np
from astropy.nddata import StdDevUncertainty
from astropy.table import Table
from astropy.wcs import WCS

from astro_galtrans.gradients import plot_sed_gradients, sed_gradient_arrays, sed_gradients
from astro_galtrans.images import BandCube
from astro_galtrans.surveys import get_survey

log = logging.getLogger("sed_gradients")
FIGURE_SEED, FIGURE_GALAXIES, FIGURE_ROW, FIGURE_SIZE = 5, 40, 39, 96


def make_flux(n, survey, size, seed):
    """Return exponential galaxies on the survey's sky noise, float32."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((size, size)) - (size - 1) / 2
    profiles = np.exp(-np.hypot(x, y) / rng.uniform(4, 15, (n, 1, 1)))
    flux = profiles[:, None] * (rng.uniform(10, 300, (n, 1)) * survey.sky_noise)[..., None, None]
    flux += rng.standard_normal(flux.shape, dtype=np.float32) * survey.sky_noise[:, None, None]
    return flux.astype(np.float32)


def rate(work, n, repeats):
    """Return galaxies per second of wall-clock and of CPU time, the best of the repeats."""
    work()
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return n / min(walls), n / min(cpus)


def array_rows(flux, survey, workers, repeats):
    weight = np.broadcast_to((survey.sky_noise**-2.0)[:, None, None].astype(np.float32), flux.shape).copy()
    for given, uncertainty in ((None, False), (weight, False), (None, True), (weight, True)):
        out = sed_gradient_arrays(flux, survey, weight=given, uncertainty=uncertainty)
        for count in workers:
            speed = rate(lambda: sed_gradient_arrays(flux, survey, weight=given, uncertainty=uncertainty, out=out,
                                                     workers=count), len(flux), repeats)
            yield "arrays", given is not None, uncertainty, count, *speed


def cube_row(flux, survey, repeats):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval = 150, 2
    wcs.wcs.crpix = [(flux.shape[-1] + 1) / 2] * 2
    scale = survey.pixel_scale.to_value("deg")
    wcs.wcs.cdelt = -scale, scale
    sigma = np.broadcast_to(survey.sky_noise[:, None, None], flux.shape[1:]).astype(np.float32)
    cube = BandCube(flux[0], unit=survey.unit, wcs=wcs, bands=survey.band_names, survey=survey,
                    uncertainty=StdDevUncertainty(sigma))
    return "one cube", True, True, 1, *rate(lambda: sed_gradients(cube), 1, 5 * repeats)


def torch_rows(flux, survey, device, repeats):
    import torch

    torch.set_num_threads(1)
    tensor = torch.from_numpy(flux).to(device)

    def work(uncertainty):
        total = sed_gradient_arrays(tensor, survey, uncertainty=uncertainty).x.sum()
        return float(total)  # waits for the device

    for uncertainty in (False, True):
        speed = rate(lambda: work(uncertainty), len(flux), repeats)
        yield f"tensors, {device}", False, uncertainty, 1, *speed


def measure(options):
    survey = get_survey(options.survey)
    flux = make_flux(options.galaxies, survey, options.size, options.seed)
    rows = list(array_rows(flux, survey, options.workers, options.repeats))
    rows.append(cube_row(flux, survey, options.repeats))
    if options.torch:
        rows.extend(torch_rows(flux, survey, options.torch, options.repeats))
    names = ["what", "weights", "uncertainty", "workers", "galaxies_per_s", "galaxies_per_cpu_s"]
    table = Table(rows=rows, names=names)
    for name in names[-2:]:
        table[name].info.format = ".0f"
    table.meta.update(shape=list(flux.shape[1:]), galaxies=len(flux), survey=survey.name, numpy=np.__version__,
                      cores=os.cpu_count(), load=[round(value, 1) for value in os.getloadavg()])
    return table


def draw(path):
    from astro_galtrans.simulation import simulate_pairs

    pairs = simulate_pairs(FIGURE_GALAXIES, seed=FIGURE_SEED, input_size=FIGURE_SIZE, galaxies="templates", sky="plain")
    figure = plot_sed_gradients(pairs[FIGURE_ROW].target, ("g", "r"), ellipse="moments")
    figure.savefig(path, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--galaxies", type=int, default=400)
    parser.add_argument("--size", type=int, default=136, help="side of the images in pixels")
    parser.add_argument("--survey", default="CFHTLS")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--torch", metavar="DEVICE", help="also measure tensors on this device")
    parser.add_argument("--out", help="ECSV file for the table")
    parser.add_argument("--figure", help="draw the figure of the page to this file, without measurements")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.figure:
        draw(options.figure)
        return
    table = measure(options)
    for line in table.pformat(max_lines=-1, max_width=-1):
        log.info("%s", line)
    log.info("%s", dict(table.meta))
    if options.out:
        table.write(options.out, overwrite=True)


if __name__ == "__main__":
    main()
