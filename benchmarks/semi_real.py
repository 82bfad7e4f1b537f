"""Train and evaluate translators on real galaxies: a deep field and the same field degraded to SDSS.

    python benchmarks/semi_real.py --data $GALTRANS_REAL_DATA --out semi_real

The folder kids-viking-9band-profound contains one field in u, g, r, i of KiDS and Z of VIKING on one grid.
Translators with the objectives "pixel" and "gradient" are trained on the galaxies of one part of the field and
evaluated on those of another part. There are no redshifts. The folder ``--out`` gets pairs.zarr, a checkpoint after
each epoch, the translators, semi_real.ecsv and semi_real.txt; the same command resumes.

Assumptions where the files have no information:

- The pixel is 0.339 arcsec, that of VIKING. Stars in r have a FWHM of 2.4 pixels, 0.81 arcsec; on the 0.2 arcsec pixels
  of KiDS it would be 0.48, sharper than OmegaCAM images. There are 44 extended sources to r = 20, or 1500 per square
  degree with 0.339 arcsec pixels and 4200 with 0.2 arcsec pixels.
- The PSF of each band is the median of the isolated stars of the field.
- Pixels more than 8 standard deviations below the sky, near saturated stars, are bad.
- The sky noise is measured in the field. The image is compressed: one pixel in ten is exactly 0.
- The filters are boxes with about the central wavelengths and widths of the real ones. Gains are orders of magnitude
  from exposure times and only affect weights.
"""

import argparse
import logging
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import astropy.units as u  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from astropy.io import fits  # noqa: E402
from astropy.table import Table  # noqa: E402
from astropy.wcs import WCS  # noqa: E402
from scipy import ndimage  # noqa: E402

from astro_galtrans.gradients import aperture_weights, radial_fluxes  # noqa: E402
from astro_galtrans.images import BandCube, detect_galaxies  # noqa: E402
from astro_galtrans.pairs import PairSet  # noqa: E402
from astro_galtrans.simulation import semi_real_pairs, split_by_position  # noqa: E402
from astro_galtrans.storage import load, save  # noqa: E402
from astro_galtrans.surveys import Band, Survey, get_survey  # noqa: E402
from astro_galtrans.training import TrainConfig, fit  # noqa: E402

log = logging.getLogger("semi_real")
FOLDER = "kids-viking-9band-profound"
SCALE = 0.339 * u.arcsec
# Central wavelength and width in Angstrom, electrons per nanomaggy, nanomaggies per unit of the files.
FILTERS = {"u": (3550, 560, 1e3, 1e9), "g": (4775, 1390, 8e3, 1e9), "r": (6230, 1370, 1.2e4, 1e9),
           "i": (7630, 1530, 4e3, 1e9), "Z": (8770, 970, 1e3, 1e-3)}
PARTS = (0.5, 0.15, 0.35)
OBJECTIVES = ("pixel", "gradient")
RADIUS = 1.5  # arcsec
# Brighter objects are saturated stars.
BRIGHTEST = 16.5
_STAR_SIDE = 31
# Standard deviations below the sky.
_HOLE = 8


def star_stack(cube, stars):
    """Return the median image of stars in each band, shape (band, side, side), and their number."""
    half, stack = _STAR_SIDE // 2, []
    y, x = np.indices((_STAR_SIDE, _STAR_SIDE)) - half
    for row in stars:
        column, line = int(round(row["x"])), int(round(row["y"]))
        piece = cube.data[:, line - half - 2:line + half + 3, column - half - 2:column + half + 3]
        if piece.shape[1:] != (_STAR_SIDE + 4,) * 2:
            continue
        planes = np.stack([ndimage.shift(plane.astype(float), (line - row["y"], column - row["x"]), order=3)
                           for plane in piece])[:, 2:-2, 2:-2]
        ring = np.hypot(x, y) > 11
        planes -= np.median(planes[:, ring], axis=1)[:, None, None]
        stack.append(planes / planes[:, np.hypot(x, y) < 6].sum(axis=1)[:, None, None])
    # Beyond 10 pixels noise dominates.
    fade = np.clip((13 - np.hypot(x, y)) / 4, 0, 1)
    psf = np.clip(np.median(stack, axis=0), 0, None) * fade
    return psf / psf.sum(axis=(1, 2), keepdims=True), len(stack)


def fwhm_of(image, scale, oversampling=8):
    """Return the diameter of the circle with the area above half of the peak, in the unit of ``scale``."""
    fine = ndimage.zoom(np.asarray(image, dtype=float), oversampling, order=3)
    # zoom aligns the centers of the corner pixels of both images.
    step = (image.shape[0] - 1) / (fine.shape[0] - 1)
    return 2 * np.sqrt(np.count_nonzero(fine > fine.max() / 2) / np.pi) * step * scale


