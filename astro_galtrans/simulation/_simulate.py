"""A set of simulated pairs, in memory or straight to disk."""

from __future__ import annotations

from typing import Literal, TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.table import Table
from tqdm import tqdm

from astro_galtrans._utils.numerics import numpy_defaults
from astro_galtrans._utils.processes import check_workers
from astro_galtrans.pairs import PairSet, psf_side
from astro_galtrans.simulation._galsim import import_galsim
from astro_galtrans.simulation._population import get_population
from astro_galtrans.simulation._seds import reference_grid, sed_grid
from astro_galtrans.simulation._spectrograph import REDSHIFT_ERROR, Fiber
from astro_galtrans.simulation._workers import blocks
from astro_galtrans.surveys import get_survey, matching_size

if TYPE_CHECKING:
    from os import PathLike

    from astro_galtrans.simulation._population import GalaxyPopulation
    from astro_galtrans.surveys import Survey

__all__ = ["simulate_pairs"]

__doctest_requires__ = {"simulate_pairs": ["galsim"]}

# A multiple of the block of galaxies that PairSet writes at a time.
_CHUNK = 32
# Unit and description of each column of the catalog.
_COLUMNS = {
    "id": (None, "name of the galaxy: sample, seed and number"),
    "r_mag": (u.mag, "total AB magnitude in SDSS r"),
    "redshift": (None, "true redshift"),
    "early": (None, "whether the galaxy is of early type"),
    "bulge_type": (None, "spectral type of the bulge (Coleman, Wu & Weedman 1980): 0 E, 1 Sbc, 2 Scd, 3 Im"),
    "disc_type": (None, "spectral type of the disk, as bulge_type"),
    "bulge_reddening": (u.mag, "E(B-V) of dust in front of the bulge"),
    "disc_reddening": (u.mag, "E(B-V) of dust in front of the disk"),
    "absolute_r_mag": (u.mag, "absolute AB magnitude in SDSS r"),
    "bulge_fraction": (None, "share of the bulge in the flux in SDSS r"),
    "half_light_radius": (u.arcsec, "circularized half-light radius of bulge and disk together"),
    "bulge_radius": (u.arcsec, "circularized half-light radius of the bulge"),
    "disc_radius": (u.arcsec, "circularized half-light radius of the disk"),
    "bulge_axis_ratio": (None, "minor over major axis of the bulge"),
    "disc_axis_ratio": (None, "minor over major axis of the disk"),
    "position_angle": (u.rad, "angle of the major axis from the x axis toward the y axis"),
    "x_offset": (u.arcsec, "offset of the galaxy from the middle of the stamp along x"),
    "y_offset": (u.arcsec, "offset of the galaxy from the middle of the stamp along y"),
    "knot_fraction": (None, "share of knots of star formation in the flux of the disk"),
    "n_knots": (None, "number of knots of star formation"),
    "morphology": (None, "row of the catalog of real galaxies whose shape the disk has"),
    "input_mag": (u.mag, "total AB magnitude in each input band"),
    "target_mag": (u.mag, "total AB magnitude in each target band"),
    "input_psf_fwhm": (u.arcsec, "FWHM of the PSF in each input band"),
    "target_psf_fwhm": (u.arcsec, "FWHM of the PSF in each target band"),
    "fiber_r_mag": (u.mag, "AB magnitude in SDSS r within the fiber of the spectrograph"),
}


def _check_integers(**values):
    for name, value in values.items():
        least = 0 if name == "seed" else 1
        if value is None and name in ("target_size", "workers"):
            continue
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")


