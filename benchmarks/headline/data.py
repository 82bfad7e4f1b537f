"""The galaxies and the reference redshift estimators of a sample, created once and stored in its folder."""

import json
import logging
import os
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from astro_galtrans.pairs import PairSet
from astro_galtrans.photoz import fit_redshift_estimator
from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.storage import load, save
from astro_galtrans.surveys import get_survey, matching_size

from headline.plan import SEEDS, SKIES

__all__ = ["REFERENCE_ESTIMATORS", "SampleData", "check_space", "locked", "prepare_sample", "retrained_estimator",
           "write_bytes", "write_text"]

log = logging.getLogger(__name__)

# File name to the side of the pairs that an estimator is trained on and the settings of the training.
REFERENCE_ESTIMATORS = {"estimator-target": ("target", "estimator"), "estimator-input": ("input", "estimator"),
                        "retrained-target": ("target", "retrained"), "retrained-input": ("input", "retrained")}
_SEED = 0
_N_BANDS, _N_SPECTRUM = 5, 1024


@dataclass(frozen=True)
class SampleData:
    """The data of a sample.

    Parameters
    ----------
    training, validation, retraining, test : PairSet
        On disk. The test galaxies are in no other part.
    estimators : dict of str to RedshiftEstimator
        Keys are those of `REFERENCE_ESTIMATORS`.
    """

    training: PairSet
    validation: PairSet
    retraining: PairSet
    test: PairSet
    estimators: dict


@contextmanager
def locked(path, *, wait=True):
    """Hold a lock file, which the system releases when the process ends.

    Yields
    ------
    bool
        Whether the lock is held; False only without ``wait``.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not wait:
            yield False
            return
        log.info("waiting for another process that holds %s", path)
        lock.acquire(poll_interval=0.5)
    try:
        yield True
    finally:
        lock.release()


def write_text(path, text):
    """Write a text file that appears complete or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path, content):
    """Write a file that appears complete or not at all."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _pixels(scale):
    surveys = [get_survey(name) for name in ("SDSS", "CFHTLS")]
    target = matching_size(scale.input_size, *(survey.pixel_scale for survey in surveys))
    return scale.input_size**2, target**2


def check_space(out, scale, samples):
    """Raise OSError if the missing pairs of the samples would not fit on the disk."""
    sides = sum(_pixels(scale)) * _N_BANDS * 4
    sizes = {"pairs.zarr": (scale.n_estimator + scale.n_estimator_validation) * (2 * sides + 8 * _N_SPECTRUM),
             "test.zarr": scale.n_test * (3 * sides + 8 * _N_SPECTRUM)}
    needed = sum(size for sample in samples for name, size in sizes.items() if not (out / sample / name).exists())
    free = shutil.disk_usage(out).free
    if needed > free:
        raise OSError(f"out: the pairs need up to {needed / 1e9:.1f} GB, {out} has {free / 1e9:.1f} GB free")


def prepare_sample(folder, sample, scale, *, device=None, workers=1, progress=False):
    """Simulate a sample and train its reference estimators, unless they exist.

    Parameters
    ----------
    folder : `pathlib.Path`
        Folder of the sample, created if needed. The function waits for another process that prepares the same folder.
    sample : str
    scale : BenchmarkScale
    device : str, optional
    workers : int, optional
        Number of processes of the simulation.
    progress : bool, optional

    Returns
    -------
    SampleData
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".prepare.lock"):
        for left in [*folder.glob(".*.partial")]:  # left by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        options = {"workers": workers, "progress": progress}
        n = scale.n_estimator + scale.n_estimator_validation
        pairs = _pairs(folder / "pairs.zarr", n, SEEDS[sample][0], sample, scale, options)
        test = _pairs(folder / "test.zarr", scale.n_test, SEEDS[sample][1], sample, scale, options | {"truth": True})
        estimators = {name: _reference_estimator(folder / "estimators", name, pairs, scale, device, progress)
                      for name in REFERENCE_ESTIMATORS}
    return _divided(pairs, test, estimators, scale)


