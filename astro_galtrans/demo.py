"""The main job from nothing to a judged translation, in one run of a few minutes on two CPU cores."""

import json
import logging
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from astro_galtrans._utils.io import put_folder
from astro_galtrans._utils.reprs import changed_fields
from astro_galtrans.evaluation import evaluate
from astro_galtrans.pairs import PairSet
from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.storage import save
from astro_galtrans.training import TrainConfig, fit

__all__ = ["DemoSettings", "run_demo"]

logger = logging.getLogger(__name__)

CONVENTIONAL, OURS = "conventional (pixels)", "gradient space"
_SETTINGS_FILE = "settings.json"
_DISK_NEEDED = 1_500_000_000  # bytes; the pairs on disk, two checkpoints and the results


@dataclass(frozen=True, repr=False)
class DemoSettings:
    """Sizes of the demo; everything else is as in `run_demo`.

    Parameters
    ----------
    n_training, n_validation, n_test : int, optional
        Simulated galaxies for each purpose.
    input_size : int, optional
        Side of the SDSS cutouts in pixels.
    epochs : int, optional
        Of both translators.
    widths : tuple of int, optional
        Channels of the levels of the U-Net.
    estimator_epochs : int, optional
        Of each redshift estimator.
    n_bootstrap : int, optional
        Resamples behind each interval.
    n_fits : int, optional
        Translated galaxies written as FITS cubes.
    """

    n_training: int = 2000
    n_validation: int = 200
    n_test: int = 1000
    input_size: int = 32
    epochs: int = 8
    widths: tuple = (16, 32, 64)
    estimator_epochs: int = 20
    n_bootstrap: int = 1000
    n_fits: int = 6

    def __repr__(self):
        return changed_fields(self)

    @classmethod
    def quick(cls):
        """Sizes that run in seconds and show no more than that everything works."""
        return cls(n_training=64, n_validation=16, n_test=32, epochs=1, widths=(8, 16), estimator_epochs=1,
                   n_bootstrap=50, n_fits=2)

    @property
    def n_total(self):
        """All simulated galaxies."""
        return self.n_training + self.n_validation + self.n_test


def run_demo(out="galtrans-demo", *, seed=0, device=None, quick=False, settings=None, overwrite=False, progress=True):
    """Simulate SDSS to CFHTLS pairs, train a U-Net twice, translate held-out galaxies, and judge both.

    The conventional training is that of the literature: squared error of stretched pixels, of a network that paints the
    whole image. The other one follows log-flux gradients weighted by a normalizing flow, and its network adds to the
    resampled input in log flux and reads aperture fluxes off the input. Everything else is the same. An interrupted run
    that is started again goes on where it was.

    Parameters
    ----------
    out : path-like, optional
        Folder for the results; made whole at the end. The results of an earlier demo in it are replaced.
    seed : int, optional
        Of every random draw.
    device : str, optional
        ``"cpu"`` or ``"cuda"``; by default a GPU if there is one.
    quick : bool, optional
        Use ``DemoSettings.quick()``.
    settings : DemoSettings, optional
        Sizes; not together with ``quick``.
    overwrite : bool, optional
        Replace ``out`` even if it is something else than the results of a demo.
    progress : bool, optional
        Show progress bars.

    Returns
    -------
    `pathlib.Path`
        The report, ``out/report.html``. Beside it lie ``pixel.asdf`` and ``gradient.asdf``, the tables as ECSV, and
        some galaxies as FITS cubes.

    Raises
    ------
    FileExistsError
        If ``out`` exists and is not the result of a demo.
    OSError
        If ``out`` cannot be made or there is too little room.
    """
    if quick and settings is not None:
        raise ValueError("quick=True and settings cannot be given together")
    settings = settings or (DemoSettings.quick() if quick else DemoSettings())
    out = Path(out)
    staging = _prepare(out, {"seed": seed, **settings.__dict__}, overwrite)
    started = time.perf_counter()
    pairs = _pairs(staging / "pairs.zarr", settings, seed, progress)
    fractions = [n / settings.n_total for n in (settings.n_training, settings.n_validation, settings.n_test)]
    training, validation, test = pairs.split(fractions, seed=seed)
    translators = {
        name: _train(objective, training, validation, settings, seed, device, staging, progress)
        for name, objective in ((CONVENTIONAL, "pixel"), (OURS, "gradient"))
    }
    logger.info("judging on %d galaxies that neither network has seen", len(test))
    evaluation = evaluate(
        translators, test, training=training, n_bootstrap=settings.n_bootstrap, seed=seed, device=device,
        estimator_options={"epochs": settings.estimator_epochs}, progress=progress,
    )
    _write_galaxies(staging / "galaxies", translators, test, settings.n_fits)
    for name, table in evaluation.tables.items():
        (staging / "tables").mkdir(exist_ok=True)
        table.write(staging / "tables" / f"{name}.ecsv", format="ascii.ecsv", overwrite=True)
    evaluation.write_report(
        staging / "report.html", title="From SDSS to CFHTLS: translated galaxies, judged",
        command=f"galtrans demo --seed {seed}{' --quick' if quick else ''}",
        seconds=round(time.perf_counter() - started),
        what_differs="objective, and the residual path and photometry head that come with it; python "
                     "benchmarks/headline separates them",
        simulation=f"{settings.n_total} galaxies of the sample 'bright', seed {seed}",
        training={name: translator.provenance["config"] for name, translator in translators.items()},
    )
    _finish(staging, out)
    logger.info("the report is %s", out / "report.html")
    return out / "report.html"


