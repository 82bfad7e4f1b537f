"""The whole task without any data: simulate, train, translate and evaluate, in a few minutes on two CPU cores."""

import json
import logging
import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from astro_galtrans._utils.io import check_space, unfinished_folder, whole_folder, write_whole
from astro_galtrans._utils.reprs import changed_fields
from astro_galtrans.evaluation import evaluate
from astro_galtrans.pairs import PairSet
from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.storage import save
from astro_galtrans.training import TrainConfig, fit

__all__ = ["DemoSettings", "run_demo"]

logger = logging.getLogger(__name__)

# Objective, which names the files, and name in the report; the first is the conventional translator.
_TRANSLATORS = {"pixel": "conventional (pixels)", "gradient": "gradient space"}
_SETTINGS_FILE = "settings.json"
_DISK_NEEDED = 1_500_000_000  # bytes; the pairs on disk, two checkpoints and the results


@dataclass(frozen=True, repr=False)
class DemoSettings:
    """Sizes of the demo.

    Parameters
    ----------
    n_training, n_validation, n_test : int, optional
        Simulated galaxies for each purpose.
    input_size : int, optional
        Side of the SDSS cutouts in pixels.
    epochs : int, optional
        Epochs of both translators.
    widths : tuple of int, optional
        Channels of the levels of the U-Net.
    estimator_epochs : int, optional
        Epochs of each redshift estimator.
    n_bootstrap : int, optional
        Resamples for each interval.
    n_fits : int, optional
        Translated galaxies written as FITS cubes.
    """

    n_training: int = 1200
    n_validation: int = 120
    n_test: int = 800
    input_size: int = 32
    epochs: int = 6
    widths: tuple = (16, 32, 64)
    estimator_epochs: int = 20
    n_bootstrap: int = 1000
    n_fits: int = 6

    def __repr__(self):
        return changed_fields(self)

    @classmethod
    def quick(cls):
        """Return sizes that run in seconds and only show that everything works."""
        return cls(n_training=64, n_validation=16, n_test=32, epochs=1, widths=(8, 16), estimator_epochs=1,
                   n_bootstrap=50, n_fits=2)

    @property
    def n_total(self):
        """Number of all simulated galaxies."""
        return self.n_training + self.n_validation + self.n_test


def run_demo(out="galtrans-demo", *, seed=0, device=None, quick=False, settings=None, workers=1, overwrite=False,
             progress=True):
    """Simulate SDSS and CFHTLS pairs, train a U-Net twice, translate held-out galaxies, and evaluate both.

    The conventional training follows the literature: squared error of stretched pixels, with a network that paints the
    whole image. The other one follows log-flux gradients weighted by a normalizing flow; its network adds to the
    resampled input in log flux and has a photometry head. Everything else is the same. An interrupted run is resumed
    by the same call.

    Parameters
    ----------
    out : path-like, optional
        Folder for the results, which appears complete. Results of an earlier demo in it are replaced.
    seed : int, optional
        Seed of all random numbers.
    device : str, optional
        ``"cpu"`` or ``"cuda"``; by default a GPU if there is one.
    quick : bool, optional
        Use ``DemoSettings.quick()``.
    settings : DemoSettings, optional
        Sizes; not together with ``quick``.
    workers : int, optional
        Processes of the simulation, which do not change the results; see `~astro_galtrans.simulation.simulate_pairs`.
    overwrite : bool, optional
        Replace ``out`` even if it does not hold the results of a demo.
    progress : bool, optional
        Show progress bars.

    Returns
    -------
    `pathlib.Path`
        The report, ``out/report.html``. The folder also holds ``pixel.asdf`` and ``gradient.asdf``, the tables as
        ECSV, and some galaxies as FITS cubes.

    Raises
    ------
    FileExistsError
        If ``out`` exists and is not the result of a demo.
    OSError
        If ``out`` cannot be created or the disk has too little space.
    """
    if quick and settings is not None:
        raise ValueError("quick=True and settings cannot be given together")
    settings = settings or (DemoSettings.quick() if quick else DemoSettings())
    out = Path(out)
    _check(out, overwrite)
    with unfinished_folder(out) as folder:
        results = _prepare(folder, {"seed": seed, **asdict(settings)})
        _run(folder, results, settings, seed=seed, device=device, quick=quick, workers=workers, progress=progress)
        with whole_folder(out) as temporary:
            os.replace(results, temporary)
            shutil.rmtree(folder)
    logger.info("the report is %s", out / "report.html")
    return out / "report.html"