@numpy_defaults()
def simulate_pairs(
    n: int, *, input_survey: Survey | str = "SDSS", target_survey: Survey | str = "CFHTLS", seed: int,
    sample: Literal["bright", "faint"] | GalaxyPopulation = "bright", input_size: int = 64,
    target_size: int | None = None, truth: bool = False, workers: int | None = None, progress: bool = False,
    morphologies: str | PathLike | None = None, path: str | PathLike | None = None, overwrite: bool = False,
    spectra: bool = False, psf: bool = False,
) -> PairSet:
    """Simulate galaxies as two surveys see them.

    Every galaxy is a bulge and a disc, the later types with star-forming knots, of different spectra at one true
    redshift. The page on simulated pairs gives the distributions and their sources.

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
        Without it a RuntimeError says so.
    progress : bool, optional
        Whether to show a progress bar.
    morphologies : path-like, optional
        Catalogue file of a `galsim.RealGalaxyCatalog`, whose galaxies then stand in the place of discs and knots.
    path : path-like, optional
        Write the pairs to this Zarr folder while they are made, so that they need not fit in memory.
    overwrite : bool, optional
        Whether a set of pairs at ``path`` may be replaced.
    spectra : bool, optional
        Whether every galaxy gets a spectrum, as a fibre of the SDSS spectrograph takes it. The images are the same
        either way.
    psf : bool, optional
        Whether the image of each galaxy's PSF, pixel included, is kept with it in both surveys.

    Returns
    -------
    PairSet
        With weights, redshifts, and a catalogue of all that was drawn: magnitudes in ``r_mag`` (SDSS r),
        ``input_mag`` and ``target_mag`` (AB, one a band), ``bulge_fraction`` (of the SDSS r light),
        ``half_light_radius`` (circularised), and more. On disk if ``path`` was given. With ``spectra``, also spectra
        on the default `~astro_galtrans.spectra.SpectrumGrid`, a column ``fiber_r_mag``, and a ``redshift_error`` of
        1e-4, like that of a measured redshift, although it is the true one.

    Raises
    ------
    ImportError
        If GalSim is not installed.
    ValueError
        If a number is not a positive integer, or the sample is not known.

    Examples
    --------
    >>> from astro_galtrans.simulation import simulate_pairs
    >>> simulate_pairs(2, seed=1, input_size=32)
    <PairSet: 2 pairs, SDSS ugriz 32x32 nmgy -> CFHTLS ugriz 68x68 adu, in memory>
    """
    import_galsim()
    for name, value in (("spectra", spectra), ("psf", psf)):
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{name} must be True or False, got {value!r}")
    _check_integers(n=n, seed=seed, input_size=input_size, target_size=target_size, workers=workers)
    if overwrite and path is None:
        raise ValueError("overwrite has no effect without path, got overwrite=True")
    check_workers(workers or 1)
    population = get_population(sample)
    surveys = {"input": get_survey(input_survey), "target": get_survey(target_survey)}
    if target_size is None:
        target_size = matching_size(input_size, surveys["input"].pixel_scale, surveys["target"].pixel_scale)
    recipe = {
        "seed": int(seed), "population": population, "truth": bool(truth), "surveys": surveys,
        "sizes": {"input": int(input_size), "target": int(target_size)}, "reference": reference_grid(),
        "seds": {side: sed_grid(survey) for side, survey in surveys.items()},
        "morphologies": None if morphologies is None else str(morphologies), "spectra": bool(spectra),
        "psf": bool(psf),
    }
    chunks = [range(first, min(first + _CHUNK, n)) for first in range(0, n, _CHUNK)]
    made = blocks(recipe, chunks, min(workers or 1, len(chunks)))
    made = _counted(made, int(n), progress)
    if path is None:
        return _in_memory(made, int(n), recipe)
    return _on_disk(made, int(n), recipe, path, overwrite)


def _counted(made, n, progress):
    """The blocks, with a progress bar from the first on: an error before it stands alone."""
    with tqdm(total=n, desc="simulate", unit="pair", disable=not progress) as bar:
        for rows, block in made:
            yield rows, block
            bar.update(len(rows))


def _in_memory(made, n, recipe):
    rows, images = [], {}
    for block_rows, block in made:
        for name, stamps in block.items():
            whole = images.setdefault(name, np.empty((n, *stamps.shape[1:]), np.float32))
            whole[len(rows):len(rows) + len(stamps)] = stamps
        rows += block_rows
    catalog = _catalog(rows, recipe)
    return PairSet(images, redshift=np.array(catalog["redshift"]), ids=np.array(catalog["id"]), catalog=catalog,
                   input_survey=recipe["surveys"]["input"], target_survey=recipe["surveys"]["target"],
                   **_spectroscopy(n, recipe))


def _spectroscopy(n, recipe):
    """What a set of pairs with spectra holds beside them."""
    if not recipe["spectra"]:
        return {}
    return {"redshift_error": np.full(n, REDSHIFT_ERROR), "spectrum_grid": Fiber().grid}


def _on_disk(made, n, recipe, path, overwrite):
    kinds = ("flux", "weight", "truth") if recipe["truth"] else ("flux", "weight")
    shapes = {f"{side}_{kind}": (len(survey), recipe["sizes"][side], recipe["sizes"][side])
              for side, survey in recipe["surveys"].items() for kind in kinds}
    if recipe["psf"]:
        shapes |= {f"{side}_psf": (len(survey), psf_side(survey), psf_side(survey))
                   for side, survey in recipe["surveys"].items()}
    spectroscopy = _spectroscopy(n, recipe)
    if spectroscopy:
        shapes |= dict.fromkeys(("spectrum_flux", "spectrum_weight"), (spectroscopy["spectrum_grid"].n_pixels,))
    rows = []
    with PairSet.writer(path, n, shapes, recipe["surveys"], overwrite=overwrite) as writer:
        for block_rows, block in made:
            writer.write_images(len(rows), block)
            rows += block_rows
        catalog = _catalog(rows, recipe)
        writer.finish(np.array(catalog["id"]), np.array(catalog["redshift"]), catalog, **spectroscopy)
    return PairSet.open(path)


def _catalog(rows, recipe):
    """One row a galaxy, with units, and the settings in the meta data."""
    population, seed = recipe["population"], recipe["seed"]
    catalog = Table({name: np.array([row[name] for row in rows]) for name in rows[0]})
    catalog.add_column([f"{population.name}-{seed}-{index}" for index in range(len(rows))], name="id", index=0)
    for name in catalog.colnames:
        catalog[name].unit, catalog[name].description = _COLUMNS[name]
    catalog.meta["simulation"] = {"seed": seed, "population": population.to_dict()}
    return catalog
