"""Train, evaluate and write the translator that comes with the package, with its model card.

    python benchmarks/ship_translator.py --out astro_galtrans/data/sdss-to-cfhtls.asdf --work ship

Galaxies have flat counts from bright to faint, so that no magnitude is rare: translations of galaxies fainter than the
training set are too faint. The model card is written next to the file, as reStructuredText, and into
``translator.provenance["card"]``. Results in the folder of ``--work`` are reused, and an interrupted training resumes.
``--quick`` makes a stand-in in about two minutes, without useful accuracy.
"""

import argparse
import logging
import os
import tempfile
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from ship_card import image_rows, redshift_rows, unusual_rows, write_card  # noqa: E402

from astro_galtrans.pairs import PairSet  # noqa: E402
from astro_galtrans.simulation import GalaxyPopulation, simulate_pairs  # noqa: E402
from astro_galtrans.storage import save  # noqa: E402
from astro_galtrans.surveys import Survey, get_survey  # noqa: E402
from astro_galtrans.training import TrainConfig, fit  # noqa: E402

log = logging.getLogger("ship_translator")
NAME = "sdss-to-cfhtls"
# Half a magnitude fainter than what is found in a field by default, so that the faintest of it is not at the edge.
POPULATION = GalaxyPopulation("flat", (14.5, 21.0), (0.01, 0.9), counts_slope=0.2)
FAINTER = replace(POPULATION, name="fainter", magnitude_range=(21.0, 22.0))
EDGES = (14.5, 16.5, 17.5, 18.5, 19.5, 20.5, 21.0)
FAINTEST = 20.5  # of the galaxies that are shown in unusual images
# 6.7 arcsec, a whole number of pixels of either survey.
NEIGHBOR = {"input": 17, "target": 36}
LARGEST = 5_000_000  # bytes
QUICK = {"n": 2000, "epochs": 3, "n_test": 200, "judge_epochs": 0}


def simulated(options, population, n, size, seed, survey=None, name=""):
    """Return pairs of a population. Galaxies of one seed are the same in any survey and on stamps of any size."""
    path = options.work / f"{population.name}{name}-{seed}-{n}-{size}.zarr"
    if not path.exists():
        simulate_pairs(n, input_survey=survey or "SDSS", seed=seed, sample=population, input_size=size, truth=True,
                       path=path, progress=options.progress, galaxies="templates", sky="plain")
    return PairSet.open(path)


def changed_survey(**factors):
    """Return SDSS with values of its bands multiplied by factors."""
    survey = get_survey("SDSS")
    bands = [replace(band, **{name: getattr(band, name) * factor for name, factor in factors.items()})
             for band in survey]
    return Survey(survey.name, bands, survey.pixel_scale, survey.unit, survey.description)


def with_neighbors(pairs):
    """Return pairs with the noiseless next galaxy of the set added next to each galaxy."""
    images = pairs.read(images=("input_flux", "input_weight", "input_truth", "target_flux", "target_truth"))
    for side, shift in NEIGHBOR.items():
        other = np.roll(images[f"{side}_truth"], (1, shift), axis=(0, -1))
        for kind in ("flux", "truth"):
            images[f"{side}_{kind}"] = images[f"{side}_{kind}"] + other
    return PairSet.from_arrays(
        images["input_flux"], images["target_flux"], input_survey=pairs.input_survey, ids=pairs.ids,
        target_survey=pairs.target_survey, input_weight=images["input_weight"], target_truth=images["target_truth"],
        catalog=pairs.catalog)


def gaps(survey, size):
    """Return the pixels without data, shape ``(band, y, x)``, for each kind of gap."""
    y, x = (np.indices((size, size)) - 0.5 * (size - 1)) * survey.pixel_scale.to_value("arcsec")
    r = survey.band_names.index("r")
    found = {}
    for label, lost in ((f"no {band}", band) for band in survey.band_names):
        found[label] = np.zeros((len(survey), size, size), dtype=bool)
        found[label][survey.band_names.index(lost)] = True
    for label, inside in (("no r < 1.5 arcsec", np.hypot(y, x) < 1.5),
                          ("half of r", x > 0),
                          ("trail in r", np.abs(x + 0.5 * y - 3.35) < 1.12)):
        found[label] = np.zeros((len(survey), size, size), dtype=bool)
        found[label][r] = inside
    return found


def unusual(options, n, seed):
    """Return the same galaxies in usual and unusual images, by label."""
    usual = simulated(options, POPULATION, n, 64, seed)
    tests = {"64 x 64 pixels": usual}
    tests |= {f"{size} x {size} pixels": simulated(options, POPULATION, n, size, seed) for size in (32, 48, 96)}
    for label, factors in (("PSF 15 % narrower", {"psf_fwhm": 0.85}), ("PSF 15 % wider", {"psf_fwhm": 1.15}),
                           ("twice the sky noise", {"sky_noise": 2.0})):
        name = "".join(f"-{name}-{factor}" for name, factor in factors.items())
        tests[label] = simulated(options, POPULATION, n, 64, seed, changed_survey(**factors), name)
    aside = replace(POPULATION, name="aside", offset=1.5)
    tests["up to 1.5 arcsec off center"] = simulated(options, aside, n, 64, seed)
    tests["neighbor at 6.7 arcsec"] = with_neighbors(usual)
    tests = {label: (pairs, None) for label, pairs in tests.items()}
    return tests | {label: (usual, lost) for label, lost in gaps(usual.input_survey, 64).items()}


