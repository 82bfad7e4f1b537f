"""Translated SDSS images against real KiDS images of the same five galaxies, in r.

    python benchmarks/real_truth.py --data $GALTRANS_REAL_DATA --out real_truth

Translators are trained as in semi_real.py, in r only, from images degraded to the pixels (0.339 arcsec), the PSF and
the noise of the SDSS images of pair-sdss-kids-profit, to the original field kids-viking-9band-profound. The five
galaxies have r from 15.0 to 16.9, nearly all galaxies of the field 19 to 22. Galaxies of the field to r 21 are
therefore also used 4 and 12 times brighter (``--factors``): flux and noise of the deep image are multiplied, and the
input gets the noise that SDSS would have, which exceeds that of the deep image. Cutouts of 49 x 49 pixels are
translated, as large as in training.

The KiDS images of the five galaxies, with 0.2 arcsec pixels and a sharper PSF, are first converted to the pixels and
PSF of the field. The table has one row per galaxy and translator, measured within 8 arcsec without the segments of
other sources:

- "flux_ratio", translated over KiDS, and "input_ratio", SDSS over KiDS;
- "chi2", per pixel, with the noise of SDSS and KiDS;
- "correlation" of the pixels after a fitted shift ("shift_x", "shift_y", arcsec);
- "fwhm_input", "fwhm", "fwhm_kids", of the galaxy in SDSS, translated and KiDS, arcsec;
- "back_chi2", per pixel, of the translated image, degraded by one Gaussian, a shift and a factor, all fitted, against
  the SDSS image; "kids_back_chi2", of the KiDS image likewise; "back_excess", the difference, with a limit of 0.2.

A figure is written next to the table.
"""

import logging
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path  # noqa: E402

import astropy.units as u  # noqa: E402
import numpy as np  # noqa: E402
from astropy.io import fits  # noqa: E402
from astropy.nddata import StdDevUncertainty  # noqa: E402
from astropy.table import Table  # noqa: E402
from scipy import ndimage, optimize  # noqa: E402
from semi_real import (  # noqa: E402
    BRIGHTEST, OBJECTIVES, SCALE, fwhm_of, made_pairs, parsed, parser_of, parts_of, read_field, trained,
)

from astro_galtrans.images import BandCube  # noqa: E402
from astro_galtrans.pairs import PairSet  # noqa: E402
from astro_galtrans.simulation import degrade  # noqa: E402
from astro_galtrans.surveys import Band, Survey, get_survey  # noqa: E402

log = logging.getLogger("real_truth")
FOLDER = "pair-sdss-kids-profit"
RADIUS = 8.0  # arcsec
KIDS_SCALE = 0.2 * u.arcsec
# Pixels; predictions depend on the amount of sky around a galaxy.
SIDE = 49
# Magnitude limit of the galaxies that are made brighter.
FAINTEST = 21.0
LIMIT = 0.2


def read_side(data, side, name):
    """Return image and noise (nmgy), the mask of other sources, and the PSF."""
    folder = Path(data) / FOLDER / side
    image, sigma, segments, mask, psf = (
        fits.getdata(folder / f"{name}{part}.fits").astype(float)
        for part in ("fitim", "sigma", "segim", "mskim", "psfim"))
    middle = tuple(side // 2 for side in image.shape)
    y, x = np.indices(image.shape)
    near = np.hypot(y - middle[0], x - middle[1]) < 8
    own = segments[np.unravel_index(np.argmax(np.where(near, image, -np.inf)), image.shape)]
    other = ((segments != own) & (segments != 0)) | (mask != 0)
    return image * 1e9, sigma * 1e9, other, psf


def sdss_survey(data, names):
    """Return SDSS in r with the pixels, noise and PSF of these images."""
    images = [read_side(data, "SDSS", name) for name in names]
    band = get_survey("SDSS")["r"]
    width = np.mean([fwhm_of(psf, SCALE.value) for *_, psf in images])
    noise = np.median([np.median(sigma) for _, sigma, *_ in images])
    log.info("SDSS: FWHM %.2f arcsec, noise %.4f nmgy", width, noise)
    return Survey("SDSS", [Band("r", band.wavelength, band.response, 22.5, width * u.arcsec, noise, band.gain)], SCALE,
                  u.nmgy, "SDSS in r on pixels of 0.339 arcsec")


def kids_on_the_field(data, name, survey, width, shape):
    """Return the KiDS image, its noise and the mask of other sources, with the pixels and PSF of the field."""
    image, sigma, other, psf = read_side(data, "KiDS", name)
    cube = BandCube(image[None], unit="nmgy", bands="r", psf=psf[None], uncertainty=StdDevUncertainty(sigma[None]))
    options = {"noise": False, "pixel_scale": KIDS_SCALE, "shape": shape, "matching": "gaussian"}
    wanted = max(width, 1.01 * fwhm_of(psf, KIDS_SCALE.value)) * u.arcsec
    made = degrade(cube, survey, target_psf=wanted, **options)
    places = [(side - 1) / 2 + (np.arange(n) - (n - 1) / 2) * (SCALE / KIDS_SCALE).value
              for side, n in zip(image.shape, shape)]
    other = ndimage.map_coordinates(other.astype(float), np.meshgrid(*places, indexing="ij"), order=1, cval=1) > 0.3
    return np.nan_to_num(made.data[0]), np.nan_to_num(made.uncertainty.array[0], nan=np.inf), other | made.mask[0]


def moved(image, shift, width=0.0):
    """Return the image smoothed by a Gaussian and shifted by (y, x), in pixels."""
    blurred = ndimage.gaussian_filter(image, abs(width)) if width else image
    return ndimage.shift(blurred, shift, order=3, mode="nearest")


def registered(image, reference, used):
    """Return the shift (y, x) in pixels of ``image`` with the largest correlation."""
    def miss(shift):
        return -np.corrcoef(moved(image, shift)[used], reference[used])[0, 1]
    start = min(((y, x) for y in range(-3, 4) for x in range(-3, 4)), key=miss)
    return optimize.minimize(miss, start, method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-7}).x


