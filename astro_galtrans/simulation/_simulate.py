"""Pairs of images of simulated galaxies, in memory or written to disk block by block."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.table import Table
from tqdm import tqdm

from astro_galtrans._utils.numerics import numpy_defaults
from astro_galtrans._utils.processes import check_workers
from astro_galtrans._utils.validation import check_fields, choice, configured, flag, whole_number
from astro_galtrans.pairs import PairSet, psf_side
from astro_galtrans.simulation._galaxy import Recipe, simulated_blocks
from astro_galtrans.simulation._population import get_population
from astro_galtrans.simulation._render import import_galsim
from astro_galtrans.simulation._sky import Sky
from astro_galtrans.simulation._spectrograph import REDSHIFT_ERROR
from astro_galtrans.spectra import SpectrumGrid
from astro_galtrans.surveys import available_surveys, get_survey, matching_size, same_name

if TYPE_CHECKING:
    from os import PathLike

    from astro_galtrans.simulation._population import GalaxyPopulation
    from astro_galtrans.surveys import Survey

__all__ = ["BLOCK", "SimulationConfig", "collected", "simulate_pairs"]

__doctest_requires__ = {"simulate_pairs": ["galsim"]}

BLOCK = 32  # galaxies, a multiple of the blocks of `PairSet` on disk
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
    "axis_ratio": (None, "minor over major axis of the disk, or of an elliptical galaxy"),
    "nucleus_fraction": (None, "share of the active nucleus in the flux in SDSS r"),
    "knot_fraction": (None, "share of knots of star formation in the flux of the disk"),
    "n_knots": (None, "number of knots of star formation"),
    "morphology": (None, "row of the catalog of real galaxies whose shape the disk has"),
    "input_mag": (u.mag, "total AB magnitude in each input band"),
    "target_mag": (u.mag, "total AB magnitude in each target band"),
    "input_psf_fwhm": (u.arcsec, "FWHM of the PSF in each input band"),
    "target_psf_fwhm": (u.arcsec, "FWHM of the PSF in each target band"),
    "template_fractions": (None, "weights of the templates of kcorrect, from old to young light"),
    "reddening": (u.mag, "E(B-V) of dust beyond that of the templates"),
    "line_strength": (None, "factor of the emission lines of the templates"),
    "modulation": (None, "coefficients of the smooth modulation of the continuum"),
    "ebv": (u.mag, "E(B-V) of the dust of the Galaxy"),
    "fiber_r_mag": (u.mag, "AB magnitude in SDSS r within the fiber of the spectrograph"),
}


@dataclass(frozen=True)
class SimulationConfig:
    """Images and spectra of the pairs of `simulate_pairs`.

    Parameters
    ----------
    input_size : int, optional
        Side of the input stamps in pixels, at least 8, as that of the target stamps.
    target_size : int, optional
        Side of the target stamps in pixels; by default the smallest that covers the input stamp. Both stamps are
        centered on the same position on the sky.
    truth : bool, optional
        Whether to keep the images without noise and, of a realistic sky, a label of each pixel: 0 for sky, 1 for the
        galaxy, 2 for neighbors and stars.
    spectra : bool, optional
        Whether every galaxy gets a spectrum, as through a fiber of the SDSS spectrograph. The images are the same
        either way.
    psf : bool, optional
        Whether to keep the image of the PSF of each galaxy, pixel included, in both surveys. It is cut off at eight
        FWHM of the widest band of the survey and has a sum of 1, without the flux of the wings beyond.
    morphologies : path-like, optional
        Catalog file of a `galsim.RealGalaxyCatalog`, whose galaxies replace disks, arms and knots.

    Examples
    --------
    >>> from astro_galtrans.simulation import SimulationConfig
    >>> SimulationConfig(truth=True).input_size
    64
    """

    input_size: int = 64
    target_size: int | None = None
    truth: bool = False
    spectra: bool = False
    psf: bool = False
    morphologies: str | PathLike | None = None

    def __post_init__(self) -> None:
        check_fields(self, {**dict.fromkeys(("input_size", "target_size"), partial(whole_number, least=8)),
                            **dict.fromkeys(("truth", "spectra", "psf"), flag)})


@numpy_defaults()
def simulate_pairs(
    n: int, *, seed: int, input_survey: Survey | str = "SDSS", target_survey: Survey | str = "CFHTLS",
    sample: Literal["bright", "faint"] | GalaxyPopulation = "bright",
    galaxies: Literal["observed", "templates"] = "observed", sky: Literal["realistic", "plain"] | Sky = "realistic",
    workers: int | None = None, path: str | PathLike | None = None, overwrite: bool = False, progress: bool = False,
    config: SimulationConfig | None = None, **settings: Any,
) -> PairSet:
    """Simulate galaxies as two surveys observe them.

    Every galaxy has components of different spectra at one true redshift, among neighbors and stars. :ref:`simulation`
    gives the distributions and their sources.

    Parameters
    ----------
    n : int
        Number of galaxies.
    seed : int
        Seed of the set. Galaxy i depends only on the seed and on i, not on ``n`` or ``workers``.
    input_survey, target_survey : str or Survey, optional
        The two surveys.
    sample : {"bright", "faint"} or GalaxyPopulation, optional
        Distribution of the galaxies. "bright" is like a spectroscopic main sample, r 14.5 to 18.3 and redshifts to
        0.45; "faint" is r 17 to 20.5 and redshifts to 0.75.
    galaxies : {"observed", "templates"}, optional
        "observed" has the redshifts, spectra and components of real galaxies. "templates" has four template spectra,
        and smooth bulges and disks with knots.
    sky : {"realistic", "plain"} or Sky, optional
        "realistic" has PSFs, noise, neighbors, artifacts and errors like real images; a `Sky` changes parts of it or
        turns them off. "plain" has galaxies that are alone, a round PSF, white noise of the depth of the survey, and
        perfect alignment.
    workers : int, optional
        Number of processes, 1 by default. A script needs the ``if __name__ == "__main__":`` guard for more than one;
        a RuntimeError says so if it is missing.
    path : path-like, optional
        Zarr folder to which the pairs are written while they are made, so that they need not fit in memory; a suffix of
        another format, as ``.fits``, is refused.
    overwrite : bool, optional
        Whether a set of pairs at ``path`` may be replaced.
    progress : bool, optional
        Whether to show a progress bar.
    config : SimulationConfig, optional
        Sizes of the images, and what is kept beside them.
    **settings
        Fields of `SimulationConfig`, as ``truth=True``; they replace those of ``config``.

    Returns
    -------
    PairSet
        With weights, redshifts, and a catalog of everything that was drawn: magnitudes in ``r_mag`` (SDSS r),
        ``input_mag`` and ``target_mag`` (AB, one per band), ``bulge_fraction`` (of the SDSS r flux),
        ``half_light_radius`` (circularized), ``ebv`` (of the Galaxy), and more. Magnitudes are those of the galaxy
        alone, before extinction by the Galaxy. On disk if ``path`` is given. With ``spectra``, also spectra
        on the default `~astro_galtrans.spectra.SpectrumGrid`, a column ``fiber_r_mag``, and a ``redshift_error`` of
        1e-4, like that of a measured redshift, although the redshift is the true one.

    Raises
    ------
    ImportError
        If GalSim, or for observed galaxies kcorrect, is not installed.
    ValueError
        If a number is not a positive integer, the sample is not known, a stamp is smaller than 8 pixels, or ``path``
        has the suffix of another format.
    TypeError
        If a setting is unknown.

    Examples
    --------
    >>> from astro_galtrans.simulation import simulate_pairs
    >>> simulate_pairs(2, seed=1, input_size=32)
    <PairSet: 2 pairs, SDSS ugriz 32x32 nmgy -> CFHTLS ugriz 68x68 adu, in memory>
    """
    import_galsim()
    config = configured(SimulationConfig, config, settings, function=simulate_pairs)
    n, seed = whole_number(n, "n", 1), whole_number(seed, "seed")
    workers = 1 if workers is None else whole_number(workers, "workers", 1)
    flag(progress, "progress")
    if flag(overwrite, "overwrite") and path is None:
        raise ValueError("overwrite has no effect without path, got overwrite=True")
    check_workers(workers)
    surveys = {"input": get_survey(input_survey), "target": get_survey(target_survey)}
    target_size = config.target_size or matching_size(
        config.input_size, surveys["input"].pixel_scale, surveys["target"].pixel_scale)
    galaxies = choice(galaxies, "galaxies", ("observed", "templates"))
    if isinstance(sky, Sky):
        known = (*available_surveys(), *(survey.name for survey in surveys.values()))
        unknown = [name for name in sky.conditions if not any(same_name(name, other) for other in known)]
        if unknown:
            raise ValueError(f"sky.conditions must be of known surveys, got {', '.join(map(repr, unknown))}")
    else:
        if not isinstance(sky, str):
            raise TypeError(f"sky must be 'realistic', 'plain' or a Sky, got {sky!r}")
        sky = {"realistic": Sky(), "plain": None}[choice(sky, "sky", ("realistic", "plain"))]
    recipe = Recipe(seed, get_population(sample), surveys, {"input": config.input_size, "target": target_size},
                    galaxies, sky, config.truth, config.spectra, config.psf,
                    None if config.morphologies is None else str(config.morphologies))
    chunks = [range(first, min(first + BLOCK, n)) for first in range(0, n, BLOCK)]
    blocks = _counted(simulated_blocks(recipe, chunks, min(workers, len(chunks))), n, progress)
    return collected(PairSet.writer(path, n, _shapes(recipe), surveys, overwrite), blocks, partial(_described, recipe))


def _counted(blocks, n, progress):
    """Yield the blocks, with a progress bar that starts at the first, so that an earlier error comes without it."""
    with tqdm(total=n, desc="simulate", unit="pair", disable=not progress) as bar:
        for rows, block in blocks:
            yield rows, block
            bar.update(len(rows))


def _shapes(recipe):
    """Return the shape of each array of images of one galaxy."""
    shapes = {}
    for side, survey in recipe.surveys.items():
        for kind in ("flux", "weight", "truth") if recipe.truth else ("flux", "weight"):
            shapes[f"{side}_{kind}"] = (len(survey), recipe.sizes[side], recipe.sizes[side])
        if recipe.truth and recipe.sky is not None:
            shapes[f"{side}_label"] = (recipe.sizes[side], recipe.sizes[side])
        if recipe.psf:
            shapes[f"{side}_psf"] = (len(survey), psf_side(survey), psf_side(survey))
    if recipe.spectra:
        shapes |= dict.fromkeys(("spectrum_flux", "spectrum_weight"), (SpectrumGrid().n_pixels,))
    return shapes


def _described(recipe, rows):
    """Return ids, redshifts and catalog, with units, and the settings in its meta."""
    catalog = Table({name: np.array([row[name] for row in rows]) for name in rows[0]})
    ids = [f"{recipe.population.name}-{recipe.seed}-{index}" for index in range(len(rows))]
    catalog.add_column(ids, name="id", index=0)
    for name in catalog.colnames:
        catalog[name].unit, catalog[name].description = _COLUMNS[name]
    catalog.meta["simulation"] = {"seed": recipe.seed, "population": recipe.population.to_dict()}
    if (recipe.galaxies, recipe.sky) != ("templates", None):
        sky = "plain" if recipe.sky is None else repr(recipe.sky)
        catalog.meta["simulation"] |= {"galaxies": recipe.galaxies, "sky": sky}
    described = {"ids": np.array(catalog["id"]), "redshift": np.array(catalog["redshift"]), "catalog": catalog}
    if recipe.spectra:
        described |= {"redshift_error": np.full(len(rows), REDSHIFT_ERROR), "spectrum_grid": SpectrumGrid()}
    return described


def collected(writer, blocks, describe):
    """Return the `PairSet` of blocks of pairs, each a list of rows and a dict of stacked images.

    ``describe`` returns the ids, redshifts and catalog for the list of all rows, as arguments of ``writer.finish``.
    """
    rows = []
    with writer:
        for block_rows, images in blocks:
            writer.write_images(len(rows), images)
            rows += block_rows
        writer.finish(**describe(rows))
    return writer.pairs()