def survey_of(widths, noise):
    bands = []
    for (name, (center, width, gain, _)), fwhm, sky in zip(FILTERS.items(), widths, noise):
        wavelength = np.linspace(center - width / 2, center + width / 2, 9) * u.AA
        bands.append(Band(name, wavelength, np.ones(9), 22.5, fwhm * u.arcsec, sky, gain))
    return Survey("KiDS-VIKING", bands, SCALE, u.nmgy, "KiDS u, g, r, i and VIKING Z on the VIKING grid")


def read_field(data):
    """Return the field as a BandCube with its survey and PSF."""
    planes = [fits.getdata(Path(data) / FOLDER / f"{name}.fits").astype(np.float32) * np.float32(each[-1])
              for name, each in FILTERS.items()]
    noise = [1.4826 * np.median(np.abs(plane - np.median(plane))) for plane in planes]
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [0.0, 0.0]
    wcs.wcs.crpix = [(side + 1) / 2 for side in planes[0].shape[::-1]]
    wcs.wcs.cdelt = [-SCALE.to_value(u.deg), SCALE.to_value(u.deg)]
    cube = BandCube(np.stack(planes), unit="nmgy", bands=tuple(FILTERS), wcs=wcs)
    sources = detect_galaxies(cube, "r", kernel_fwhm=2.4)
    stars = sources[~sources["extended"] & ~sources["edge"] & ~sources["neighbor"]
                    & (sources["magnitude"] > 16.5) & (sources["magnitude"] < 20)]
    psf, n = star_stack(cube, stars)
    widths = [fwhm_of(image, SCALE.value) for image in psf]
    log.info("%d stars: FWHM %s arcsec", n, ", ".join(f"{name} {w:.2f}" for name, w in zip(FILTERS, widths)))
    survey = survey_of(widths, noise)
    # The bleeding of saturated stars reaches hundreds of standard deviations below the sky.
    deep = cube.data < -_HOLE * np.array(noise)[:, None, None]
    bad = np.stack([ndimage.binary_dilation(plane, iterations=2) for plane in deep])
    return BandCube(cube.data, unit="nmgy", bands=tuple(FILTERS), survey=survey, wcs=wcs, psf=psf, mask=bad)


def made_pairs(cube, survey, path, options, **settings):
    """Return the pairs, created once."""
    if not path.exists():
        # Where SDSS is not broader than the field, use the width of the field.
        own = np.array([band.psf_fwhm.value for band in cube.survey])
        wanted = np.maximum([band.psf_fwhm.value for band in survey], 1.02 * own) * u.arcsec
        settings = {"seed": options.seed, "max_magnitude": options.max_magnitude, "min_magnitude": BRIGHTEST,
                    "neighbors": options.neighbors, "realizations": options.realizations, **settings}
        semi_real_pairs(cube, survey, matching="gaussian", target_psf=wanted, path=path, **settings)
    return PairSet.open(path)


def parts_of(pairs):
    """Return training, validation and test pairs of three parts of the field; one realization per test galaxy."""
    training, validation, test = split_by_position(pairs, PARTS)
    return training, validation, test.select(np.flatnonzero(test.catalog["realization"] == 0))


def trained(objective, training, validation, out, options):
    path = out / f"{objective}.asdf"
    if not path.exists():
        config = TrainConfig(objective=objective, epochs=options.epochs, batch_size=16, seed=options.seed,
                             learning_rate=options.learning_rate,
                             backbone_options={"widths": [16, 32, 64]})
        result = fit(training, config, validation=validation, directory=out / objective, resume=True, device="cpu",
                     name=f"semi-real-{objective}")
        log.info("%s: %d epochs of %d pairs in %.0f s, best epoch %d", objective, options.epochs, len(training),
                 result.seconds, result.best_epoch + 1)
        save(path, result.translator, overwrite=True)
    return load(path)


def photometry(flux, survey):
    """Return the aperture flux and the largest mean of 3 x 3 pixels near the center, shape (galaxy, band)."""
    weights = aperture_weights(flux.shape[-2:], RADIUS, survey.pixel_scale)[np.newaxis]
    central = aperture_weights(flux.shape[-2:], 2.0, survey.pixel_scale) > 0.5
    smooth = ndimage.uniform_filter(flux, size=(1, 1, 3, 3))
    return radial_fluxes(flux, weights)[..., 0], np.where(central, smooth, -np.inf).max(axis=(2, 3))


