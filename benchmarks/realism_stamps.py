"""Stamps of real galaxies, and of simulated ones of the same survey, for realism.py.

Each reader returns `Stamps`: all bands on one grid, the galaxy near the middle, in nanomaggies. Masked and missing
pixels are NaN.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from scipy.spatial import cKDTree
from semi_real import read_field

from astro_galtrans.images import BandCube, detect_galaxies, read_cube, read_stamps
from astro_galtrans.simulation import GalaxyPopulation, simulate_pairs
from astro_galtrans.surveys import get_survey

__all__ = ["SETS", "Stamps", "simulate"]

_HSC_SIZE = 41


class Stamps(NamedTuple):
    """Images of galaxies of one survey.

    Attributes
    ----------
    flux : ndarray of shape (galaxy, band, y, x)
        In nanomaggies; NaN without data.
    scale : float
        Pixel scale in arcsec.
    bands : tuple of str
    survey : Survey
    places : ndarray of shape (galaxy,)
        Stamps of one place on the sky are never both in the training and the test of a classifier.
    """

    flux: np.ndarray
    scale: float
    bands: tuple
    survey: object
    places: np.ndarray


def _stamps(field, bands, band, faintest, brightest, size, centers=None, **options):
    """Return stamps of the extended sources of a field that lie whole within it.

    With ``centers``, an array of pixel positions ``(n, 2)``, only of the sources nearest to them, within 2 arcsec.
    """
    table = detect_galaxies(field, band, max_magnitude=faintest, extended_only=True, **options)
    table = table[~table["edge"] & (table["magnitude"] > brightest)]
    scale = field.survey.pixel_scale.to_value(u.arcsec)
    if centers is not None:
        distance, row = cKDTree(np.array([table["x"], table["y"]]).T).query(centers, distance_upper_bound=2 / scale)
        table = table[np.unique(row[np.isfinite(distance)])]
    planes = []
    for position in SkyCoord(table["ra"], table["dec"]):
        cube = field.cutout(position, size=size)
        flux = np.asarray(cube.data, dtype=np.float64)
        if cube.mask is not None:
            flux[cube.mask] = np.nan
        if np.isfinite(flux).mean() > 0.98:
            planes.append(flux)
    survey = field.survey
    flux = _nanomaggies(np.stack(planes), survey, cube.bands)[:, [cube.bands.index(name) for name in bands]]
    return Stamps(flux, scale, tuple(bands), survey, np.arange(len(flux)))


def _nanomaggies(flux, survey, bands):
    """Return fluxes of a survey's scale in nanomaggies, whose zero point is 22.5."""
    zero_points = np.array([survey[band].zero_point for band in bands])
    return flux * 10 ** (-0.4 * (zero_points - 22.5))[:, None, None]


def sdss_field(data, size=64):
    """Read galaxies of r 17 to 20.5 of the SDSS field 003918-3-0213."""
    folder = Path(data) / "sdss-field-003918-3-0213"
    field = read_cube({band: folder / f"frame-{band}-003918-3-0213.fits.bz2" for band in "ugriz"}, survey="SDSS")
    return _stamps(field, "ugriz", "r", 20.5, 17.0, size)


def sdss_stamps(data, size=51):
    """Read the SDSS stamps around RA 187.6, Dec 12.0: each run of each of twelve places."""
    folder, planes, places = Path(data) / "sdss-stamps-ugriz-desimcmc", [], []
    survey = get_survey("SDSS")
    for path in sorted(folder.glob("stamp-r-*.fits")):
        place = path.name.removeprefix("stamp-r-")
        for cube in read_stamps({band: folder / f"stamp-{band}-{place}" for band in "ugriz"}, bands="ugriz"):
            flux = np.asarray(cube.data, dtype=np.float64)
            if flux.shape[1:] == (size, size):
                planes.append(np.where(cube.mask, np.nan, flux) if cube.mask is not None else flux)
                places.append(place)
    return Stamps(np.stack(planes), survey.pixel_scale.to_value(u.arcsec), survey.band_names, survey, np.array(places))


