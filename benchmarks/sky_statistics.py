"""Measure noise, point spread function and registration of real images.

    python benchmarks/sky_statistics.py --data $GALTRANS_REAL_DATA --out benchmarks/results/sky_statistics

The numbers of ``astro_galtrans/simulation/conditions.yaml`` marked as measured are from here:

- ``noise.ecsv``, for each set of stamps of realism_stamps.py and each band: ln of the rms of blank sky over the
  ``sky_noise`` of the survey; the correlation of pixels at some lags; the median over the rms, and the gradient in rms
  per arcmin; medians and robust scatters over the stamps. Pixels of sources are left out.
- ``psf.ecsv``, for each set of PSF images or of stars and each band: FWHM in arcsec without the pixel, scatter of its
  ln, exponent of the Moffat profile, fraction of the flux in the wings, ellipticity, largest residual over the peak,
  and difference of the flux within 1 and 2 FWHM between fit and image.
- ``offsets.ecsv``: centroids of compact galaxies in each band relative to a reference band, in arcsec; ``error`` is the
  median error by noise.
- ``weights.ecsv``: scatter of the difference of two SDSS runs of the same place over the stated one.
"""

import argparse
import logging
import os
import warnings
from itertools import combinations
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import astropy.units as u  # noqa: E402
import numpy as np  # noqa: E402
from astropy.coordinates import SkyCoord  # noqa: E402
from astropy.io import fits  # noqa: E402
from astropy.stats import mad_std  # noqa: E402
from astropy.table import Table  # noqa: E402
from realism_stamps import SETS  # noqa: E402
from scipy import ndimage, optimize  # noqa: E402
from semi_real import read_field  # noqa: E402

from astro_galtrans.images import SDSSPSF, detect_galaxies, read_cube, read_stamps  # noqa: E402

log = logging.getLogger("sky_statistics")
LAGS = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (0, 3), (3, 0))
WING_SCALE = 1.0  # FWHM of the core
_SUBPIXELS = 3


def correlation(plane, lag):
    """Return the correlation of pixels at a lag (y, x), of values of mean 0 with NaN where there are sources."""
    y, x = lag
    products = plane[y:, x:] * plane[:plane.shape[0] - y, :plane.shape[1] - x]
    return np.nanmean(products) / np.nanvar(plane)


def blank_sky(flux, sky):
    """Return the images with NaN at sources and within a radius, for one galaxy."""
    level = np.nanmedian(flux[:, sky], axis=1)[:, None, None]
    rms = mad_std(flux[:, sky], axis=1, ignore_nan=True)[:, None, None]
    scaled = np.nan_to_num((flux - level) / rms)
    smooth = ndimage.gaussian_filter(scaled, (0, 1.5, 1.5)) * 2 * np.sqrt(np.pi) * 1.5
    sources = ndimage.binary_dilation((smooth > 3).any(axis=0) | (scaled > 4).any(axis=0), iterations=3)
    return np.where(sky & ~sources, flux, np.nan)


def noise_rows(name, stamps, settings):
    """Return a row of statistics of blank sky for each band."""
    side = stamps.flux.shape[-1]
    y, x = (np.indices((side, side)) - (side - 1) / 2) * stamps.scale / 60
    sky = np.hypot(x, y) > settings.sky_radius / 60
    bands = [stamps.survey[band] for band in stamps.bands]
    expected = [band.sky_noise * 10 ** (-0.4 * (band.zero_point - 22.5)) for band in bands]
    measured = [[] for _ in bands]
    for flux in stamps.flux:
        for plane, noise, found in zip(blank_sky(flux, sky), expected, measured):
            good = np.isfinite(plane)
            if good.sum() < 150:
                continue
            middle, rms = np.median(plane[good]), mad_std(plane[good])
            plane = np.where(np.abs(plane - middle) < 4 * rms, plane - middle, np.nan)
            good = np.isfinite(plane)
            terms = np.stack([np.ones_like(x), x, y], axis=-1)[good]
            _, gx, gy = np.linalg.lstsq(terms, plane[good] / rms)[0]
            found.append([np.log(rms / noise), middle / rms, gx, gy, *(correlation(plane, lag) for lag in LAGS)])
    columns = ["ln_rms", "offset", "gradient_x", "gradient_y", *(f"lag_{y}_{x}" for y, x in LAGS)]
    rows = []
    for band, found in zip(stamps.bands, measured):
        values = np.array(found)
        row = {"set": name, "band": band, "n": len(values)}
        for column, numbers in zip(columns, values.T):
            row[column], row[f"{column}_scatter"] = np.median(numbers), mad_std(numbers)
        rows.append(row)
    return rows


