"""Compare translations of the same object from two SDSS runs with the stated uncertainties.

    python benchmarks/repeat_runs.py --data $GALTRANS_REAL_DATA --out repeat_runs

The folder sdss-stamps-ugriz-desimcmc contains stamps of 51 x 51 pixels around twelve positions, one for each field that
covers them. Fields of one run share their photons, so the script uses the stamp with the fewest bad pixels of each run,
and no stamp with more than a tenth of bad pixels. It translates each pair of runs of a position with the shipped
translator (or ``--translator``).

Stamps on another grid are resampled to that of the first run, and both are cut to 45 x 45 pixels around the object.
The remaining offset between the runs is measured in r of the input, and the second translation is shifted back by it.
Pixels that are masked in either run are left out of both.

Objects with a FWHM in r below 1.1 times that of the PSF are labeled "star"; both of them are located in the wings of a
saturated star. The folder ``--out`` gets

- repeat_runs.ecsv, a row for each object, quantity (band or color) and aperture: the magnitudes and their difference
  ("input_difference": of the SDSS images); "error", the error of the translated difference from the stated noise of the
  two stamps, from translations of stamps with that noise added again, and "pull", difference over error; "pixel_pull",
  the difference over the standard deviations of the translations, summed for independent pixels; "input_pull", the
  difference of the inputs over their noise;
- repeat_pixels.ecsv, a row for each object and band: robust standard deviation and mean square of the difference of two
  pixels over their stated standard deviations, within 4 arcsec, and the FWHM of the PSF in either run, arcsec;
- summary.ecsv, summary_pixels.ecsv and repeat_runs.txt: statistics of all objects;
- repeat_runs.png: input and translation of both runs, and the difference.
"""

import argparse
import logging
import os
from itertools import combinations, product
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from astropy.coordinates import SkyCoord  # noqa: E402
from astropy.table import Table  # noqa: E402
from photutils.aperture import CircularAperture  # noqa: E402
from scipy import ndimage, optimize  # noqa: E402
from semi_real import fwhm_of  # noqa: E402

from astro_galtrans.images import flux_and_weight, read_stamps, regrid  # noqa: E402
from astro_galtrans.storage import load  # noqa: E402

log = logging.getLogger("repeat_runs")
FOLDER = "sdss-stamps-ugriz-desimcmc"
RADII = (1.0, 2.0, 4.0)  # arcsec
KINDS = ("galaxy", "star")
SIDE = 45
MOST_BAD = 0.1
# FWHM of a star relative to that of the PSF.
POINT = 1.1
# Largest masked fraction of an aperture.
MOST_OF_APERTURE = 0.1


def best_of_runs(cubes):
    """Return the stamp with the fewest bad pixels of each run, in the order of the runs."""
    runs = {}
    for cube in sorted(cubes, key=lambda cube: cube.mask.mean()):
        if cube.mask.mean() < MOST_BAD:
            runs.setdefault(cube.meta["run"], cube)
    return [runs[run] for run in sorted(runs)]


def on_one_grid(first, second):
    """Return the second stamp on the grid of the first, unchanged if the grids are equal."""
    corners = [[0, 0, SIDE], [0, SIDE, 0]]
    there = second.wcs.world_to_pixel(first.wcs.pixel_to_world(*corners))
    if first.shape == second.shape and np.allclose(there, corners, atol=0.01):
        return second
    return regrid(second, first.wcs, first.shape[1:])


def centered(cubes, position):
    """Cut both stamps around the object near a position, at the centroid of r in the first."""
    cube = cubes[0]
    x, y = (float(value) for value in cube.wcs.world_to_pixel(position))
    lines, columns = np.indices(cube.shape[1:])
    flux, weight = flux_and_weight(cube)
    core = np.where((np.hypot(columns - x, lines - y) < 5) & (weight[2] > 0), np.maximum(flux[2], 0), 0)
    place = cube.wcs.pixel_to_world((core * columns).sum() / core.sum(), (core * lines).sum() / core.sum())
    return [cube.cutout(place, SIDE) for cube in cubes]


def kind_of(cube):
    """Return "star" for an object that is as narrow in r as the PSF."""
    half = SIDE // 2
    core = cube.data[2, half - 7:half + 8, half - 7:half + 8]
    return "star" if fwhm_of(core, 1.0) < POINT * fwhm_of(cube.psf[2], 1.0) else "galaxy"