def back_to_sdss(image, sdss, sigma, used):
    """Return the smallest chi2 per pixel for a Gaussian, a shift and a factor."""
    def model(parameters):
        one = moved(image, parameters[1:], parameters[0])
        weight = used / sigma**2
        return one * np.sum(weight * one * sdss) / np.sum(weight * one**2)

    def chi2(parameters):
        return np.mean(((model(parameters) - sdss) / sigma)[used]**2)

    start = [1.0, *registered(moved(image, (0, 0), 1.0), sdss, used)]
    found = optimize.minimize(chi2, start, method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-4})
    return float(found.fun)


def cut(image, side=33):
    """Return the middle of an image."""
    return image[tuple(slice((n - side) // 2, (n - side) // 2 + side) for n in image.shape)]


def compared(name, label, translator, data, survey, width):
    """Return a row and the images of the figure."""
    sdss, sigma, other, _ = read_side(data, "SDSS", name)
    whole, kids_sigma, hidden = kids_on_the_field(data, name, survey, width, sdss.shape)
    kids, kids_sigma, hidden, sdss, sigma, other = (
        cut(image, SIDE) for image in (whole, kids_sigma, hidden, sdss, sigma, other))
    flux = translator.translate_array(sdss[None, None].astype(np.float32),
                                      weight=(1 / sigma**2)[None, None].astype(np.float32))[0, 0].astype(float)
    y, x = np.indices(sdss.shape) - SIDE // 2
    used = (np.hypot(y, x) * SCALE.value < RADIUS) & ~other & ~hidden
    shift = registered(kids, flux, used)
    kids = cut(moved(whole, shift), SIDE)
    chi2 = np.mean(((flux - kids)**2 / (sigma**2 + kids_sigma**2))[used])
    back, kids_back = (back_to_sdss(image, sdss, sigma, used) for image in (flux, kids))
    row = {
        "galaxy": name, "objective": label, "r": 22.5 - 2.5 * np.log10(kids[used].sum()), "n_pixels": int(used.sum()),
        "flux_ratio": flux[used].sum() / kids[used].sum(), "input_ratio": sdss[used].sum() / kids[used].sum(),
        "chi2": chi2,
        "correlation": np.corrcoef(flux[used], kids[used])[0, 1],
        "shift_x": shift[1] * SCALE.value, "shift_y": shift[0] * SCALE.value,
        "fwhm_input": fwhm_of(cut(sdss), SCALE.value), "fwhm": fwhm_of(cut(flux), SCALE.value),
        "fwhm_kids": fwhm_of(cut(kids), SCALE.value), "back_chi2": back, "kids_back_chi2": kids_back,
        "back_excess": back - kids_back, "agrees": back - kids_back <= LIMIT}
    return row, (sdss, flux, kids)


def draw(shown, path):
    """Draw SDSS, translations, KiDS and the differences to KiDS, one row per galaxy."""
    from matplotlib.figure import Figure

    labels = list(next(iter(shown.values())))
    titles = ["SDSS", *labels, "KiDS", *(f"{label} - KiDS" for label in labels)]
    figure = Figure(figsize=(1.6 * len(titles), 1.65 * len(shown)), layout="constrained")
    soft = 0.05
    for axes, (name, images) in zip(figure.subplots(len(shown), len(titles)), shown.items()):
        sdss, _, kids = images[labels[0]]
        for axis, image in zip(axes, [sdss, *(images[label][1] for label in labels), kids]):
            axis.imshow(np.arcsinh(image / soft), origin="lower", cmap="gray", vmin=-1,
                        vmax=np.arcsinh(kids.max() / soft))
        for axis, label in zip(axes[len(labels) + 2:], labels):
            axis.imshow(images[label][1] - images[label][2], origin="lower", cmap="RdBu_r", vmin=-5 * soft,
                        vmax=5 * soft)
        axes[0].set_ylabel(name, fontsize=8)
        for axis, title in zip(axes, titles):
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_title(title if name == next(iter(shown)) else "", fontsize=8)
    figure.savefig(path, dpi=80)


def brighter(cube, factor):
    """Return the field with flux and noise multiplied."""
    variance = [band.sky_noise**2 + np.maximum(plane, 0) / band.gain for band, plane in zip(cube.survey, cube.data)]
    return BandCube(cube.data * np.float32(factor), unit=cube.unit, bands=cube.bands, survey=cube.survey, wcs=cube.wcs,
                    psf=cube.psf, mask=cube.mask, uncertainty=StdDevUncertainty(factor * np.sqrt(variance)))


def made_parts(data, names, options):
    """Return training and validation pairs of the original and the brighter fields, and the field."""
    field = read_field(data).select_bands("r")
    survey = sdss_survey(data, names)
    pairs = made_pairs(field, survey, options.out / "pairs.zarr", options, input_size=options.size)
    parts = [[part] for part in parts_of(pairs)[:2]]
    for number, factor in enumerate(options.factors, start=1):
        shift = 2.5 * np.log10(factor)
        pairs = made_pairs(
            brighter(field, factor), survey, options.out / f"pairs-{factor:g}.zarr", options, input_size=options.size,
            max_magnitude=FAINTEST - shift, min_magnitude=BRIGHTEST - shift, seed=options.seed + number)
        for part in parts:
            edges = np.min(part[0].catalog["x"]), np.max(part[0].catalog["x"])
            x = np.asarray(pairs.catalog["x"])
            part.append(pairs.select(np.flatnonzero((x >= edges[0]) & (x <= edges[1]))))
    return *(joined(part) for part in parts), field


def joined(sets):
    """Concatenate sets of pairs."""
    read = [one.read() for one in sets]
    images = {name: np.concatenate([one[name] for one in read])
              for name in ("input_flux", "target_flux", "input_weight", "target_weight")}
    ids = [f"{number}-{name}" for number, one in enumerate(sets) for name in one.ids]
    return PairSet.from_arrays(**images, ids=ids, input_survey=sets[0].input_survey,
                               target_survey=sets[0].target_survey)


def main():
    parser = parser_of(__doc__.splitlines()[0], "real_truth", 24, realizations=1, learning_rate=8e-4)
    parser.add_argument("--factors", type=float, nargs="*", default=[4, 12], help="factors in brightness")
    parser.add_argument("--size", type=int, default=SIDE - 1, help="side of the training stamps in pixels")
    parser.add_argument("--objectives", nargs="+", choices=OBJECTIVES, default=OBJECTIVES)
    options = parsed(parser)
    names = sorted(path.name[:7] for path in (Path(options.data) / FOLDER / "SDSS").glob("*fitim.fits"))
    training, validation, field = made_parts(options.data, names, options)
    width = fwhm_of(field.psf[0], SCALE.value)
    log.info("%d training, %d validation pairs", len(training), len(validation))
    translators = {name: trained(name, training, validation, options.out, options) for name in options.objectives}
    rows, shown = [], {}
    for name in names:
        images = shown[name] = {}
        for label, translator in translators.items():
            row, images[label] = compared(name, label, translator, options.data, field.survey, width)
            rows.append(row)
    draw(shown, options.out / "real_truth.png")
    table = Table(rows=rows)
    for column in table.itercols():
        if column.dtype.kind == "f":
            column.format = ".3f"
    table.meta.update(epochs=options.epochs, factors=options.factors, n_training=len(training),
                      kids_fwhm_arcsec=float(width), limit=LIMIT)
    table.write(options.out / "real_truth.ecsv", overwrite=True)
    text = "\n".join(table.pformat(max_lines=-1, max_width=-1))
    (options.out / "real_truth.txt").write_text(text + "\n")
    log.info(text)


if __name__ == "__main__":
    main()
