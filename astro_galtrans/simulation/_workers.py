"""Blocks of galaxies from this process or from several, in order and the same either way."""

import multiprocessing
import os
from contextlib import contextmanager

from astro_galtrans.pairs._psf import psf_side
from astro_galtrans.simulation._galaxy import Simulator, SurveyCamera
from astro_galtrans.simulation._real import RealMorphologies
from astro_galtrans.simulation._render import Renderer
from astro_galtrans.simulation._spectrograph import Fiber

__all__ = ["blocks"]

_worker = {}


def _simulator(recipe):
    """The simulator of a recipe, a dict that goes to other processes cheaply."""
    cameras = {side: SurveyCamera(Renderer(survey, recipe["sizes"][side]), recipe["seds"][side], recipe["reference"])
               for side, survey in recipe["surveys"].items()}
    path = recipe["morphologies"]
    return Simulator(recipe["seed"], recipe["population"], cameras, None if path is None else RealMorphologies(path),
                     Fiber() if recipe["spectra"] else None,
                     {side: Renderer(survey, psf_side(survey)) for side, survey in recipe["surveys"].items()}
                     if recipe["psf"] else None)


def _start_worker(recipe):
    _worker["simulator"], _worker["truth"] = _simulator(recipe), recipe["truth"]


def _work(indices):
    return _worker["simulator"].make_block(indices, _worker["truth"])


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


def blocks(recipe, chunks, workers):
    """Rows and images, one block for each chunk of indices, in their order."""
    if workers == 1:
        simulator = _simulator(recipe)
        for chunk in chunks:
            yield simulator.make_block(chunk, recipe["truth"])
        return
    # Spawned, not forked: the parent may hold threads of torch or Zarr.
    context = multiprocessing.get_context("spawn")
    with _single_threaded_children():
        pool = context.Pool(workers, _start_worker, (recipe,))
    with pool:
        yield from pool.imap(_work, chunks)
        pool.close()
        pool.join()
