"""Stamps of real galaxies, and of simulated ones of the same survey, for realism.py.

Each reader returns `Stamps`: all bands on one grid, the galaxy near the middle, in nanomaggies. Masked and missing
pixels are NaN.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.stats import mad_std
from astropy.wcs import WCS
from scipy import ndimage
from scipy.spatial import cKDTree
from semi_real import fwhm_of, read_field

from astro_galtrans.images import BandCube, detect_galaxies, read_cube, read_stamps
from astro_galtrans.simulation import GalaxyPopulation, Scene, Sky, get_conditions, simulate_pairs
from astro_galtrans.surveys import get_survey

__all__ = ["SETS", "Stamps", "simulate"]

log = logging.getLogger("realism")
_HSC_SIZE, _HSC_TILE, _HSC_SCALE = 41, 241, 0.168
# Galaxies that a tile stands for: one tile has several scenes.
_PER_TILE = 4
# Footprints and peaks of the HSC scenes: above 5 sigma of the smoothed image; footprints are grown to where the scenes
# end, at 1.6 sigma.
_SIGNIFICANCE, _GROWTH = 5.0, 4
# Peaks of a scene. A tile does not hold the scenes of more: 2 of the hundred.
_PEAKS = (2, 30)
_DEPTHS = 5  # groups of HSC scenes of similar noise
_STAR_SIDE = 25
_MARGIN = 20  # pixels around simulated stamps, so that a source near the edge is detected whole
_N_TRIAL, _N_WIDTHS = 100, 8  # simulated galaxies to measure noise, and PSF widths
_AMPLIFIER = 1024  # columns of SDSS frames that one amplifier reads
_KIDS_STEP = 0.25
_WITHIN_FIELD = 0.015  # scatter of ln FWHM within a field
_CELLS = 4  # along each side of a field


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
        Stamps of one place on the sky, a scene or a cell of a field, are never both in the training and the test of a
        classifier: they share pixels, background and seeing.
    widths : ndarray of shape (band,), optional
        FWHM of the images of the stars of the field in arcsec.
    star_size : tuple of float, optional
        Half-light radius of the stars of the field and its scatter, in pixels.
    noise : dict, optional
        Fields of `NoiseConditions` that the files of the field give, each with one number per band.
    groups : ndarray of shape (galaxy,), optional
        Parts of the set that differ in noise: the two amplifiers of a detector, or scenes of some depth. ``noise``
        then is a list.
    steps : ndarray of shape (band,), optional
        Steps between pixel values in nanomaggies. Their phase is the same all over a field, which no other field has:
        the values of real and simulated stamps are spread over a step.
    rounded : bool
        Whether the files were rounded to the steps, as the simulation does not by itself.
    """

    flux: np.ndarray
    scale: float
    bands: tuple
    survey: object
    places: np.ndarray
    widths: np.ndarray | None = None
    star_size: tuple | None = None
    noise: dict | None = None
    groups: np.ndarray | None = None
    steps: np.ndarray | None = None
    rounded: bool = False