def profile(parameters, side):
    """Return the image of an elliptical Moffat profile with wings, integrated over pixels.

    ``parameters``: FWHM of the core in pixels, beta, fraction in the wings, e1, e2, x, y, flux, background.
    """
    fwhm, beta, wings, e1, e2, x0, y0, flux, background = parameters
    a = fwhm / 2 / np.sqrt(2 ** (1 / beta) - 1)
    s = WING_SCALE * fwhm
    steps = (np.arange(_SUBPIXELS) - (_SUBPIXELS - 1) / 2) / _SUBPIXELS
    fine = (np.arange(side) - (side - 1) / 2)[:, None] + steps
    x, y = fine.ravel()[None] - x0, fine.ravel()[:, None] - y0
    r2 = ((1 - e1) * x**2 - 2 * e2 * x * y + (1 + e1) * y**2) / np.sqrt(1 - e1**2 - e2**2)
    image = ((1 - wings) * (beta - 1) / (np.pi * a**2) * (1 + r2 / a**2) ** -beta
             + wings / (2 * np.pi * s**2) * (1 + r2 / s**2) ** -1.5)
    return flux * image.reshape(side, _SUBPIXELS, side, _SUBPIXELS).mean(axis=(1, 3)) + background


def total_fwhm(fwhm, beta, wings):
    """Return the FWHM of the profile with its wings."""
    radius = np.linspace(0, fwhm, 1001)
    a = fwhm / 2 / np.sqrt(2 ** (1 / beta) - 1)
    s = WING_SCALE * fwhm
    values = ((1 - wings) * (beta - 1) / (np.pi * a**2) * (1 + radius**2 / a**2) ** -beta
              + wings / (2 * np.pi * s**2) * (1 + radius**2 / s**2) ** -1.5)
    return 2 * np.interp(-values[0] / 2, -values, radius)


def fit_profile(image, with_background):
    """Return the parameters of `profile` that fit an image best, and the model."""
    side = len(image)
    ends = 1e-9 if not with_background else np.inf
    width = 2 * np.sqrt((image > image.max() / 2).sum() / np.pi)
    start = [max(width, 1.2), 3.0, 0.02, 0, 0, 0, 0, image.sum(), 0]
    low = [0.8, 1.3, 0, -0.5, -0.5, -2, -2, 0, -ends]
    high = [20, 10, 0.5, 0.5, 0.5, 2, 2, np.inf, ends]
    peak = image.max()
    found = optimize.least_squares(lambda p: ((profile(p, side) - image) / peak).ravel(), start, bounds=(low, high),
                                   x_scale=[1, 1, 0.1, 0.1, 0.1, 0.1, 0.1, image.sum(), peak])
    return found.x, profile(found.x, side)


def psf_rows(name, bands, images, scale, with_background=False):
    """Return a row for each band; ``images`` has for each place a list with an image per band, or None."""
    rows, widths = [], np.full((len(images), len(bands)), np.nan)
    for column, band in enumerate(bands):
        found = []
        for place, planes in enumerate(images):
            if planes[column] is None:
                continue
            image = np.asarray(planes[column], dtype=float)
            parameters, model = fit_profile(image, with_background)
            fwhm, beta, wings, e1, e2 = parameters[:5]
            y, x = np.indices(image.shape) - (len(image) - 1) / 2
            radius = np.hypot(x - parameters[5], y - parameters[6])
            within = [(model - image)[radius < many * fwhm].sum() / image.sum() for many in (1, 2)]
            fwhm = total_fwhm(fwhm, beta, wings)
            found.append((fwhm * scale, beta, wings, np.hypot(e1, e2), np.abs(model - image).max() / image.max(),
                          *within))
            widths[place, column] = np.log(fwhm * scale)
        values = np.array(found)
        medians = np.median(values, axis=0)
        rows.append({"set": name, "band": band, "n": len(values), "fwhm": medians[0],
                     "ln_fwhm_scatter": np.log(values[:, 0]).std(), "beta": medians[1],
                     "beta_scatter": np.log(values[:, 1]).std(), "wings": medians[2], "ellipticity": medians[3],
                     "residual": medians[4], "within_1_fwhm": medians[5], "within_2_fwhm": medians[6]})
        log.info("%s %s: %s", name, band, np.round(medians, 3))
    spread = widths - np.nanmedian(widths, axis=0)
    common = np.nanmean(spread, axis=1)
    log.info("%s: scatter of ln FWHM, common %.3f, of bands %s", name, np.nanstd(common),
             np.round(np.nanstd(spread - common[:, None], axis=0), 3))
    return rows