def offset(first, second):
    """Return the shift (y, x) in pixels from the second to the first stamp in r, with a free factor."""
    (one, weight), (other, other_weight) = (flux_and_weight(cube) for cube in (first, second))
    good = (weight[2] > 0) & (other_weight[2] > 0)
    y, x = np.indices(good.shape) - SIDE // 2
    good &= np.hypot(y, x) < 8
    one, other = one[2].astype(float), other[2].astype(float)

    def miss(shift):
        moved = ndimage.shift(other, shift, order=3, mode="nearest")[good]
        factor = np.sum(moved * one[good]) / np.sum(moved**2)
        return np.sum((factor * moved - one[good])**2)

    return optimize.minimize(miss, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-9}).x


def nearest(plane, bad):
    """Replace each bad pixel by the nearest good one."""
    return plane[tuple(ndimage.distance_transform_edt(bad, return_distances=False, return_indices=True))]


def moved(flux, shift, order=3):
    """Shift a translated image, shape ``(..., band, y, x)``, by (y, x); NaN areas grow by a pixel."""
    flat = flux.reshape(-1, *flux.shape[-2:])
    result = []
    for plane in flat:
        bad = ~np.isfinite(plane)
        plane = ndimage.shift(nearest(plane, bad), shift, order=order, mode="nearest")
        result.append(np.where(ndimage.binary_dilation(bad) if bad.any() else bad, np.nan, plane))
    return np.stack(result).reshape(flux.shape)


def apertures(shape, scale, center):
    """Return pixel weights of apertures, shape (radius, y, x), around (x, y)."""
    return np.stack([CircularAperture(center, radius / scale).to_mask(method="exact").to_image(shape)
                     for radius in RADII])


def magnitudes(flux):
    return -2.5 * np.log10(np.where(flux > 0, flux, np.nan))


class Seen:
    """Aperture fluxes of one image and of its noisy copies."""

    def __init__(self, flux, copies, variance, good, shares):
        self.flux = np.einsum("byx,ryx,byx->rb", np.where(good, flux, 0), shares, good)
        self.copies = np.einsum("nbyx,ryx,byx->nrb", np.where(good, copies, 0), shares, good)
        self.error = np.sqrt(np.einsum("byx,ryx,byx->rb", np.where(good, variance, 0), shares**2, good))

    def measured(self):
        """Return magnitudes and colors (radius, quantity), their spread in the copies, and errors from the pixels."""
        all_of = [magnitudes(self.flux), magnitudes(self.copies)]
        value, copies = (np.concatenate([m, m[..., :-1] - m[..., 1:]], -1) for m in all_of)
        error = 1.0857 * self.error / np.abs(self.flux)
        return value, np.std(copies, axis=0), np.concatenate([error, np.hypot(error[:, :-1], error[:, 1:])], -1)


def noisy(flux, weight, rng, number):
    """Return copies of a stamp with its stated noise added again."""
    deviation = np.sqrt(np.divide(1, weight, out=np.zeros_like(weight), where=weight > 0))
    return (flux + deviation * rng.standard_normal((number, *flux.shape))).astype(np.float32)


def translated(translator, cube, shift, rng, number):
    """Return shifted translations of a stamp and its noisy copies, the variance, and the stamp with its copies."""
    flux, weight = flux_and_weight(cube)
    copies = noisy(flux, weight, rng, number)
    stack = np.concatenate([flux[None], copies])
    images, sigma = translator.translate_array_with_uncertainty(
        stack, weight=np.broadcast_to(weight, stack.shape),
        allow_missing=translator.network.takes_missing)
    images = images.astype(float)
    variance = np.where(np.isfinite(images[0]), sigma[0].astype(float)**2, np.nan)
    if np.any(shift):
        images, variance = moved(images, shift), moved(variance, shift, order=1)  # a cubic spline could be negative
    return images, variance, flux, weight, copies


