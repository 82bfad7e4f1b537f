"""Many simulated galaxies, in one process or several."""

import multiprocessing
import os
from contextlib import contextmanager

import astropy.units as u
import numpy as np
from astropy.table import Table
from tqdm import tqdm

from astro_galtrans.pairs import PairSet
from astro_galtrans.simulation._galaxy import SurveyCamera, make_galaxy
from astro_galtrans.simulation._galsim import import_galsim
from astro_galtrans.simulation._population import get_population
from astro_galtrans.simulation._render import Renderer
from astro_galtrans.simulation._seds import sed_grid
from astro_galtrans.surveys import get_survey, matching_size

__all__ = ["simulate_pairs"]

_CHUNK = 32
_UNITS = {"r_mag": u.mag, "absolute_r_mag": u.mag, "half_light_radius": u.arcsec, "bulge_radius": u.arcsec,
          "disc_radius": u.arcsec, "position_angle": u.rad, "x_offset": u.arcsec, "y_offset": u.arcsec,
          "bulge_reddening": u.mag, "disc_reddening": u.mag, "input_mag": u.mag, "target_mag": u.mag,
          "input_psf_fwhm": u.arcsec, "target_psf_fwhm": u.arcsec}


def _cameras(surveys, sizes):
    return {side: SurveyCamera(Renderer(surveys[side], sizes[side]), sed_grid(surveys[side])) for side in surveys}


def _make_block(seed, indices, population, cameras, truth):
    rows, images = [], {}
    for row, index in enumerate(indices):
        galaxy, stamps = make_galaxy(seed, index, population, cameras)
        rows.append(galaxy)
        for name, stamp in stamps.items():
            if truth or not name.endswith("truth"):
                images.setdefault(name, np.empty((len(indices), *stamp.shape), np.float32))[row] = stamp
    return rows, images


_worker = {}


def _start_worker(surveys, sizes, *settings):
    _worker["cameras"] = _cameras(surveys, sizes)
    _worker["settings"] = settings


def _work(indices):
    seed, population, truth = _worker["settings"]
    return _make_block(seed, indices, population, _worker["cameras"], truth)


@contextmanager
def _single_threaded_children():
    """Children inherit the environment: without this each would start a pool of threads for linear algebra."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _blocks(chunks, workers, surveys, sizes, seed, population, truth):
    """Blocks of galaxies in order, from this process or from several."""
    if workers == 1:
        cameras = _cameras(surveys, sizes)
        for chunk in chunks:
            yield _make_block(seed, chunk, population, cameras, truth)
        return
    context = multiprocessing.get_context("spawn")
    with _single_threaded_children():
        pool = context.Pool(workers, _start_worker, (surveys, sizes, seed, population, truth))
    with pool:
        yield from pool.imap(_work, chunks)


def simulate_pairs(n, *, input_survey="SDSS", target_survey="CFHTLS", seed, sample="bright", input_size=64,
                   target_size=None, truth=False, workers=None, progress=False, morphologies=None):
    """Simulate galaxies as two surveys see them.

    Every galaxy is a bulge and a disc with star-forming knots, of different spectra at one true redshift. See the
    page on simulated pairs for the distributions and their sources.

    Parameters
    ----------
    n : int
        Number of galaxies.
    input_survey, target_survey : str or Survey, optional
        The surveys.
    seed : int
        Galaxy i depends on the seed and on i only, not on ``n`` or ``workers``.
    sample : {"bright", "faint"} or GalaxyPopulation, optional
        What galaxies there are. "bright" is like a spectroscopic main sample, r 14.5 to 18.3 and redshifts to 0.45;
        "faint" is r 17 to 20.5 and redshifts to 0.75.
    input_size, target_size : int, optional
        Sides of the stamps in pixels; the target's is by default the smallest that covers the input stamp. Both
        stamps are centred on the same place on the sky.
    truth : bool, optional
        Whether to keep the images without noise.
    workers : int, optional
        Number of processes, 1 by default. More than one needs the ``if __name__ == "__main__":`` guard in a script.
    progress : bool, optional
        Whether to show a progress bar.
    morphologies : path-like, optional
        A `galsim.RealGalaxyCatalog` file.

    Returns
    -------
    PairSet
        With weights, redshifts, and a catalogue of all that was drawn.

    Raises
    ------
    ImportError
        If GalSim is not installed.

    Examples
    --------
    >>> from astro_galtrans.simulation import simulate_pairs
    >>> simulate_pairs(2, seed=1, input_size=32)  # doctest: +REQUIRES(module:galsim)
    <PairSet: 2 pairs, SDSS ugriz 32x32 nmgy -> CFHTLS ugriz 68x68 adu, in memory>
    """
    import_galsim()
    for name, value in (("n", n), ("seed", seed), ("input_size", input_size), ("target_size", target_size),
                        ("workers", workers)):
        least = 0 if name == "seed" else 1
        if value is None and name in ("target_size", "workers"):
            continue
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    population = get_population(sample)
    surveys = {"input": get_survey(input_survey), "target": get_survey(target_survey)}
    if target_size is None:
        target_size = matching_size(input_size, surveys["input"].pixel_scale, surveys["target"].pixel_scale)
    sizes = {"input": int(input_size), "target": int(target_size)}
    seed, n = int(seed), int(n)
    chunks = [range(first, min(first + _CHUNK, n)) for first in range(0, n, _CHUNK)]
    workers = min(workers or 1, len(chunks))
    rows, images = [], {}
    with tqdm(total=n, disable=not progress, unit="pair") as bar:
        for block_rows, block in _blocks(chunks, workers, surveys, sizes, seed, population, truth):
            for name, stamps in block.items():
                target = images.setdefault(name, np.empty((n, *stamps.shape[1:]), np.float32))
                target[len(rows):len(rows) + len(stamps)] = stamps
            rows += block_rows
            bar.update(len(block_rows))
    catalog = _catalog(rows, seed, population)
    return PairSet(images, redshift=np.array(catalog["redshift"]), ids=np.array(catalog["id"]), catalog=catalog,
                   input_survey=surveys["input"], target_survey=surveys["target"])


def _catalog(rows, seed, population):
    catalog = Table({name: np.array([row[name] for row in rows]) for name in rows[0]})
    catalog.add_column([f"{population.name}-{seed}-{index}" for index in range(len(rows))], name="id", index=0)
    for name, unit in _UNITS.items():
        catalog[name].unit = unit
    catalog.meta["simulation"] = {"seed": seed, "population": population.to_dict()}
    return catalog