def star_images(field, bands, brightest, faintest, side=25, **options):
    """Return images of the isolated stars of a field, a list with one per band for each star."""
    table = detect_galaxies(field, "r", max_magnitude=faintest, **options)
    table = table[~table["extended"] & ~table["saturated"] & ~table["edge"] & ~table["neighbor"]
                  & (table["magnitude"] > brightest)]
    images = []
    for position in SkyCoord(table["ra"], table["dec"]):
        cube = field.cutout(position, size=side)
        data, planes = np.asarray(cube.data, dtype=float), []
        for band in bands:
            plane = data[cube.bands.index(band)]
            noise = mad_std(np.concatenate([plane[:2].ravel(), plane[-2:].ravel()]), ignore_nan=True)
            good = np.isfinite(plane).all() and plane.max() > 60 * noise
            planes.append(plane / plane.sum() if good else None)
        images.append(planes)
    return images


def all_psfs(data):
    """Return the rows of all PSF images and stars."""
    rows = []
    model = SDSSPSF.read(data / "sdss-field-002583-2-0136-psf" / "psField-002583-2-0136.fits")
    places = [[model.image(band, x, y) for band in model.bands]
              for x in (100, 700, 1300, 1950) for y in (100, 750, 1400)]
    rows += psf_rows("SDSS psField", model.bands, places, 0.396)
    stamps = []
    folder = data / "sdss-stamps-ugriz-desimcmc"
    for path in sorted(folder.glob("stamp-r-*.fits")):
        place = path.name.removeprefix("stamp-r-")
        cubes = read_stamps({band: folder / f"stamp-{band}-{place}" for band in "ugriz"}, bands="ugriz", psf_size=41)
        stamps += [list(cube.psf) for cube in cubes]
    rows += psf_rows("SDSS stamps", "ugriz", stamps, 0.396)
    scenes = [list(np.load(path)["psfs"]) for path in sorted((data / "hsc-cosmos-blends").glob("*.npz"))[:20]]
    rows += psf_rows("HSC scenes", "grizy", scenes, 0.168)
    galaxy = []
    for band in "grizy":
        image = fits.getdata(data / "hsc-galaxy-pyplz" / f"42305780052942573_{band}_psf.fits")
        y, x = np.array(image.shape) // 2
        galaxy.append(image[y - 20:y + 21, x - 20:x + 21])
    rows += psf_rows("HSC galaxy", "grizy", [galaxy], 0.168)
    for name, field, bands, brightest, faintest, options in fields(data):
        scale = field.survey.pixel_scale.to_value(u.arcsec)
        images = star_images(field, bands, brightest, faintest, **options)
        if images:
            rows += psf_rows(name, bands, images, scale, with_background=True)
    return rows


def fields(data):
    """Yield name, field, bands, magnitudes of stars and options of the detection."""
    folder = data / "sdss-field-003918-3-0213"
    yield ("SDSS field", read_cube({band: folder / f"frame-{band}-003918-3-0213.fits.bz2" for band in "ugriz"},
                                   survey="SDSS"), "ugriz", 15.5, 19.5, {})
    folder = data / "cfhtls-gri-humvi"
    yield ("CFHTLS field", read_cube({band: folder / f"CFHTLS-test_{band}.fits" for band in "gri"}, survey="CFHTLS"),
           "gri", 17.0, 23.0, {})
    folder = data / "cfhtls-ugriz-gleam"
    yield ("CFHTLS lens", read_cube({band: folder / f"W3+3-2.{band.upper()}.12907_13034_7446_7573.fits"
                                     for band in "ugriz"}, survey="CFHTLS"), "ugriz", 17.0, 23.0, {})
    yield "KiDS field", read_field(data), "ugri", 16.5, 20.0, {"kernel_fwhm": 2.4}


