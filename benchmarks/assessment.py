"""How well `Translator.assess` recognizes what a translator cannot translate: the numbers of the page on trust.

    python benchmarks/assessment.py --work FOLDER --out benchmarks/results/assessment

A small U-Net is trained on realistic pairs from SDSS to CFHTLS. ``recognition.ecsv`` has a row for each kind of image,
all from held-out bright galaxies on the realistic sky: the area under the ROC curve of the p-value against ordinary
galaxies, the share with a p-value below 0.05, that with any flag, and that with the flag of its kind. ``cost.ecsv`` has
the time for an assessment, which includes a translation, and that for a translation alone.
"""

import argparse
import logging
import time
from dataclasses import replace
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.nddata import InverseVariance
from astropy.table import Table
from astropy.wcs import WCS
from sklearn.metrics import roc_auc_score

from astro_galtrans.images import BandCube
from astro_galtrans.pairs import PairSet
from astro_galtrans.simulation import Sky, get_conditions, simulate_pairs
from astro_galtrans.training import TrainConfig, fit

log = logging.getLogger("assessment")
SEED, SIZE = 8101, 32
BETA = 3.5
SATURATED = 14.0  # mag of a star that saturates in the usual PSF of SDSS


def simulated(options, name, n, seed, **settings):
    """Return pairs, from the folder of an earlier run if it has them."""
    path = options.work / f"{name}-{n}-{seed}.zarr"
    if not path.exists():
        simulate_pairs(n, seed=seed, input_size=SIZE, path=path, **settings)
    return PairSet.open(path)


def sky_wider(factor):
    """Return the realistic sky with PSFs of SDSS that are wider by a factor."""
    conditions = get_conditions("SDSS")
    wider = replace(conditions, psf=replace(conditions.psf, fwhm=tuple(factor * np.array(conditions.psf.fwhm))))
    return Sky(conditions={"SDSS": wider})


def point(fwhm, center, scale):
    """Return Moffat profiles of sum 1 at centers (y, x) in pixels, shape ``(galaxy, band, y, x)``."""
    radius = (np.hypot(fwhm / scale, 0.866) / (2 * np.sqrt(2 ** (1 / BETA) - 1)))[..., None, None]
    y, x = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    distance = [places - center[:, k, None, None, None] for k, places in enumerate((y, x))]
    profile = (1 + (distance[0]**2 + distance[1]**2) / radius**2) ** -BETA
    return profile * (BETA - 1) / (np.pi * radius**2)


def altered(test, other):
    """Yield name of a kind, its flag, flux, weight and FWHM of the images of that kind."""
    rng, survey = np.random.default_rng(SEED), test.input_survey
    scale = survey.pixel_scale.to_value(u.arcsec)
    given = test.read()
    flux, weight, truth = given["input_flux"], given["input_weight"], other.read()["input_truth"]
    fwhm, n, n_bands = test.psf_fwhm("input"), len(flux), len(survey)
    yield "ordinary", "", flux, weight, fwhm

    y, x = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    noise = 1 / np.sqrt(np.nanmedian(np.where(weight > 0, weight, np.nan), axis=(2, 3)))[..., None, None]
    white = noise * rng.standard_normal(flux.shape)
    flat = np.broadcast_to(noise**-2.0, flux.shape)
    total = np.maximum((flux * (np.hypot(y, x) < 10)).sum((2, 3)), 0)
    stars = point(fwhm, rng.uniform(-0.5, 0.5, (n, 2)), scale)
    yield "star", "star", total[..., None, None] * stars + white, flat, fwhm

    zero = np.array([band.zero_point for band in survey])
    usual = np.array([band.psf_fwhm.to_value(u.arcsec) for band in survey])
    full = 10 ** (-0.4 * (SATURATED - zero)) * scale**2 * 4 * np.log(2) / (np.pi * usual**2)
    bright = 10 ** (-0.4 * (rng.uniform(10, 12.5, (n, 1)) - zero))[..., None, None] * stars
    yield "saturated core", "saturated core", np.minimum(bright, full[:, None, None]) + white, flat, fwhm

    blends = flux.copy()
    for k in range(n):
        own = max(flux[k, 2][np.hypot(y, x) < 8].sum(), 0)
        neighbor = truth[k] * rng.uniform(0.3, 1) * own / max(truth[k, 2][np.hypot(y, x) < 8].sum(), 1e-6)
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(2, 4) / scale
        shift = np.round(distance * np.array([np.sin(angle), np.cos(angle)])).astype(int)
        blends[k] += np.roll(neighbor, shift, (1, 2))
    yield "blend", "blend", np.where(weight > 0, blends, 0), weight, fwhm

    trails = flux.copy()
    for k in range(n):
        angle, offset = rng.uniform(0, np.pi), rng.uniform(-0.3, 0.3) * SIZE
        across, band = x * np.cos(angle) + y * np.sin(angle) - offset, rng.integers(n_bands)
        level = noise[k, band] * np.exp(rng.uniform(np.log(3), np.log(30)))
        trails[k, band] += level * np.exp(-0.5 * (across * scale / (1.5 * rng.uniform(0.4, 1.2)))**2)
    yield "trail", "trail", np.where(weight > 0, trails, 0), weight, fwhm

    color = "bands shuffled or zero point off"
    orders = np.array([rng.permutation(n_bands) for _ in range(n)])
    same = (orders == np.arange(n_bands)).all(1)
    orders[same] = orders[same, ::-1]
    shuffled = [np.take_along_axis(part, orders[..., None, None], 1) for part in (flux, weight)]
    yield "bands shuffled", color, *shuffled, np.take_along_axis(fwhm, orders, 1)
    factor = np.ones((n, n_bands, 1, 1))
    factor[np.arange(n), rng.integers(n_bands, size=n)] = 10.0 ** rng.choice((-1, 1), n)[:, None, None]
    yield "zero point of a band off by 2.5 mag", color, flux * factor, weight / factor**2, fwhm
    factor = 10.0 ** rng.choice((-1, 1), n)[:, None, None, None]
    yield ("zero point of all bands off by 2.5 mag", "magnitude outside training range", flux * factor,
           weight / factor**2, fwhm)
    yield ("3 times the noise", "noise outside training range", np.where(weight > 0, flux + np.sqrt(8) * white, 0),
           weight / 9, fwhm)


