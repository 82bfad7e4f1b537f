"""Measure the speed and memory of `astro_galtrans.pairs.match_pairs`.

    python benchmarks/pairing.py --n 200 800 --out pairing.ecsv

Two tiles of round galaxies, in five bands of SDSS and CFHTLS, are written to FITS cubes; for each row of the table a
new process pairs them to disk. With --figure and the folder of real images, the script draws the figure of the page:

    GALTRANS_REAL_DATA=... python benchmarks/pairing.py --figure docs/_static/pairs_matched.png
"""

import argparse
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Set before numpy is imported, for one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import astropy.units as u  # noqa: E402
import numpy as np  # noqa: E402
from astropy.coordinates import SkyCoord  # noqa: E402
from astropy.nddata import StdDevUncertainty  # noqa: E402
from astropy.table import Table  # noqa: E402
from astropy.wcs import WCS  # noqa: E402
from scipy import ndimage  # noqa: E402

from astro_galtrans.images import BandCube, detect_galaxies, read_cube, regrid  # noqa: E402
from astro_galtrans.pairs import match_pairs  # noqa: E402
from astro_galtrans.surveys import get_survey  # noqa: E402

log = logging.getLogger("pairing")
CENTER = SkyCoord(150.0, 2.0, unit="deg")
CASES = {
    "alike": {}, "alike, no segmentation": {"neighbors": None}, "turned by 30 degrees": {},
}


def wcs_of(scale, n, angle=0.0, center=CENTER):
    """Return a TAN projection around a center, rotated by an angle in degrees."""
    turn, wcs = np.radians(angle), WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval = center.ra.deg, center.dec.deg
    wcs.wcs.crpix = (n + 1) / 2, (n + 1) / 2
    wcs.wcs.cd = scale.to_value("deg") * np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    wcs.wcs.set()
    wcs.array_shape = (n, n)
    return wcs


def write_tiles(folder, n_galaxies=600, side=420):
    """Write a catalog, a CFHTLS tile, an aligned SDSS tile and one rotated by 30 degrees."""
    rng = np.random.default_rng(1)
    east, north = rng.uniform(-0.44 * side, 0.44 * side, (2, n_galaxies)) * u.arcsec
    place = CENTER.spherical_offsets_by(east, north)
    flux, width = 10 ** (-0.4 * rng.uniform(17.5, 20, n_galaxies)), rng.uniform(0.5, 1.5, n_galaxies)
    Table({"ra": place.ra.deg, "dec": place.dec.deg, "redshift": rng.uniform(0, 0.3, n_galaxies)}).write(
        folder / "galaxies.ecsv")
    for name, angle, file in (("SDSS", 0, "alike"), ("SDSS", 30, "turned"), ("CFHTLS", 0, "target")):
        survey = get_survey(name)
        scale = survey.pixel_scale
        n = int(side * u.arcsec / scale)
        wcs = wcs_of(scale, n, angle)
        x, y = wcs.world_to_pixel(place)
        noise = np.broadcast_to(survey.sky_noise[:, None, None].astype(np.float32), (len(survey), n, n))
        data = noise * rng.normal(size=noise.shape).astype(np.float32)
        for band, plane in zip(survey, data):
            sigma = np.hypot(width, band.psf_fwhm.value / 2.3548) / scale.value
            for x0, y0, f, s in zip(x, y, flux, sigma):
                box = tuple(slice(*np.clip([int(at - 6 * s), int(at + 6 * s) + 2], 0, n)) for at in (y0, x0))
                row, column = np.mgrid[box]
                plane[box] += f * 10 ** (0.4 * band.zero_point) * np.exp(
                    -((column - x0)**2 + (row - y0)**2) / (2 * s**2)) / (2 * np.pi * s**2)
        BandCube(data, unit=survey.unit, wcs=wcs, bands=survey.band_names, survey=survey,
                 uncertainty=StdDevUncertainty(noise)).write(folder / f"{file}.fits")