def centroid(plane, x, y, width):
    """Return the position at which a Gaussian weight is centered on a galaxy, and its flux-weighted norm."""
    x0 = y0 = 0.0
    for _ in range(30):
        weight = plane * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 2 / width**2)
        total = weight.sum()
        step = 2 * (weight * (x - x0)).sum() / total, 2 * (weight * (y - y0)).sum() / total
        if not np.hypot(*step) < 1:
            return np.nan, np.nan, np.nan
        x0, y0 = x0 + step[0], y0 + step[1]
    squared = np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / width**2)
    return x0, y0, 2 * np.sqrt((squared * (x - x0) ** 2).sum()) / total


def offset_rows(name, stamps, settings):
    """Return a row for each band but the reference, which is that of the set."""
    side = stamps.flux.shape[-1]
    y, x = (np.indices((side, side)) - (side - 1) / 2) * stamps.scale
    sky = np.hypot(x, y) > settings.sky_radius
    found = []
    for flux in np.nan_to_num(stamps.flux):
        noise, level = mad_std(flux[:, sky], axis=1), np.median(flux[:, sky], axis=1)
        found.append([centroid(plane - middle, x, y, 1.2 * max(1.5 * stamps.scale, 0.5)) * np.array([1, 1, sigma])
                      for plane, middle, sigma in zip(flux, level, noise)])
    values, reference = np.array(found), stamps.bands.index(settings.band)
    rows = []
    for column, band in enumerate(stamps.bands):
        error = np.hypot(values[:, column, 2], values[:, reference, 2])
        kept = error < np.nanpercentile(error, 30)
        difference = (values[:, column] - values[:, reference])[kept, :2]
        if column != reference and kept.sum() > 4:
            rows.append({"set": name, "band": band, "n": int(kept.sum()), "error": np.nanmedian(error[kept]),
                         "x": np.nanmedian(difference[:, 0]), "y": np.nanmedian(difference[:, 1]),
                         "x_scatter": mad_std(difference[:, 0], ignore_nan=True),
                         "y_scatter": mad_std(difference[:, 1], ignore_nan=True)})
    return rows


def weight_rows(data):
    """Return for each band the scatter of differences of two runs over the one stated by their weights."""
    folder, ratios = data / "sdss-stamps-ugriz-desimcmc", {band: [] for band in "ugriz"}
    for path in sorted(folder.glob("stamp-r-*.fits")):
        place = path.name.removeprefix("stamp-r-")
        cubes = read_stamps({band: folder / f"stamp-{band}-{place}" for band in "ugriz"}, bands="ugriz")
        for one, other in combinations(cubes, 2):
            if one.meta["run"] == other.meta["run"] or one.data.shape != other.data.shape:
                continue
            with np.errstate(divide="ignore", invalid="ignore"):
                sigma = np.sqrt(1 / one.uncertainty.array + 1 / other.uncertainty.array)
                scaled = (one.data - other.data) / sigma
            for band, plane in zip("ugriz", scaled):
                good = np.isfinite(plane) & (plane != 0)
                if good.sum() > 500:
                    ratios[band].append(mad_std(plane[good]))
    return [{"set": "SDSS stamps", "band": band, "n": len(values), "ratio": np.median(values),
             "ratio_scatter": mad_std(values)} for band, values in ratios.items() if values]


def write(rows, path):
    table = Table(rows)
    for name in table.colnames:
        if table[name].dtype.kind == "f":
            table[name].info.format = ".4g"
            table[name] = np.array([float(f"{value:.4g}") for value in table[name]])
    table.write(path, overwrite=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    warnings.simplefilter("ignore")
    options.out.mkdir(parents=True, exist_ok=True)
    stamps = {name: settings.read(options.data) for name, settings in SETS.items()}
    for table, measure in (("noise", noise_rows), ("offsets", offset_rows)):
        write([row for name in SETS for row in measure(name, stamps[name], SETS[name])], options.out / f"{table}.ecsv")
    write(weight_rows(options.data), options.out / "weights.ecsv")
    write(all_psfs(options.data), options.out / "psf.ecsv")


if __name__ == "__main__":
    main()