def _prepare(out, run, overwrite):
    """The folder in which the results grow, with what an interrupted run of the same settings left in it."""
    if out.exists() and not overwrite and not (out / _SETTINGS_FILE).is_file():
        raise FileExistsError(
            f"{out} exists already and holds no earlier demo; choose another folder, or overwrite=True replaces it")
    staging = out.parent / f".{out.name}.partial"
    out.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out.parent).free
    if free < _DISK_NEEDED:
        raise OSError(
            f"the demo needs {_DISK_NEEDED / 1e9:.1f} GB in {out.parent.resolve()}, {free / 1e9:.1f} GB are free")
    text = json.dumps(run, indent=1)
    marker = staging / _SETTINGS_FILE
    if staging.exists() and (not marker.is_file() or marker.read_text() != text):
        shutil.rmtree(staging)
    if not staging.exists():
        staging.mkdir()
        marker.write_text(text)
    return staging


def _finish(staging, out):
    """Drop what only a resumed run needs, and put the results where they belong."""
    for name in ("pairs.zarr", "checkpoint-pixel", "checkpoint-gradient"):
        shutil.rmtree(staging / name, ignore_errors=True)
    put_folder(staging, out)


def _pairs(path, settings, seed, progress):
    if not path.exists():
        logger.info("simulating %d galaxies as SDSS and CFHTLS see them", settings.n_total)
        simulate_pairs(
            settings.n_total, seed=seed, sample="bright", input_size=settings.input_size, truth=True, path=path,
            progress=progress,
        )
    return PairSet.open(path).select(slice(None))


def _train(objective, training, validation, settings, seed, device, staging, progress):
    logger.info("training the U-Net with objective %r", objective)
    config = TrainConfig(
        backbone="unet", objective=objective, epochs=settings.epochs, batch_size=16, seed=seed,
        backbone_options={"widths": list(settings.widths)},
    )
    result = fit(
        training, config, validation=validation, directory=staging / f"checkpoint-{objective}", resume=True,
        device=device, progress=progress,
    )
    save(staging / f"{objective}.asdf", result.translator, overwrite=True)
    return result.translator


def _write_galaxies(folder, translators, test, n_galaxies):
    """The first test galaxies: input, each translation and real target as FITS cubes with WCS."""
    folder.mkdir(exist_ok=True)
    for number in range(min(n_galaxies, len(test))):
        pair = test[number]
        redshift = pair.redshift
        cubes = {"input": pair.input, "target": pair.target}
        for key, translator in translators.items():
            options = {"redshift": redshift} if translator.conditioning else {}
            cubes["pixel" if key == CONVENTIONAL else "gradient"] = translator(pair.input, **options)
        for key, cube in cubes.items():
            cube.write(folder / f"galaxy-{number:02d}-{key}.fits", overwrite=True)