def spread(values):
    values = values[np.isfinite(values)]
    if not len(values):
        return 0, np.nan, np.nan, np.nan
    scatter = 1.4826 * np.median(np.abs(values - np.median(values)))
    return len(values), np.median(values), 1.2533 * scatter / np.sqrt(len(values)), scatter


def magnitudes(flux):
    return -2.5 * np.log10(np.where(flux > 0, flux, np.nan))


def evaluated(translators, test):
    """Return a row for each translator, quantity and band: number of galaxies, median, its error, and scatter."""
    given = test.read()
    target, weight = given["target_flux"], given["target_weight"]
    survey, names = test.target_survey, test.target_survey.band_names
    aperture, peak = photometry(target, survey)
    share = aperture_weights(target.shape[-2:], RADIUS, survey.pixel_scale)[np.newaxis]
    noise = np.sqrt(radial_fluxes(np.where(weight > 0, 1 / np.maximum(weight, 1e-12), 0), share**2)[..., 0])
    seen, rows = aperture > 10 * noise, []
    for label, translator in translators.items():
        flux = translator.translate_array(given["input_flux"], weight=given["input_weight"],
                                          **translator.known_fwhms(test))
        own, own_peak = photometry(flux, survey)
        difference, tops = magnitudes(own) - magnitudes(aperture), magnitudes(own_peak) - magnitudes(peak)
        for k, band in enumerate(names):
            good = seen[:, k]
            rows.append((label, "aperture", band, *spread(difference[good, k])))
            rows.append((label, "peak", band, *spread(tops[good, k])))
            error = ((flux[:, k] - target[:, k])**2 * (weight[:, k] > 0)).sum(axis=(1, 2))
            rows.append((label, "relative rms", band, *spread(np.sqrt(
                error / (target[:, k]**2 * (weight[:, k] > 0)).sum(axis=(1, 2)))[good])))
            chi2 = ((flux[:, k] - target[:, k])**2 * weight[:, k]).mean(axis=(1, 2))
            rows.append((label, "chi2 per pixel", band, *spread(chi2)))
        for k, (one, other) in enumerate(zip(names, names[1:])):
            good = seen[:, k] & seen[:, k + 1]
            rows.append((label, "color", f"{one} - {other}", *spread((difference[:, k] - difference[:, k + 1])[good])))
    table = Table(rows=rows, names=("objective", "quantity", "band", "n", "median", "median_error", "scatter"))
    for name in ("median", "median_error", "scatter"):
        table[name].format = "+.4f" if name == "median" else ".4f"
    return table


def parser_of(description, out, epochs, realizations=2, learning_rate=4e-4):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", default=os.environ.get("GALTRANS_REAL_DATA"), help="folder of the real data")
    parser.add_argument("--out", type=Path, default=Path(out), help="output folder")
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--realizations", type=int, default=realizations, help="noise realizations per galaxy")
    parser.add_argument("--learning-rate", type=float, default=learning_rate)
    parser.add_argument("--max-magnitude", type=float, default=22.0, help="magnitude limit in r")
    parser.add_argument("--neighbors", choices=("keep", "drop", "mask"), default="mask",
                        help="treatment of other sources in a stamp")
    parser.add_argument("--seed", type=int, default=1)
    return parser


def parsed(parser):
    options = parser.parse_args()
    if not options.data:
        parser.error("--data or GALTRANS_REAL_DATA must name the folder of the real data")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for name in ("semi_real", "real_truth"):
        logging.getLogger(name).setLevel(logging.INFO)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    return options


def main():
    options = parsed(parser_of(__doc__.splitlines()[0], "semi_real", 80))
    path = options.out / "pairs.zarr"
    cube = None if path.exists() else read_field(options.data)
    pairs = made_pairs(cube, get_survey("SDSS"), path, options)
    training, validation, test = parts_of(pairs)
    log.info("%d training, %d validation pairs, %d test galaxies", len(training), len(validation), len(test))
    translators = {name: trained(name, training, validation, options.out, options) for name in OBJECTIVES}
    table = evaluated(translators, test)
    table.meta.update(n_training=len(training), n_test=len(test), epochs=options.epochs, parts=list(PARTS),
                      aperture_arcsec=RADIUS, pairs=pairs.catalog.meta["semi_real"])
    table.write(options.out / "semi_real.ecsv", overwrite=True)
    text = "\n".join(table.pformat(max_lines=-1, max_width=-1))
    (options.out / "semi_real.txt").write_text(text + "\n")
    log.info(text)


if __name__ == "__main__":
    main()
