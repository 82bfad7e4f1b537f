"""A small sky of galaxies that are Gaussians, as two surveys see it."""

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.nddata import StdDevUncertainty
from astropy.table import Table
from astropy.wcs import WCS

from astro_galtrans.images import BandCube
from astro_galtrans.surveys import get_survey

CENTER = SkyCoord(150.0, 2.0, unit="deg")
BANDS = "gri"


def galaxies(n=40, side=100.0, seed=0, least=9.0):
    """Positions in arcsec from the center that keep apart, AB magnitudes and widths: a Table with ra and dec."""
    rng = np.random.default_rng(seed)
    places = []
    while len(places) < n:
        place = rng.uniform(-side / 2, side / 2, 2)
        if all(np.hypot(*(place - other)) > least for other in places):
            places.append(place)
    places = np.array(places)
    sky = CENTER.spherical_offsets_by(places[:, 0] * u.arcsec, places[:, 1] * u.arcsec)
    return Table({"ra": sky.ra.deg, "dec": sky.dec.deg, "mag": rng.uniform(17.5, 19.5, n),
                  "sigma": rng.uniform(0.6, 1.1, n), "redshift": rng.uniform(0.02, 0.3, n),
                  "id": [f"g{i:03d}" for i in range(n)]})


def make_wcs(survey, shape, angle=0.0, mirror=False, shift=(0.0, 0.0), off=(0.0, 0.0), center=CENTER):
    """A TAN WCS turned by an angle in degrees; ``off`` is its error in arcsec towards east and north."""
    scale = survey.pixel_scale.to_value("deg")
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    moved = center.spherical_offsets_by(off[0] * u.arcsec, off[1] * u.arcsec)
    wcs.wcs.crval = moved.ra.deg, moved.dec.deg
    wcs.wcs.crpix = (shape[1] + 1) / 2 + shift[0], (shape[0] + 1) / 2 + shift[1]
    turn = np.radians(angle)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    wcs.wcs.cd = scale * np.diag([1 if mirror else -1, 1]) @ matrix
    wcs.wcs.set()
    wcs.array_shape = shape
    return wcs


def image(table, name, side=120.0, *, noise=1.0, seed=1, off=(0.0, 0.0), uncertainty=True, bands=BANDS, **grid):
    """A BandCube of the sky. Its WCS is wrong by ``off`` arcsec, which the pixels are not."""
    survey = get_survey(name).select(bands)
    n = int(round(side / survey.pixel_scale.to_value("arcsec")))
    shape = (n, n)
    truth = make_wcs(survey, shape, **grid)
    x, y = truth.world_to_pixel(SkyCoord(table["ra"], table["dec"], unit="deg"))
    data = np.zeros((len(survey), *shape))
    scale = survey.pixel_scale.to_value("arcsec")
    for index, band in enumerate(survey):
        flux = 10 ** (0.4 * (band.zero_point - np.asarray(table["mag"])))
        widths = np.hypot(table["sigma"], band.psf_fwhm.value / 2.3548) / scale
        for x0, y0, width, total in zip(x, y, widths, flux):
            reach = int(8 * width) + 1
            rows, columns = (slice(*np.clip([int(place) - reach, int(place) + reach], 0, n)) for place in (y0, x0))
            yy, xx = np.mgrid[rows, columns]
            data[index, rows, columns] += total * np.exp(-((xx - x0)**2 + (yy - y0)**2) / (2 * width**2)) / (
                2 * np.pi * width**2)
    spread = np.broadcast_to(survey.sky_noise[:, None, None], data.shape)
    data += noise * spread * np.random.default_rng(seed).normal(size=data.shape)
    return BandCube(data.astype(np.float32), unit=survey.unit, bands=bands, survey=survey,
                    wcs=make_wcs(survey, shape, **{**grid, "off": off}),
                    uncertainty=StdDevUncertainty(spread.astype(np.float32)) if uncertainty else None)
