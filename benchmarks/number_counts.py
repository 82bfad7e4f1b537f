"""Measure numbers, sizes, colors and clustering of sources in real fields, and compare them with the simulated scene.

    python benchmarks/number_counts.py --data $GALTRANS_REAL_DATA --out benchmarks/results/number_counts

Sources of the SDSS field 003918-3-0213, of the KiDS and VIKING field and of the CFHTLS field are detected in r with
`astro_galtrans.images.detect_galaxies`. Three tables are written:

- ``counts.ecsv``, per field and magnitude: numbers of galaxies and stars, the numbers per square degree and magnitude,
  those of the simulated scene, the median half-light radius of galaxies after subtraction in quadrature of that of
  stars, that of the scene, and median colors of galaxies and stars with their robust scatter;
- ``neighbors.ecsv``, per field and annulus: mean number of galaxies around galaxies of r 17 to 20, the number around
  random positions, and the excess;
- ``defects.ecsv``, per field and band: fraction of masked pixels, saturated stars per square degree, fraction of
  sources at an edge or bad pixel, and, in g, r and i, trails: sources longer than 8 arcsec and six times their width.

``hsc.ecsv`` has the number of peaks in the HSC scenes by i magnitude within 0.5 arcsec. The scenes are selected blends.
"""

from __future__ import annotations

import argparse
import logging
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path  # noqa: E402

import astropy.units as u  # noqa: E402
import numpy as np  # noqa: E402
from astropy.coordinates import SkyCoord  # noqa: E402
from astropy.stats import mad_std  # noqa: E402
from astropy.table import Table  # noqa: E402
from semi_real import read_field  # noqa: E402

from astro_galtrans.images import detect_galaxies, read_cube  # noqa: E402
from astro_galtrans.simulation import galaxy_counts, galaxy_radius, star_counts  # noqa: E402

log = logging.getLogger("number_counts")
ANNULI = (2.0, 4.0, 7.0, 12.0, 20.0, 35.0)
TARGETS = (17.0, 20.0)
TRAIL = (8.0, 6.0)
N_RANDOM = 20000


def fields(data):
    """Return name, images, bands of colors, options of the detection and area in square degrees of each field."""
    sdss, cfhtls = data / "sdss-field-003918-3-0213", data / "cfhtls-gri-humvi"
    kids = read_field(data)
    return [
        ("SDSS", read_cube({band: sdss / f"frame-{band}-003918-3-0213.fits.bz2" for band in "ugriz"}, survey="SDSS"),
         "gri", {}, 2048 * 1489 * (0.396 / 3600) ** 2),
        ("KiDS", kids, "gri", {"kernel_fwhm": 2.4}, kids.data[0].size * (0.339 / 3600) ** 2),
        ("CFHTLS", read_cube({band: cfhtls / f"CFHTLS-test_{band}.fits" for band in "gri"}, survey="CFHTLS"), "gri", {},
         440**2 * (0.186 / 3600) ** 2),
    ]


def colors(sources, others):
    """Return Kron colors with the nearest source of another band within 1 arcsec, NaN without."""
    found = []
    places = SkyCoord(sources["ra"], sources["dec"])
    for other in others:
        index, separation, _ = places.match_to_catalog_sky(SkyCoord(other["ra"], other["dec"]))
        magnitude = np.where(separation < 1 * u.arcsec, other["magnitude"][index], np.nan)
        found.append(np.asarray(magnitude))
    return found


def count_rows(name, sources, area, blue, red):
    """Return a row for each magnitude of the table of counts."""
    rows = []
    points = sources["half_light_radius"][~sources["extended"] & (sources["signal_to_noise"] > 50)]
    star_size = np.median(points) if len(points) > 4 else 0.36  # arcsec
    galaxies = np.asarray(sources["extended"] & ~sources["saturated"])
    magnitude = np.asarray(sources["magnitude"])
    for low in range(14, 25):
        inside = (magnitude >= low) & (magnitude < low + 1)
        grid = np.linspace(low, low + 1, 51)
        sizes = np.asarray(sources["half_light_radius"])[inside & galaxies]
        row = {"field": name, "r": low + 0.5, "n_galaxies": int(np.sum(inside & galaxies)),
               "n_stars": int(np.sum(inside & ~galaxies)),
               "scene_galaxies": np.trapezoid(galaxy_counts(grid), grid) * 3600**2,
               "scene_stars": np.trapezoid(star_counts(grid), grid) * 3600**2,
               "radius": np.sqrt(np.median(np.clip(sizes**2 - star_size**2, 0, None))) if len(sizes) else np.nan,
               "scene_radius": galaxy_radius(low + 0.5)}
        row |= {"galaxies": row["n_galaxies"] / area, "stars": row["n_stars"] / area}
        for label, kind in (("galaxy", galaxies), ("star", ~galaxies)):
            for color, values in (("g_r", blue - magnitude), ("r_i", magnitude - red)):
                values = values[inside & kind & np.isfinite(values)]
                row[f"{label}_{color}"] = np.median(values) if len(values) > 2 else np.nan
                row[f"{label}_{color}_scatter"] = mad_std(values) if len(values) > 2 else np.nan
        if np.any(inside):
            rows.append(row)
    return rows