def one_run(folder, case, n):
    """Pair ``n`` galaxies to disk, some more than once, and print the result for the parent process."""
    folder, table = Path(folder), Table.read(Path(folder) / "galaxies.ecsv")
    rows = np.arange(n) % len(table)
    source = "turned" if "turned" in case else "alike"
    given, target = (read_cube(folder / f"{name}.fits") for name in (source, "target"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start, cpu = time.perf_counter(), time.process_time()
    pairs = match_pairs(table[rows], given, target, path=folder / "pairs.zarr", overwrite=True, **CASES[case])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([len(pairs), time.perf_counter() - start, time.process_time() - cpu, before, peak]))


def figure(path):
    """Draw CFHTLS galaxies and the same degraded to SDSS, rotated, with a WCS error of 0.6 arcsec."""
    from matplotlib.figure import Figure

    folder = Path(os.environ["GALTRANS_REAL_DATA"]) / "cfhtls-gri-humvi"
    target = read_cube({band: folder / f"CFHTLS-test_{band}.fits" for band in "gri"}, "CFHTLS")
    sdss, rng = get_survey("SDSS").select("gri"), np.random.default_rng(2)
    wide = [np.sqrt(new.psf_fwhm**2 - old.psf_fwhm**2) / 2.3548 / target.pixel_scale
            for new, old in zip(sdss, target.survey)]
    smooth = [ndimage.gaussian_filter(plane, float(width)) for plane, width in zip(target.data, wide)]
    center = target.wcs.pixel_to_world(219.5, 219.5)
    deep = BandCube(np.array(smooth), unit=target.unit, bands="gri", survey=target.survey, wcs=target.wcs)
    shallow = regrid(deep.to_unit("nmgy"), wcs_of(sdss.pixel_scale, 200, 30, center), (200, 200))
    data = shallow.data + sdss.sky_noise[:, None, None] * rng.normal(size=shallow.shape)
    off = center.spherical_offsets_by(0.6 * u.arcsec, 0 * u.arcsec)
    given = BandCube(data, unit="nmgy", bands="gri", survey=sdss, mask=shallow.mask,
                     wcs=wcs_of(sdss.pixel_scale, 200, 30, off))
    galaxies = detect_galaxies(target, max_magnitude=22.5)
    pairs = match_pairs(galaxies[~galaxies["edge"]], given, target, input_size=26, neighbors="mask")
    log.info("%s\n%s", pairs, pairs.fields["east", "north", "error", "n"])
    log.info("%s", pairs.dropped["reason", "detail"])
    shown = np.argsort(-pairs.catalog["input_snr"])[:7]
    drawn = Figure(figsize=(10.2, 3.2), layout="constrained")
    axes = drawn.subplots(2, len(shown))
    for column, row in zip(axes.T, shown):
        for axis, side in zip(column, ("input", "target")):
            flux, weight = (getattr(pairs, f"{side}_{what}")[row, 1] for what in ("flux", "weight"))
            noise = 1 / np.sqrt(np.median(weight[weight > 0]))
            axis.imshow(np.arcsinh(flux / noise / 3), origin="lower", cmap="gray_r", vmin=-0.5, vmax=4)
            axis.imshow(np.where(weight == 0, 1.0, np.nan), origin="lower", cmap="autumn", alpha=0.35, vmin=1, vmax=2)
            axis.plot(*pairs.catalog[f"{side}_grid"][row, :2], "+", color="tab:blue", markersize=9)
            axis.set(xticks=[], yticks=[])
        column[0].set_title(f"r = {pairs.catalog['magnitude'][row]:.1f}", fontsize=9)
    for axis, text in zip(axes[:, 0], ("input, SDSS-like", "target, CFHTLS")):
        axis.set_ylabel(text, fontsize=9)
    drawn.savefig(path, dpi=110, metadata={"Software": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, nargs="+", default=[200, 800], help="galaxies to pair, for each row")
    parser.add_argument("--out", help="ECSV file for the table")
    parser.add_argument("--figure", metavar="PNG", help="draw the figure of the page only")
    parser.add_argument("--run", nargs=3, metavar=("FOLDER", "CASE", "N"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.run:
        return one_run(options.run[0], options.run[1], int(options.run[2]))
    if options.figure:
        return figure(options.figure)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_tiles(Path(folder))
        for case in CASES:
            for n in options.n:
                done = subprocess.run([sys.executable, __file__, "--run", folder, case, str(n)], check=True,
                                      capture_output=True, text=True)
                made, seconds, cpu, before, peak = json.loads(done.stdout.splitlines()[-1])
                rows.append((case, n, made, seconds, made / seconds, made / cpu, before, peak))
                log.info("%s", rows[-1])
    table = Table(rows=rows, names=("case", "galaxies", "pairs", "seconds", "pairs_per_second", "pairs_per_cpu_second",
                                    "mib_before", "mib_peak"))
    for name in table.colnames[3:]:
        table[name].info.format = ".1f"
    log.info("\n%s", "\n".join(table.pformat(max_width=-1)))
    if options.out:
        table.write(options.out, format="ascii.ecsv", overwrite=True)


if __name__ == "__main__":
    main()