def _stamps(field, bands, band, faintest, brightest, size, centers=None, star_size=None, **options):
    """Return stamps of the extended sources of a field that lie whole within it.

    With ``centers``, an array of pixel positions ``(n, 2)``, only of the sources nearest to them, within 2 arcsec.
    ``star_size`` is that of the stars of the real field, since a mosaic of galaxies has too few.
    """
    table = detect_galaxies(field, band, **options)
    if star_size is None:
        star_size = table.meta["star_half_light_radius_pixels"], table.meta["star_scatter_pixels"]
    else:
        middle, scatter = star_size
        margin = np.maximum(max(0.1 * middle, 4 * scatter), 3 * middle / table["signal_to_noise"])
        table["extended"] = table["half_light_radius"] / field.survey.pixel_scale.to_value(u.arcsec) > middle + margin
    scale = field.survey.pixel_scale.to_value(u.arcsec)
    stars = table[~table["extended"] & ~table["edge"] & ~table["neighbor"] & (table["signal_to_noise"] > 80)]
    table = table[table["extended"] & ~table["saturated"] & ~table["edge"] & (table["magnitude"] > brightest)
                  & (table["magnitude"] < faintest)]
    if centers is not None:
        distance, row = cKDTree(np.array([table["x"], table["y"]]).T).query(centers, distance_upper_bound=2 / scale)
        table = table[np.unique(row[np.isfinite(distance)])]
    cubes = [field.cutout(position, size=size) for position in SkyCoord(table["ra"], table["dec"])]
    order = [cubes[0].bands.index(name) for name in bands]
    planes = [np.where(cube.mask, np.nan, cube.data) if cube.mask is not None else np.asarray(cube.data, np.float64)
              for cube in cubes]
    kept = [row for row, plane in enumerate(planes) if np.isfinite(plane).mean() > 0.98]
    flux = _nanomaggies(np.stack([planes[row] for row in kept]), field.survey, cubes[0].bands)[:, order]
    widths = _star_widths(field, stars, scale)[order] if centers is None and len(stars) > 3 else None
    x, y = np.asarray(table["x"])[kept], np.asarray(table["y"])[kept]
    places = np.arange(len(flux))
    if centers is None:
        columns, rows = (_CELLS * np.array([x, y]).T // field.shape[-2:][::-1]).astype(int).T
        places = _CELLS * rows + columns
    return Stamps(flux, scale, tuple(bands), field.survey, places, widths, star_size,
                  groups=(x > _AMPLIFIER).astype(int))


def _star_widths(field, stars, scale):
    """Return the median FWHM of the stars of a field in each band in arcsec, as in the image."""
    cubes = [field.cutout(position, size=_STAR_SIDE) for position in SkyCoord(stars["ra"], stars["dec"])[:60]]
    widths = [[fwhm_of(plane - np.median(plane), scale) for plane in cube.data if np.isfinite(plane).all()]
              for cube in cubes]
    widths = np.array([row for row in widths if len(row) == len(cubes[0].bands)])
    width = np.nanmedian(widths, axis=0)
    log.info("%d stars: FWHM %s arcsec", len(widths), np.round(width, 2))
    return width


def _nanomaggies(flux, survey, bands):
    """Return fluxes of a survey's scale in nanomaggies, whose zero point is 22.5."""
    zero_points = np.array([survey[band].zero_point for band in bands])
    return flux * 10 ** (-0.4 * (zero_points - 22.5))[:, None, None]


def sdss_field(data):
    """Read galaxies of r 17 to 20.5 of the SDSS field 003918-3-0213."""
    folder = Path(data) / "sdss-field-003918-3-0213"
    paths = {band: folder / f"frame-{band}-003918-3-0213.fits.bz2" for band in "ugriz"}
    stamps = _select_sdss(read_cube(paths, survey="SDSS"))
    headers = [fits.getheader(path) for path in paths.values()]
    # The position of the other bands on the pixels of r, across the field.
    x, y = map(np.ravel, np.meshgrid(np.linspace(50, 2000, 16), np.linspace(50, 1440, 16)))
    places = WCS(headers[2]).all_pix2world(x, y, 0)
    shift = np.array([WCS(header).all_world2pix(*places, 0) for header in headers]) - [x, y]
    # One step of the digitized values.
    quantum = [fits.getdata(path, 1).mean() / band.sky_noise for path, band in zip(paths.values(), stamps.survey)]
    steps = np.where(np.array(stamps.bands) == "r", quantum * np.array([band.sky_noise for band in stamps.survey]), 0)
    noise = [{"quantum": quantum, "shifts": np.moveaxis(shift[:, :, (x > _AMPLIFIER) == half], -1, 1) % 1}
             for half in (False, True)]
    return _spread(stamps, steps)._replace(steps=steps, noise=noise)


def _select_sdss(field, centers=None, star_size=None):
    return _stamps(field, "ugriz", "r", 20.5, 17.0, 64, centers, star_size)


def _select_sdss_stamps(field, centers, star_size=None):
    return _stamps(field, "ugriz", "r", 19.5, 17.0, 51, centers, star_size)


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


def cfhtls_field(data):
    """Read galaxies of r 17 to 24 of the CFHTLS field in g, r and i."""
    folder = Path(data) / "cfhtls-gri-humvi"
    field = read_cube({band: folder / f"CFHTLS-test_{band}.fits" for band in "gri"}, survey="CFHTLS")
    return _select_cfhtls(field)._replace(groups=None)


def _select_cfhtls(field, centers=None, star_size=None):
    return _stamps(field, "gri", "r", 24.0, 17.0, 40, centers, star_size)


def kids_field(data):
    """Read galaxies of r 18 to 21.5 of the KiDS and VIKING field, in u, g, r and i."""
    # Resampled twice, from the exposures and to the pixels of VIKING: the ratio that gives the correlation in u.
    stamps = _select_kids(read_field(data))
    curves = get_survey("KiDS")
    bands = [replace(band, wavelength=curves[band.name].wavelength, response=curves[band.name].response)
             if band.name in curves.band_names else band for band in stamps.survey]
    stamps = stamps._replace(survey=replace(stamps.survey, bands=tuple(bands)),
                             groups=None, noise={"pixel_ratio": 1.27, "photons": 0.0})
    # The files are rounded to steps of about a quarter of the noise, which the images of the survey are not.
    steps = _KIDS_STEP * np.median(mad_std(stamps.flux, axis=(2, 3), ignore_nan=True), axis=0)
    return _spread(stamps, steps)._replace(steps=steps, rounded=True)


def _spread(stamps, steps):
    """Return stamps with uniform noise as wide as the steps between their values."""
    dither = np.random.default_rng(len(stamps.flux)).uniform(-0.5, 0.5, stamps.flux.shape)
    return stamps._replace(flux=stamps.flux + np.asarray(steps)[:, None, None] * dither)


def _select_kids(field, centers=None, star_size=None):
    return _stamps(field, "ugri", "r", 21.5, 18.0, 40, centers, star_size, kernel_fwhm=2.4)


def hsc_scenes(data):
    """Read stamps around the peaks in the i band of the HSC scenes, those that scenes share once."""
    planes, places, psfs, sigmas, seen = [], [], [], [], set()
    for number, path in enumerate(sorted((Path(data) / "hsc-cosmos-blends").glob("*.npz"))):
        with np.load(path) as scene:
            images = scene["images"].astype(np.float64)
            sigmas.append([np.median(plane[plane > 0]) ** -0.5 for plane in scene["weights"]])
            psfs.append([fwhm_of(image, _HSC_SCALE) for image in scene["psfs"]])
        peaks = _peaks(_significance(images[2], sigmas[-1][2]))
        for stamp in _stamps_of_scene(images, peaks):
            middle = _HSC_SIZE // 2
            key = stamp[2, middle - 2:middle + 3, middle - 2:middle + 3].tobytes()
            if key not in seen:
                seen.add(key)
                planes.append(stamp)
                places.append(number)
    survey = get_survey("HSC")
    flux = _nanomaggies(np.stack(planes), survey, "grizy")
    depths = np.array(sigmas) / [survey[band].sky_noise for band in "grizy"]
    mean = np.log(depths).mean(axis=1)
    groups = np.searchsorted(np.quantile(mean, np.arange(1, _DEPTHS) / _DEPTHS), mean)
    return Stamps(flux, _HSC_SCALE, tuple("grizy"), survey, np.array(places), np.median(psfs, axis=0),
                  noise=[{"depth": np.median(depths[groups == group], axis=0)} for group in range(_DEPTHS)],
                  groups=groups[places])


def _significance(image, noise):
    """Return an image smoothed by a Gaussian of the width of the PSF, in standard deviations of its noise."""
    width = get_survey("HSC")["i"].psf_fwhm.to_value(u.arcsec) / _HSC_SCALE / np.sqrt(8 * np.log(2))
    return ndimage.gaussian_filter(image, width) * 2 * np.sqrt(np.pi) * width / noise


def _peaks(smooth):
    """Return the positions (x, y) of the significant local maxima."""
    return np.argwhere((smooth == ndimage.maximum_filter(smooth, 3)) & (smooth > _SIGNIFICANCE))[:, ::-1]


def _stamps_of_scene(images, peaks):
    """Return the stamps around peaks (x, y) that lie whole within the box of a scene of some sources."""
    half = _HSC_SIZE // 2
    if not _PEAKS[0] <= len(peaks) <= _PEAKS[1]:
        return []
    stamps = [images[:, max(y - half, 0):y + half + 1, max(x - half, 0):x + half + 1] for x, y in peaks]
    return [stamp for stamp in stamps if stamp.shape[1:] == (_HSC_SIZE, _HSC_SIZE)]


def _select_hsc(field, centers, star_size):
    """Return stamps of the blends of a mosaic: sources in one footprint within a tile, in the box of the footprint."""
    image = field.data[field.bands.index("i")].astype(np.float64)
    # The noise is that of the values below the sky, where no sources are.
    smooth = _significance(image, -1.4826 * np.median(image[image < 0]))
    peaks = _peaks(smooth)
    footprints, _ = ndimage.label(ndimage.binary_dilation(smooth > _SIGNIFICANCE, iterations=_GROWTH))
    border = np.isin(np.arange(max(image.shape)) % _HSC_TILE, (0, _HSC_TILE - 1))
    across = np.unique(footprints[border[:image.shape[0], None] | border[:image.shape[1]]])
    owner = footprints[peaks[:, 1], peaks[:, 0]]
    planes, places = [], []
    for number, box in enumerate(ndimage.find_objects(footprints), start=1):
        if number not in across:
            corner = box[1].start, box[0].start
            found = _stamps_of_scene(field.data[:, *box].astype(np.float64), peaks[owner == number] - corner)
            planes += found
            places += [number] * len(found)
    flux = _nanomaggies(np.stack(planes), field.survey, "grizy")
    return Stamps(flux, _HSC_SCALE, tuple("grizy"), field.survey, np.array(places))


class StampSet(NamedTuple):
    """A set of real stamps and how galaxies are simulated for it.

    Attributes
    ----------
    read : callable
        From the folder of data to `Stamps`.
    select : callable
        From a BandCube with a mosaic of simulated galaxies, and their ``centers`` in it, to `Stamps`.
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
    select: object
    band: str
    sky_radius: float
    radii: tuple
    magnitudes: tuple
    population: GalaxyPopulation


SETS = {
    "SDSS": StampSet(sdss_field, _select_sdss, "r", 9.0, (1.0, 2.0, 3.0, 4.0, 6.0), (17.0, 20.5),
                     GalaxyPopulation("real-sdss", (16.8, 20.8), (0.01, 0.75))),
    "SDSS stamps": StampSet(sdss_stamps, _select_sdss_stamps, "r", 7.5, (1.0, 2.0, 3.0, 4.0, 6.0), (17.0, 19.5),
                            GalaxyPopulation("real-sdss-stamps", (16.8, 19.8), (0.01, 0.75))),
    "CFHTLS": StampSet(cfhtls_field, _select_cfhtls, "r", 2.8, (0.5, 0.8, 1.2, 1.6, 2.2), (17.0, 24.0),
                       GalaxyPopulation("real-cfhtls", (18.0, 24.5), (0.01, 1.45))),
    "KiDS": StampSet(kids_field, _select_kids, "r", 5.0, (0.8, 1.4, 2.0, 2.8, 4.0), (18.0, 21.5),
                     GalaxyPopulation("real-kids", (17.8, 21.9), (0.01, 1.0))),
    "HSC": StampSet(hsc_scenes, _select_hsc, "i", 2.6, (0.4, 0.7, 1.0, 1.4, 2.0), (20.5, 24.0),
                    GalaxyPopulation("real-hsc", (20.5, 25.0), (0.01, 1.45))),
}


def simulate(name, real, n, seed, workers, **settings):
    """Return simulated stamps of the survey, bands and size of the real ones, selected by the same detection.

    The simulated galaxies are tiles of an image in which sources are detected, and stamps are cut out, as in the field.
    A realistic sky has the seeing and the noise of the field, where the real stamps tell them.
    """
    if settings.get("sky", "realistic") != "realistic":
        return _select(name, real, _pairs(name, real, n, seed, workers, settings))
    parts = [real] if real.groups is None else [
        real._replace(flux=real.flux[real.groups == group], noise=noise) for group, noise in enumerate(real.noise)]
    stamps, places = [], []
    for number, part in enumerate(parts):
        sky = _sky_of_field(name, part, seed + 10 * number, workers, settings)
        pairs = _pairs(name, part, round(n * len(part.flux) / len(real.flux)), seed + 10 * number, workers,
                       settings | {"sky": sky})
        stamps.append(_select(name, part, pairs))
        places += [f"{number} {place}" for place in stamps[-1].places]
    return stamps[0]._replace(flux=np.concatenate([part.flux for part in stamps]), places=np.array(places))


def _pairs(name, real, n, seed, workers, settings):
    side = real.flux.shape[-1] + _MARGIN
    if name == "HSC":
        side, n = _HSC_TILE, -(-n // _PER_TILE)
    return simulate_pairs(n, input_survey=real.survey, target_survey=real.survey, seed=seed,
                          sample=SETS[name].population, input_size=side, target_size=side, workers=workers,
                          progress=True, **settings)


def _select(name, real, pairs):
    """Return the stamps of the simulated galaxies that are detected like the real ones."""
    n, n_bands, side, _ = pairs.input_flux.shape
    columns = int(np.ceil(np.sqrt(n)))
    shape = n_bands, -(-n // columns) * side, columns * side
    image, bad = np.zeros(shape, dtype=np.float32), np.ones(shape, dtype=bool)
    corners = [(row // columns * side, row % columns * side) for row in range(n)]
    for (y, x), flux, weight in zip(corners, pairs.input_flux, pairs.input_weight):
        image[:, y:y + side, x:x + side], bad[:, y:y + side, x:x + side] = flux, weight == 0
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [10.0, 0.0], [1.0, 1.0]
    wcs.wcs.cdelt = [-real.scale / 3600, real.scale / 3600]
    field = BandCube(image, unit=real.survey.unit, bands=real.survey.band_names, survey=real.survey, wcs=wcs, mask=bad)
    middle = np.array(corners, dtype=float)[:, ::-1] + (side - 1) / 2
    stamps = SETS[name].select(field, centers=middle, star_size=real.star_size)
    if real.steps is None:
        return stamps
    if real.rounded:
        size = np.where(real.steps, real.steps, 1)[:, None, None]
        stamps = stamps._replace(flux=np.rint(stamps.flux / size) * size)
    return _spread(stamps, real.steps)


def _log_rms(stamps):
    """Return ln of the noise of each stamp and band, far from the galaxy, shape ``(galaxy, band)``."""
    side = stamps.flux.shape[-1]
    y, x = np.indices((side, side)) - (side - 1) / 2
    return np.log(mad_std(stamps.flux[:, :, np.hypot(x, y) > 0.4 * side], axis=2, ignore_nan=True))


def _sky_of_field(name, real, seed, workers, settings):
    """Return a `Sky` with the seeing and the noise of the real stamps, and the scatter of both within the field."""
    conditions = get_conditions(real.survey).select(real.survey.band_names)
    rows = [conditions.bands.index(band) for band in real.bands]

    def replaced(part, **values):
        for key, value in values.items():
            if key in ("pixel_ratio", "shifts"):
                continue
            old = getattr(part, key)
            full = np.array(np.broadcast_to(0.0 if old is None else old, len(conditions.bands)), dtype=float)
            full[rows] = value
            values[key] = tuple(full)
        return replace(part, **values)

    if real.widths is not None:
        psf = replaced(conditions.psf, fwhm=real.widths, scatter=_WITHIN_FIELD, band_scatter=_WITHIN_FIELD)
        conditions = replace(conditions, psf=psf)
    still = replaced(conditions.noise, scatter=0.0, band_scatter=0.0, **(real.noise or {}))
    trial = replace(conditions, noise=still)
    has_depth = "depth" in (real.noise or {})
    settings = settings | {"sky": Sky(conditions={real.survey.name: trial}), "psf": True}
    pairs = _pairs(name, real, _N_WIDTHS if has_depth else _N_TRIAL, seed + 1, workers, settings)
    if real.widths is not None:
        # The width of a star as measured depends on its profile and on the pixels.
        drawn = np.median([[fwhm_of(image, real.scale) for image in images]
                           for images in pairs.input_psf[:_N_WIDTHS]], axis=0)
        fwhm = np.broadcast_to(conditions.psf.fwhm, len(conditions.bands))[rows] * real.widths / drawn[rows]
        trial = replace(trial, psf=replaced(conditions.psf, fwhm=fwhm))
    if has_depth:
        # Sources to the limit of these images, which are deeper than the survey.
        faintest = Scene().faintest * float(np.median(real.noise["depth"]))
        return Sky(conditions={real.survey.name: trial}, scene=Scene(faintest=faintest))
    simulated = _log_rms(_select(name, real, pairs))
    measured = _log_rms(real)
    ratio = np.exp(np.median(measured, axis=0) - np.median(simulated, axis=0))
    spread = np.sqrt(np.clip(mad_std(measured, axis=0)**2 - mad_std(simulated, axis=0)**2, 0, None))
    # The scatter that the bands share is that of their mean.
    common = np.sqrt(np.clip(mad_std(measured.mean(axis=1))**2 - mad_std(simulated.mean(axis=1))**2, 0, None))
    own = np.sqrt(np.clip(spread**2 - common**2, 0, None))
    log.info("noise over that of the conditions %s, scatter %s, common %.3f", np.round(ratio, 2), np.round(spread, 3),
             common)
    depth = np.broadcast_to(still.depth, len(conditions.bands))[rows] * ratio
    return Sky(conditions={real.survey.name: replace(trial, noise=replaced(
        still, depth=depth, scatter=common, band_scatter=own))})