def _divided(pairs, test, estimators, scale):
    # Galaxies are drawn independently, so consecutive ones are a random part.
    training, n_training = slice(0, scale.n_training), scale.n_training
    return SampleData(pairs.select(training), pairs.select(slice(n_training, scale.n_pairs)),
                      pairs.select(slice(0, min(scale.n_retraining, n_training))), test, estimators)


def _pairs(path, n, seed, sample, scale, options):
    if path.exists():
        pairs = PairSet.open(path)
        about = pairs.catalog.meta["simulation"]
        found = (len(pairs), pairs.input_flux.shape[-1], about["seed"], about["population"]["name"],
                 about.get("galaxies", "templates"))
        wanted = n, scale.input_size, seed, sample, SKIES[scale.sky]["galaxies"]
        if found != wanted:
            raise ValueError(f"out holds other pairs at {path}: number, pixels, seed, sample and kind of galaxies are "
                             f"{found}, not {wanted}")
        return pairs
    started = time.perf_counter()
    pairs = simulate_pairs(n, seed=seed, sample=sample, input_size=scale.input_size, spectra=True, path=path,
                           **SKIES[scale.sky], **options)
    _note(path.parent, path.name, n_galaxies=n, seconds=time.perf_counter() - started)
    return pairs


def _note(folder, what, **facts):
    """Store facts about a preparation in ``folder/prepared.json``."""
    path = folder / "prepared.json"
    notes = json.loads(path.read_text()) if path.exists() else {}
    notes[what] = {name: round(value, 6) if isinstance(value, float) else value for name, value in facts.items()}
    write_text(path, json.dumps(notes, indent=1) + "\n")
    log.info("%s: %s", what, notes[what])


def _reference_estimator(folder, name, pairs, scale, device, progress):
    path, (side, kind) = folder / f"{name}.asdf", REFERENCE_ESTIMATORS[name]
    if path.exists():
        return load(path)
    log.info("training the estimator %s", name)
    folder.mkdir(exist_ok=True)
    started = time.perf_counter()
    if kind == "estimator":
        state = folder / f"{name}-state"
        estimator = _fit(pairs, slice(0, scale.n_estimator), side, scale.estimator, device, progress, checkpoint=state,
                         validation=_images(pairs, slice(scale.n_estimator, len(pairs)), side))
    else:
        rows = slice(0, min(scale.n_retraining, scale.n_training))
        state, estimator = None, _fit(pairs, rows, side, scale.retrained, device, progress)
    save(path, estimator)
    if state is not None:
        shutil.rmtree(state, ignore_errors=True)
    losses = np.array(estimator.history["validation_loss"])
    _note(folder.parent, name, seconds=time.perf_counter() - started, epochs=len(losses),
          best_epoch=int(np.nanargmin(losses)) + 1, validation_loss=float(np.nanmin(losses)))
    return estimator


def _images(pairs, rows, side):
    part = pairs.select(rows)
    return getattr(part, f"{side}_flux"), part.redshift, getattr(part, f"{side}_weight")


def _fit(pairs, rows, side, settings, device, progress, **more):
    flux, redshift, weight = _images(pairs, rows, side)
    return fit_redshift_estimator(flux, redshift, survey=getattr(pairs, f"{side}_survey"), weight=weight, seed=_SEED,
                                  device=device, progress=progress, **settings, **more)


def retrained_estimator(flux, redshift, survey, scale, *, device=None, progress=False):
    """Return an estimator trained on translated images, always with the same settings and seed."""
    good = np.isfinite(flux).all(axis=(1, 2, 3))
    if not good.all():
        flux, redshift = flux[good], redshift[good]
    return fit_redshift_estimator(flux, redshift, survey=survey, seed=_SEED, device=device, progress=progress,
                                  **scale.retrained)