def cfhtls_field(data, size=40):
    """Read galaxies of r 17 to 24 of the CFHTLS field in g, r and i."""
    folder = Path(data) / "cfhtls-gri-humvi"
    field = read_cube({band: folder / f"CFHTLS-test_{band}.fits" for band in "gri"}, survey="CFHTLS")
    return _stamps(field, "gri", "r", 24.0, 17.0, size)


def kids_field(data, size=40):
    """Read galaxies of r 18 to 21.5 of the KiDS and VIKING field, in u, g, r and i."""
    return _stamps(read_field(data), "ugri", "r", 21.5, 18.0, size, kernel_fwhm=2.4)


def hsc_scenes(data):
    """Read stamps around the peaks of the HSC scenes, those that scenes share once."""
    half, planes, seen = _HSC_SIZE // 2, [], set()
    for path in sorted((Path(data) / "hsc-cosmos-blends").glob("*.npz")):
        with np.load(path) as scene:
            images, peaks = scene["images"].astype(np.float64), scene["peaks"]
        for x, y in np.rint(peaks).astype(int):
            stamp = images[:, max(y - half, 0):y + half + 1, max(x - half, 0):x + half + 1]
            if stamp.shape[1:] != (_HSC_SIZE, _HSC_SIZE):
                continue
            key = stamp[2, half - 2:half + 3, half - 2:half + 3].tobytes()
            if key not in seen:
                seen.add(key)
                planes.append(stamp)
    survey = get_survey("HSC")
    flux = _nanomaggies(np.stack(planes), survey, "grizy")
    return Stamps(flux, survey.pixel_scale.to_value(u.arcsec), tuple("grizy"), survey, np.arange(len(flux)))


class StampSet(NamedTuple):
    """A set of real stamps and how galaxies are simulated for it.

    Attributes
    ----------
    read : callable
        From the folder of data to `Stamps`.
    band : str
        The band in which magnitudes are matched and shapes are measured.
    sky_radius : float
        Beyond it, in arcsec, stamps are taken as sky and neighbors.
    radii : tuple of float
        Radii of the apertures in arcsec.
    magnitudes : tuple of float
        Range of the magnitude in ``band`` within the largest aperture.
    population : GalaxyPopulation
        Where simulated galaxies are drawn from, somewhat wider than ``magnitudes``.
    """

    read: object
    band: str
    sky_radius: float
    radii: tuple
    magnitudes: tuple
    population: GalaxyPopulation


SETS = {
    "SDSS": StampSet(sdss_field, "r", 9.0, (1.0, 2.0, 3.0, 4.0, 6.0), (17.0, 20.5),
                     GalaxyPopulation("real-sdss", (16.8, 20.8), (0.01, 0.75))),
    "SDSS stamps": StampSet(sdss_stamps, "r", 7.5, (1.0, 2.0, 3.0, 4.0, 6.0), (17.0, 19.5),
                            GalaxyPopulation("real-sdss-stamps", (16.8, 19.8), (0.01, 0.75))),
    "CFHTLS": StampSet(cfhtls_field, "r", 2.8, (0.5, 0.8, 1.2, 1.6, 2.2), (17.0, 24.0),
                       GalaxyPopulation("real-cfhtls", (18.0, 24.5), (0.01, 1.45))),
    "KiDS": StampSet(kids_field, "r", 5.0, (0.8, 1.4, 2.0, 2.8, 4.0), (18.0, 21.5),
                     GalaxyPopulation("real-kids", (17.8, 21.9), (0.01, 1.0))),
    "HSC": StampSet(hsc_scenes, "i", 2.6, (0.4, 0.7, 1.0, 1.4, 2.0), (20.5, 24.0),
                    GalaxyPopulation("real-hsc", (20.5, 25.0), (0.01, 1.45))),
}


def simulate(name, real, n, seed, workers, **settings):
    """Return simulated stamps of the survey, bands and size of the real ones."""
    size = real.flux.shape[-1]
    pairs = simulate_pairs(n, input_survey=real.survey, target_survey=real.survey, seed=seed,
                           sample=SETS[name].population, input_size=size, target_size=size, workers=workers,
                           progress=True, **settings)
    bands = [real.survey.band_names.index(band) for band in real.bands]
    flux = _nanomaggies(pairs.input_flux[:, bands].astype(np.float64), real.survey, real.bands)
    return Stamps(flux, real.scale, real.bands, real.survey, np.arange(n))