def train(options, training, validation):
    """Return the translator, with its training data in the provenance."""
    config = TrainConfig(
        backbone="unet", objective="gradient", epochs=options.epochs, batch_size=options.batch_size, seed=options.seed,
        precision=options.precision, input_dropout=options.input_dropout, backbone_options={"widths": options.widths})
    result = fit(training, config, validation=validation, directory=options.work / f"checkpoint-{config.hash[:12]}",
                 resume=True, device=options.device, name=NAME, progress=options.progress)
    log.info("trained in %.0f s, best epoch %d of %d", result.seconds, result.best_epoch + 1, config.epochs)
    result.translator.provenance.update(command=options.command, simulation=training.catalog.meta["simulation"])
    return result.translator


def size_of_file(translator, folder):
    """Return the size of the file in bytes; raise an error if it is too large to ship."""
    with tempfile.TemporaryDirectory(dir=folder) as trial:
        path = Path(trial) / "trial.asdf"
        save(path, translator)
        size = path.stat().st_size
    if size > LARGEST:
        raise ValueError(f"the file would have {size:,} bytes, more than {LARGEST:,}; choose smaller --widths")
    return size


def make(options):
    """Simulate, train, evaluate and write."""
    pairs = simulated(options, POPULATION, options.n, options.size, options.seed)
    share = min(0.1, 1000 / len(pairs))
    training, validation = pairs.split((1 - share, share), seed=options.seed)
    translator = train(options, training, validation)
    seed = options.seed + 1  # other galaxies than those of the training
    test = simulated(options, POPULATION, options.n_test, 64, seed)
    fainter = simulated(options, FAINTER, options.n_test // 4, 64, seed)
    size = size_of_file(translator, options.work)
    rows = {"images": (image_rows(translator, test, EDGES)
                       + image_rows(translator, fainter, FAINTER.magnitude_range)),
            "faintest": FAINTEST, "redshifts": []}
    rows["unusual"], rows["uncertainty"] = unusual_rows(
        translator, unusual(options, options.n_test // 4, seed), FAINTEST)
    if options.judge_epochs:
        same = simulated(options, POPULATION, options.n_test, options.size, seed)
        rows["redshifts"] = redshift_rows(translator, training, same, EDGES, epochs=options.judge_epochs,
                                          seed=options.seed, progress=options.progress)
    card = write_card(translator, training, test, POPULATION, rows, size, options.command, options.quick)
    translator.provenance["card"] = card
    save(options.out, translator, overwrite=True)
    beside = options.out.with_suffix(".rst")
    part = beside.with_suffix(".part")
    part.write_text(card, encoding="utf-8")
    os.replace(part, beside)
    log.info(card)


def parsed():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="ASDF file to write or replace, the card beside it")
    parser.add_argument("--n", type=int, default=20_000, help="galaxies, those that choose the epoch included")
    parser.add_argument("--size", type=int, default=32, help="side of the training stamps in SDSS pixels")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32, 64], help="of the U-Net")
    parser.add_argument("--input-dropout", type=float, default=0.25,
                        help="share of the galaxies that lose bands or regions in each step")
    parser.add_argument("--precision", default="32", help="of the training: 32, bf16 or 16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n-test", type=int, default=4000)
    parser.add_argument("--judge-epochs", type=int, default=20, help="of the redshift networks; 0 for no redshifts")
    parser.add_argument("--quick", action="store_true", help=f"a stand-in, as with {QUICK}")
    here = parser.add_argument_group("where and how it runs")
    here.add_argument("--work", type=Path, help="folder that keeps pairs and checkpoints (default: a temporary one)")
    here.add_argument("--threads", type=int, default=1)
    here.add_argument("--device", help="cpu or cuda")
    here.add_argument("--quiet", dest="progress", action="store_false")
    options = parser.parse_args()
    options.command = _command(parser, options, {"work", "threads", "progress"})
    if options.quick:
        vars(options).update(QUICK)
    return options


def _command(parser, options, left_out):
    """The command that does the same again, whatever the folder."""
    words = ["python benchmarks/ship_translator.py"]
    for name, value in vars(options).items():
        if value != parser.get_default(name) and name not in left_out:
            values = value if isinstance(value, list) else [] if value is True else [value]
            values = [item.name if isinstance(item, Path) else item for item in values]
            words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return " ".join(words)


def main():
    options = parsed()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(options.threads)
    if options.work is not None:
        options.work.mkdir(parents=True, exist_ok=True)
        make(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        options.work = Path(folder)
        make(options)


if __name__ == "__main__":
    main()