def _run(folder, results, settings, *, seed, device, quick, workers, progress):
    """Write the results to a folder in another one, which also holds what only a resumed run needs."""
    started = time.perf_counter()
    pairs = _pairs(folder / "pairs.zarr", settings, seed, workers, progress)
    fractions = [n / settings.n_total for n in (settings.n_training, settings.n_validation, settings.n_test)]
    training, validation, test = pairs.split(fractions, seed=seed)
    translators = {}
    for objective in _TRANSLATORS:
        logger.info("training the U-Net with objective %r", objective)
        config = TrainConfig(
            backbone="unet", objective=objective, epochs=settings.epochs, batch_size=16, seed=seed,
            backbone_options={"widths": list(settings.widths)})
        result = fit(training, config, validation=validation, directory=folder / f"checkpoint-{objective}",
                     resume=True, device=device, progress=progress)
        translators[objective] = result.translator
        save(results / f"{objective}.asdf", result.translator, overwrite=True)

    logger.info("evaluating on %d galaxies that neither network has seen", len(test))
    evaluation = evaluate(
        {name: translators[objective] for objective, name in _TRANSLATORS.items()}, test, training=training, seed=seed,
        device=device, progress=progress, n_bootstrap=settings.n_bootstrap,
        estimator_options={"epochs": settings.estimator_epochs})
    _write_galaxies(results / "galaxies", translators, test, settings.n_fits)
    (results / "tables").mkdir(exist_ok=True)
    for name, table in evaluation.tables.items():
        table.write(results / "tables" / f"{name}.ecsv", format="ascii.ecsv", overwrite=True)
    evaluation.write_report(
        results / "report.html", title="From SDSS to CFHTLS: evaluation of translated galaxies",
        command=f"galtrans demo --seed {seed}{' --quick' if quick else ''}",
        seconds=round(time.perf_counter() - started),
        what_differs="objective, and the output space, residual path and photometry head that come with it; python "
                     "benchmarks/headline separates them",
        simulation=f"{settings.n_total} galaxies of the sample 'bright', seed {seed}",
        training={_TRANSLATORS[objective]: translator.provenance["config"]
                  for objective, translator in translators.items()},
    )


def _check(out, overwrite):
    """Raise an error if the results cannot be written to a folder."""
    if out.exists() and not overwrite and not (out / _SETTINGS_FILE).is_file():
        raise FileExistsError(
            f"{out} exists already and holds no earlier demo; choose another folder, or overwrite=True replaces it")
    out.parent.mkdir(parents=True, exist_ok=True)
    check_space(out.parent.resolve(), _DISK_NEEDED)


def _prepare(folder, run):
    """Return the folder for the results, with those of an interrupted run of the same settings."""
    results, text = folder / "results", json.dumps(run, indent=1)
    marker = results / _SETTINGS_FILE
    if not marker.is_file() or marker.read_text() != text:
        for part in folder.iterdir():
            shutil.rmtree(part)
        results.mkdir()
        write_whole(marker, text.encode())
    return results


def _pairs(path, settings, seed, workers, progress):
    if not path.exists():
        logger.info("simulating %d galaxies as SDSS and CFHTLS see them", settings.n_total)
        simulate_pairs(
            settings.n_total, seed=seed, sample="bright", input_size=settings.input_size, truth=True, workers=workers,
            path=path, progress=progress,
        )
    return PairSet.open(path).select(slice(None))


def _write_galaxies(folder, translators, test, n_galaxies):
    """Write the first test galaxies: input, each translation and target as FITS cubes with WCS."""
    folder.mkdir(exist_ok=True)
    for number in range(min(n_galaxies, len(test))):
        pair = test[number]
        cubes = {"input": pair.input, "target": pair.target}
        cubes |= {objective: translator(pair.input) for objective, translator in translators.items()}
        for key, cube in cubes.items():
            cube.write(folder / f"galaxy-{number:02d}-{key}.fits", overwrite=True)