def cubes(flux, weight, survey):
    """Return images with their noise and mask."""
    wcs = WCS(naxis=2)
    scale = survey.pixel_scale.to_value(u.deg)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.cdelt = ("RA---TAN", "DEC--TAN"), (150, 2), (-scale, scale)
    wcs.wcs.crpix = ((SIZE + 1) / 2,) * 2
    return [BandCube(one.astype(np.float32), unit=survey.unit, wcs=wcs, bands=survey.band_names, survey=survey,
                     mask=own == 0, uncertainty=InverseVariance(np.where(own > 0, own, 1))) for one, own in
            zip(flux, weight)]


def recognition(translator, options):
    """Return a table of the kinds of images, and the images of ordinary galaxies."""
    test = simulated(options, "test", options.n_test, SEED + 2)
    other = simulated(options, "neighbors", options.n_test, SEED + 3, truth=True)
    wide = simulated(options, "wide", options.n_test, SEED + 4, sky=sky_wider(1.6))
    kinds = list(altered(test, other))
    seen, flag = wide.read(), "PSF outside training range"
    images = seen["input_flux"], seen["input_weight"]
    kinds.append(("PSF 1.6 times as wide", flag, *images, wide.psf_fwhm("input")))
    kinds.append(("PSF 1.6 times as wide, unknown", flag, *images, np.full_like(wide.psf_fwhm("input"), np.nan)))
    rows, ordinary = [], None
    for kind, flag, flux, weight, fwhm in kinds:
        assessed = translator.assess(cubes(flux, weight, translator.input_survey), psf_fwhm=fwhm)
        p_value = np.array([one.p_value for one in assessed])
        ordinary = p_value if ordinary is None else ordinary
        auc = np.nan if kind == "ordinary" else roc_auc_score(
            np.repeat([0, 1], [len(ordinary), len(p_value)]), -np.concatenate([ordinary, p_value]))
        flagged = [np.mean([bool(one.flags) for one in assessed]), np.mean([flag in one.flags for one in assessed])]
        rows.append((kind, len(p_value), auc, np.mean(p_value < 0.05), np.mean(p_value < 0.01), *flagged,
                     np.median([one.chi2 for one in assessed])))
    names = ("kind", "n", "auc", "below_005", "below_001", "any_flag", "own_flag", "median_chi2")
    table = Table(rows=rows, names=names)
    for name in names[2:]:
        table[name].info.format = ".3f"
    return table, cubes(*kinds[0][2:4], translator.input_survey)


def cost(translator, images):
    """Return a table of the seconds for a galaxy, the smallest of five runs."""
    seconds = {"translation": [], "assessment": []}
    for _ in range(5):
        for name, call in (("translation", translator), ("assessment", translator.assess)):
            started = time.perf_counter()
            call(images[:64])
            seconds[name].append((time.perf_counter() - started) / 64)
    least = {name: min(times) for name, times in seconds.items()}
    return Table({"translation": [least["translation"]], "assessment": [least["assessment"]],
                  "extra": [least["assessment"] / least["translation"] - 1]})


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the simulated pairs and checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--n", type=int, default=1600)
    parser.add_argument("--n-validation", type=int, default=500)
    parser.add_argument("--n-test", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--widths", type=int, nargs="+", default=[8, 16, 32])
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options.work.mkdir(parents=True, exist_ok=True)
    options.out.mkdir(parents=True, exist_ok=True)
    training = simulated(options, "training", options.n, SEED)
    validation = simulated(options, "validation", options.n_validation, SEED + 1)
    config = TrainConfig(epochs=options.epochs, seed=0, backbone_options={"widths": options.widths})
    result = fit(training, config, validation=validation, directory=options.work / f"checkpoint-{config.hash[:12]}",
                 resume=True)
    log.info("trained in %.0f s", result.seconds)
    result.translator.write(options.work / "translator.asdf", overwrite=True)
    table, images = recognition(result.translator, options)
    command = (f"benchmarks/assessment.py --n {options.n} --n-validation {options.n_validation} "
               f"--n-test {options.n_test} --epochs {options.epochs} --widths {' '.join(map(str, options.widths))}")
    for name, one in (("recognition", table), ("cost", cost(result.translator, images))):
        one.meta = {"command": command}
        one.write(options.out / f"{name}.ecsv", format="ascii.ecsv", overwrite=True)
        one.pprint_all()


if __name__ == "__main__":
    main()
