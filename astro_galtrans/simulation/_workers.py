"""Blocks of galaxies from this process or from several, in order and the same either way."""

from astro_galtrans._utils.processes import ordered_results
from astro_galtrans.pairs import psf_side
from astro_galtrans.simulation._galaxy import Simulator, SurveyCamera
from astro_galtrans.simulation._real import RealMorphologies
from astro_galtrans.simulation._render import Renderer
from astro_galtrans.simulation._spectrograph import Fiber

__all__ = ["blocks"]


def _simulator(recipe):
    """The simulator of a recipe, a dict that goes to other processes cheaply."""
    cameras = {side: SurveyCamera(Renderer(survey, recipe["sizes"][side]), recipe["seds"][side], recipe["reference"])
               for side, survey in recipe["surveys"].items()}
    path = recipe["morphologies"]
    return Simulator(recipe["seed"], recipe["population"], cameras, None if path is None else RealMorphologies(path),
                     Fiber() if recipe["spectra"] else None,
                     {side: Renderer(survey, psf_side(survey)) for side, survey in recipe["surveys"].items()}
                     if recipe["psf"] else None)


def _prepared(recipe):
    return _simulator(recipe), recipe["truth"]


def _block(prepared, indices):
    simulator, truth = prepared
    return simulator.make_block(indices, truth)


def blocks(recipe, chunks, workers):
    """Rows and images, one block for each chunk of indices, in their order."""
    if workers > 1:
        yield from ordered_results(_prepared, recipe, _block, chunks, workers)
        return
    prepared = _prepared(recipe)
    for chunk in chunks:
        yield _block(prepared, chunk)