def neighbor_rows(name, sources, faintest, seed):
    """Return a row for each annulus of the table of neighbors."""
    galaxies = sources[sources["extended"] & ~sources["saturated"] & (sources["magnitude"] < faintest)]
    targets = (galaxies["magnitude"] > TARGETS[0]) & (galaxies["magnitude"] < TARGETS[1])
    ra, dec = np.asarray(galaxies["ra"]), np.asarray(galaxies["dec"])
    x = ((ra - ra[0] + 180) % 360 - 180) * np.cos(np.deg2rad(dec.mean())) * 3600
    y = (dec - dec.mean()) * 3600
    box = x.min(), x.max(), y.min(), y.max()
    edge = np.minimum.reduce([x - box[0], box[1] - x, y - box[2], box[3] - y]) > ANNULI[-1]
    if not np.any(targets & edge):
        return []
    generator = np.random.default_rng(seed)
    random = np.stack([generator.uniform(box[0] + ANNULI[-1], box[1] - ANNULI[-1], N_RANDOM),
                       generator.uniform(box[2] + ANNULI[-1], box[3] - ANNULI[-1], N_RANDOM)])
    separations = np.hypot(x[targets & edge][:, None] - x, y[targets & edge][:, None] - y)
    around = np.hypot(random[0][:, None] - x, random[1][:, None] - y)
    rows = []
    for low, high in zip(ANNULI, ANNULI[1:]):
        n = np.sum((separations >= low) & (separations < high))
        mean, expected = n / len(separations), np.mean(np.sum((around >= low) & (around < high), axis=1))
        rows.append({"field": name, "low": low, "high": high, "faintest": faintest, "n_targets": len(separations),
                     "neighbors": mean, "error": np.sqrt(max(n, 1)) / len(separations), "random": expected,
                     "excess": mean / expected - 1})
    return rows


def n_trails(sources):
    """Return the number of sources that are as thin as trails."""
    long = sources["semimajor_axis"] > TRAIL[0]
    return int(np.sum(long & (sources["semimajor_axis"] > TRAIL[1] * sources["semiminor_axis"])))


def defect_rows(name, field, found, area):
    """Return a row for each band of the table of defects; ``found`` are the sources of some bands by name."""
    rows, sources = [], found["r"]
    for band in field.bands:
        image = field[band]
        masked = np.mean(image.mask) if image.mask is not None else np.mean(~np.isfinite(image.data))
        rows.append({"field": name, "band": band, "masked": masked, "saturated": np.sum(sources["saturated"]) / area,
                     "at_edge": np.mean(sources["edge"]), "trails": n_trails(found[band]) if band in found else -1})
    return rows


def hsc_rows(data):
    """Return the number of peaks of the HSC scenes by i magnitude."""
    magnitudes, area = [], 0.0
    for path in sorted((data / "hsc-cosmos-blends").glob("*.npz")):
        with np.load(path) as scene:
            image, peaks = scene["images"][2].astype(float), scene["peaks"]
        area += image.size * (0.168 / 3600) ** 2
        y, x = np.indices(image.shape)
        magnitudes += [27 - 2.5 * np.log10(max(image[np.hypot(x - px, y - py) < 3].sum(), 1e-3)) for px, py in peaks]
    counts, edges = np.histogram(magnitudes, np.arange(19, 28))
    return [{"i": low + 0.5, "n": int(n), "per_square_degree": n / area} for n, low in zip(counts, edges)]


def written(rows, path):
    """Write rows as a table."""
    table = Table(rows=rows)
    for name in table.colnames:
        if table[name].dtype.kind == "f":
            table[name].info.format = ".4g"
    table.write(path, overwrite=True)
    log.info("%s\n%s", path.name, "\n".join(table.pformat(max_lines=-1, max_width=-1)))


def main():
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    counts, neighbors, defects = [], [], []
    for name, field, (blue, band, red), settings, area in fields(options.data):
        sources = detect_galaxies(field, band, **settings)
        found = {band: sources} | {other: detect_galaxies(field, other, **settings) for other in (blue, red)}
        counts += count_rows(name, sources, area, *colors(sources, [found[blue], found[red]]))
        neighbors += neighbor_rows(name, sources, 21.5 if name == "SDSS" else 23.0, options.seed)
        defects += defect_rows(name, field, found, area)
    for name, rows in (("counts", counts), ("neighbors", neighbors), ("defects", defects),
                       ("hsc", hsc_rows(options.data))):
        written(rows, options.out / f"{name}.ecsv")


if __name__ == "__main__":
    main()
