"""Effect of PSF and noise as inputs of a translator: the numbers of the page on translation.

    python benchmarks/observing.py --work FOLDER --out observing.ecsv

Two U-Nets are trained on the same realistic pairs from SDSS to CFHTLS, one with the observing conditions as inputs and
one without. ``flux``: bright galaxies through PSFs of SDSS of 0.85, 1 and 1.15 times the median FWHM in all bands: the
flux within 1 arcsec of the translation relative to that of the noiseless target image, which has the median PSF, in
mag. ``star``: stars of 17 to 19 mag alone on the sky: the FWHM, without the pixel, of their translation for each FWHM
wanted. Each row has the median, its standard error, and the robust scatter.
"""

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.modeling.models import Moffat2D
from astropy.table import Table, vstack

from astro_galtrans.gradients import aperture_weights, radial_fluxes
from astro_galtrans.images import psf_fwhm
from astro_galtrans.pairs import PairSet
from astro_galtrans.simulation import Sky, get_conditions, simulate_pairs
from astro_galtrans.training import TrainConfig, fit

log = logging.getLogger("observing")
FACTORS = (0.85, 1.0, 1.15)
WANTED = (0.6, 0.7, 0.8, 0.9)  # arcsec
RADIUS = 1 * u.arcsec
SEED = 7101
SIZE = 32
FINE = 11  # places a pixel


def simulated(options, name, n, seed, **settings):
    """Return pairs, from the folder of an earlier run if it has them."""
    path = options.work / f"{name}-{n}-{seed}.zarr"
    if not path.exists():
        simulate_pairs(n, seed=seed, input_size=SIZE, path=path, progress=options.progress, **settings)
    return PairSet.open(path)


def seen_through(factor):
    """Return the realistic sky with PSFs that do not vary, those of SDSS wider by a factor than its median."""
    conditions = get_conditions("SDSS")
    wider = replace(conditions, psf=replace(conditions.psf, fwhm=tuple(factor * np.array(conditions.psf.fwhm))))
    return Sky(psf=None, calibration=None, conditions={"SDSS": wider})


def trained(options, observing):
    training = simulated(options, "training", options.n, SEED)[:options.n_used]
    config = TrainConfig(epochs=options.epochs, seed=options.seed, observing=observing,
                         backbone_options={"widths": options.widths})
    path = options.work / f"checkpoint-{config.hash[:12]}-{len(training)}"
    result = fit(training, config, directory=path, resume=True, progress=options.progress)
    log.info("observing=%s: trained in %.0f s", observing, result.seconds)
    return result.translator


def aperture(flux, survey):
    return radial_fluxes(flux, aperture_weights(flux.shape[-2:], RADIUS, survey.pixel_scale)[np.newaxis])[..., 0]


def spread(values):
    """Return the number of finite values, their median, its standard error, and their robust scatter."""
    values = values[np.isfinite(values)]
    scatter = 1.4826 * np.median(np.abs(values - np.median(values)))
    return len(values), np.median(values), 1.2533 * scatter / np.sqrt(len(values)), scatter


def flux_rows(translators, options):
    """Return a row for each PSF of the input, translator and band."""
    rows = []
    for factor in FACTORS:
        test = simulated(options, f"psf-{factor:g}", options.n_test, SEED + 1, sky=seen_through(factor), truth=True)
        given, survey = test.read(), test.target_survey
        true = aperture(given["target_truth"], survey)
        known = translators["with"].known_fwhms(test)
        cases = [("known", translators["with"], known),
                 ("unknown", translators["with"], known | {"psf_fwhm": np.nan})]
        if "without" in translators:
            cases.append(("without", translators["without"], {}))
        for label, translator, keywords in cases:
            made = translator.translate_array(given["input_flux"], weight=given["input_weight"], **keywords)
            found = aperture(np.nan_to_num(made), survey)
            with np.errstate(invalid="ignore", divide="ignore"):
                error = -2.5 * np.log10(found / true)
            rows += [("flux", label, band, factor, *spread(error[:, k])) for k, band in enumerate(survey.band_names)]
    return rows


def moffat(fwhm, scale):
    """Return the image of a round Moffat PSF of exponent 3.5, pixel included, of sum 1."""
    radius = 0.5 * fwhm / scale / np.sqrt(2 ** (1 / 3.5) - 1)
    edge = 0.5 * (SIZE - 1)
    model = Moffat2D(1, 0, 0, radius, 3.5)
    places = np.arange(SIZE * FINE) / FINE - edge + 0.5 / FINE - 0.5
    image = model(*np.meshgrid(places, places)).reshape(SIZE, FINE, SIZE, FINE).mean((1, 3))
    return image / image.sum()


def stars(survey, fwhm, n, seed):
    """Return images of single stars on white noise, centered to half a pixel, and their weights."""
    rng, scale = np.random.default_rng(seed), survey.pixel_scale.to_value(u.arcsec)
    zero_point = np.array([band.zero_point for band in survey])
    flux = 10 ** (0.4 * (zero_point - rng.uniform(17, 19, (n, 1))))
    psf = np.stack([moffat(width, scale) for width in fwhm])
    noise = survey.sky_noise[:, None, None]
    images = flux[..., None, None] * psf + noise * rng.standard_normal((n, len(survey), SIZE, SIZE))
    return images.astype(np.float32), np.broadcast_to(noise**-2.0, images.shape).astype(np.float32)


def star_rows(translator, options):
    """Return a row for each FWHM wanted and band."""
    source, target, rows = translator.input_survey, translator.target_survey, []
    scale = target.pixel_scale.to_value(u.arcsec)
    fwhm = [median for _, median, _ in translator.network.config.observing["psf_fwhm"]]
    flux, weight = stars(source, fwhm, options.n_stars, 3)
    for wanted in WANTED:
        made = translator.translate_array(flux, weight=weight, psf_fwhm=fwhm, target_psf_fwhm=wanted)
        widths = psf_fwhm(made, scale)
        rows += [("star", "known", band, wanted, *spread(widths[:, k])) for k, band in enumerate(target.band_names)]
    return rows


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the simulated pairs and checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="table to write")
    parser.add_argument("--n", type=int, default=3200)
    parser.add_argument("--n-used", type=int, help="of the pairs, the first of which train (default: all)")
    parser.add_argument("--inputs", nargs="+", choices=("with", "without"), default=("with", "without"))
    parser.add_argument("--n-test", type=int, default=300)
    parser.add_argument("--n-stars", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--widths", type=int, nargs="+", default=[12, 24, 48])
    parser.add_argument("--progress", action="store_true")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options.work.mkdir(parents=True, exist_ok=True)
    translators = {kind: trained(options, kind == "with") for kind in options.inputs}
    names = ("kind", "inputs", "band", "fwhm", "n", "value", "error", "scatter")
    table = vstack([Table(rows=rows, names=names) for rows in (
        flux_rows(translators, options), star_rows(translators["with"], options))])
    table.meta = {"command": f"benchmarks/observing.py --n {options.n} --n-used {options.n_used} "
                             f"--n-test {options.n_test} --n-stars {options.n_stars} "
                             f"--epochs {options.epochs} --seed {options.seed} "
                             f"--widths {' '.join(map(str, options.widths))} --inputs {' '.join(options.inputs)}"}
    table.write(options.out, format="ascii.ecsv", overwrite=True)
    table.pprint_all()


if __name__ == "__main__":
    main()