def compared(translator, name, cubes, seed, number):
    """Return the rows of apertures and of pixels of a pair of runs, and its images."""
    lag = offset(*cubes)
    ratio = translator.network.scale_ratio
    runs = [translated(translator, cube, shift, np.random.default_rng([seed, cube.meta["run"]]), number)
            for cube, shift in zip(cubes, (np.zeros(2), lag / ratio))]
    shape, scale = runs[0][0].shape[-2:], translator.target_survey.pixel_scale.value
    good = np.isfinite(runs[0][0][0]) & np.isfinite(runs[1][0][0])
    middle = [(side - 1) / 2 for side in shape]
    shares = apertures(shape, scale, middle)
    seen = [Seen(images[0], images[1:], variance, good, shares) for images, variance, *_ in runs]
    input_scale = translator.input_survey.pixel_scale.value
    input_good = (runs[0][3] > 0) & (runs[1][3] > 0)
    input_shares = [apertures(input_good.shape[1:], input_scale, (SIDE // 2 - shift[1], SIDE // 2 - shift[0]))
                    for shift in (np.zeros(2), lag)]
    raw = [Seen(flux, copies, np.where(weight > 0, 1 / np.maximum(weight, 1e-30), 0), input_good, share)
           for (_, _, flux, weight, copies), share in zip(runs, input_shares)]
    kept = [np.einsum("byx,ryx->rb", hidden, share) / share.sum((1, 2))[:, None] < MOST_OF_APERTURE
            for hidden, share in ((~good, shares), (~input_good, input_shares[0]))]
    rows = _aperture_rows(name, cubes, translator.target_survey.band_names, seen, raw, kept[0] & kept[1],
                          lag * input_scale)
    pixels = _pixel_rows(name, translator, runs, good)
    for row, *psfs in zip(pixels, cubes[0].psf, cubes[1].psf):
        row["fwhm_first"], row["fwhm_second"] = (fwhm_of(psf, input_scale) for psf in psfs)
    for row in (*rows, *pixels):
        row["kind"] = kind_of(cubes[0])
    return rows, pixels, runs


def _aperture_rows(name, cubes, bands, seen, raw, kept, lag):
    (one, spread, pixel), (other, other_spread, other_pixel) = (each.measured() for each in seen)
    (first, _, noise), (second, _, other_noise) = (each.measured() for each in raw)
    quantities = [*bands, *(f"{blue} - {red}" for blue, red in zip(bands, bands[1:]))]
    kept = np.concatenate([kept, kept[:, :-1] & kept[:, 1:]], -1)
    error, error_pixel = np.hypot(spread, other_spread), np.hypot(pixel, other_pixel)
    rows = []
    for k, radius in enumerate(RADII):
        for j, quantity in enumerate(quantities):
            if not kept[k, j]:
                continue
            difference, raw_difference = other[k, j] - one[k, j], second[k, j] - first[k, j]
            rows.append({
                "object": name, "runs": "-".join(str(cube.meta["run"]) for cube in cubes), "quantity": quantity,
                "radius": radius, "first": one[k, j], "second": other[k, j], "difference": difference,
                "error": error[k, j], "pull": difference / error[k, j], "pixel_pull": difference / error_pixel[k, j],
                "input_difference": raw_difference,
                "input_pull": raw_difference / np.hypot(noise[k, j], other_noise[k, j]),
                "offset_arcsec": float(np.hypot(*lag))})
    return rows


def _pixel_rows(name, translator, runs, good):
    share = apertures(good.shape[1:], translator.target_survey.pixel_scale.value,
                      [(side - 1) / 2 for side in good.shape[1:]])[-1] > 0.5
    rows = []
    for k, band in enumerate(translator.target_survey.band_names):
        used = share & good[k]
        (one, variance, *_), (other, other_variance, *_) = runs
        chi = ((other[0] - one[0])[k] / np.sqrt(variance + other_variance)[k])[used]
        rows.append({"object": name, "band": band, "n_pixels": int(used.sum()),
                     "robust_std": 1.4826 * np.median(np.abs(chi - np.median(chi))), "mean_square": np.mean(chi**2),
                     "within_1": np.mean(np.abs(chi) < 1), "within_2": np.mean(np.abs(chi) < 2)})
    return rows


def rms(values):
    values = values[np.isfinite(values)]
    return np.sqrt(np.mean(values**2)) if len(values) else np.nan


def summary(table):
    """Return statistics of all objects, a row for each quantity and aperture."""
    rows = []
    for kind, radius, quantity in product(KINDS, RADII, dict.fromkeys(table["quantity"])):
        part = table[(table["kind"] == kind) & (table["quantity"] == quantity) & (table["radius"] == radius)]
        pull = np.abs(np.asarray(part["pull"], dtype=float))
        if np.isfinite(pull).any():
            rows.append({
                "kind": kind, "quantity": quantity, "radius": radius, "n": int(np.isfinite(pull).sum()),
                "mean_difference": np.nanmean(part["difference"]), "rms_difference": rms(part["difference"]),
                "input_rms_difference": rms(part["input_difference"]), "rms_pull": rms(part["pull"]),
                "input_rms_pull": rms(part["input_pull"]), "pixel_rms_pull": rms(part["pixel_pull"]),
                "within_2": np.mean(pull[np.isfinite(pull)] < 2)})
    return Table(rows=rows)


def pixel_summary(pixels):
    """Return means over the objects of a kind, a row for each band."""
    rows = []
    for kind, band in product(KINDS, dict.fromkeys(pixels["band"])):
        part = pixels[(pixels["kind"] == kind) & (pixels["band"] == band)]
        rows.append({"kind": kind, "band": band, "n": len(part), **{
            name: np.mean(part[name]) for name in ("robust_std", "mean_square", "within_1", "within_2", "fwhm_first",
                                                   "fwhm_second")}})
    return Table(rows=rows)


def draw(shown, path, bands, band="r"):
    """Draw stamps and translations of both runs and the difference over its sigma, one row per object."""
    from matplotlib.figure import Figure

    titles = ("SDSS, first run", "SDSS, second run", "translated", "translated", "difference / sigma")
    figure = Figure(figsize=(7.5, 1.55 * len(shown)), layout="constrained")
    grid = figure.subplots(len(shown), len(titles), squeeze=False)
    k = bands.index(band)
    for axes, (name, runs) in zip(grid, shown.items()):
        inputs, images = [run[2][k] for run in runs], [run[0][0][k] for run in runs]
        chi = (images[1] - images[0]) / np.sqrt(runs[0][1][k] + runs[1][1][k])
        for pair, two in ((inputs, axes[:2]), (images, axes[2:4])):
            soft = 3 * np.nanmedian(np.abs(pair[0]))
            top = np.arcsinh(np.nanmax(pair[0]) / soft)
            for image, axis in zip(pair, two):
                axis.imshow(np.arcsinh(image / soft), origin="lower", cmap="gray", vmin=-0.5, vmax=top)
        shade = axes[4].imshow(chi, origin="lower", cmap="RdBu_r", vmin=-5, vmax=5)
        axes[0].set_ylabel(name, fontsize=7)
    figure.colorbar(shade, ax=grid[:, 4].tolist(), shrink=0.5)
    for axis, title in zip(grid[0], titles):
        axis.set_title(title, fontsize=8)
    for axis in grid.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.savefig(path, dpi=80)


def formatted(table):
    for column in table.itercols():
        if column.dtype.kind == "f":
            column.format = ".3f"
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("GALTRANS_REAL_DATA"), help="folder of the real data")
    parser.add_argument("--out", type=Path, default=Path("repeat_runs"), help="folder for tables and figure")
    parser.add_argument("--translator", default="sdss-to-cfhtls", help="file or name of a shipped translator")
    parser.add_argument("--copies", type=int, default=64, help="noisy copies of each stamp")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not options.data:
        parser.error("--data or GALTRANS_REAL_DATA must name the folder of the real data")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    log.setLevel(logging.INFO)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    translator = load(options.translator)
    folder = Path(options.data) / FOLDER
    rows, pixels, shown = [], [], {}
    for name in sorted(path.name[8:-5] for path in folder.glob("stamp-r-*.fits")):
        position = SkyCoord(*(float(part) for part in name.split("-")), unit="deg")
        cubes = best_of_runs(read_stamps(sorted(folder.glob(f"stamp-?-{name}.fits")), bands="ugriz"))
        for pair in combinations(cubes, 2):
            pair = centered([pair[0], on_one_grid(*pair)], position)
            found, of_pixels, images = compared(translator, name, pair, options.seed, options.copies)
            rows += found
            pixels += of_pixels
            shown[name] = images
    table, pixels = formatted(Table(rows=rows)), formatted(Table(rows=pixels))
    together, of_pixels = formatted(summary(table)), formatted(pixel_summary(pixels))
    for each, path in ((table, "repeat_runs"), (pixels, "repeat_pixels"), (together, "summary"),
                       (of_pixels, "summary_pixels")):
        each.meta.update(translator=translator.hash[:16], copies=options.copies, seed=options.seed)
        each.write(options.out / f"{path}.ecsv", overwrite=True)
    text = "\n\n".join("\n".join(each.pformat(max_lines=-1, max_width=-1)) for each in (together, of_pixels, pixels))
    (options.out / "repeat_runs.txt").write_text(text + "\n")
    draw(shown, options.out / "repeat_runs.png", translator.target_survey.band_names)
    log.info(text)


if __name__ == "__main__":
    main()
