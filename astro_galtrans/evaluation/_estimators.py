"""Redshift estimators: those trained on real images, and those retrained on translated images."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from tqdm.auto import tqdm

from astro_galtrans.evaluation._run import INPUT, TARGET

__all__ = ["given_estimators", "redshift_predictors"]

_TRAINING = 2**32  # beyond the number of any test galaxy, so that no training galaxy shares its noise


@runtime_checkable
class _Predictor(Protocol):
    def predict(self, flux, weight=None):
        ...


def given_estimators(estimator):
    """Estimators that are already trained, by the kind of real images that they were trained on."""
    if estimator is None:
        return {}
    given = dict(estimator) if isinstance(estimator, Mapping) else {TARGET: estimator}
    unknown = [name for name in given if name not in (INPUT, TARGET)]
    if unknown:
        raise ValueError(f"estimator must have the keys {INPUT!r} and {TARGET!r}, got {unknown[0]!r}")
    for name, one in given.items():
        if not isinstance(one, _Predictor):
            raise TypeError(f"the estimator of {name!r} must have predict, got {type(one).__name__}")
    return given


def redshift_predictors(sources, *, given, training, options, seed, batch_size, device, progress):
    """Label -> (kind of images, fitted estimator), in the order of the redshift table."""
    from astro_galtrans.photoz import RedshiftEstimator

    config = next((one.config for one in map(given.get, (TARGET, INPUT)) if isinstance(one, RedshiftEstimator)), None)
    if config is not None:
        options = {"config": config, **options}  # the judges differ in what they see, not in their settings
    fit, judges = _Fit(training, options, seed, device, progress), dict(given)
    for kind, side in ((TARGET, "target"), (INPUT, "input")):
        if training is not None and kind not in judges:
            data = training.read()
            judges[kind] = fit(data[f"{side}_flux"], getattr(training, f"{side}_survey"), data[f"{side}_weight"])
            del data
    predictors = {kind: (kind, judges[kind]) for kind in (TARGET, INPUT) if kind in judges}
    if TARGET in judges:
        predictors.update({f"{name}, transfer": (name, judges[TARGET]) for name in sources})
    if training is not None:
        for name, source in sources.items():
            if not source.retrains:
                continue
            flux, good = _translated(source, training, batch_size, device, progress)
            predictors[f"{name}, retrained"] = (name, fit(flux, training.target_survey, None, good))
    return predictors


class _Fit:
    """Fits every estimator in the same way: same options, same seed, same galaxies."""

    def __init__(self, training, options, seed, device, progress):
        self.options = {"seed": seed, "progress": progress, **({} if device is None else {"device": device}), **options}
        self.redshift = None if training is None else np.asarray(training.redshift, dtype=float)

    def __call__(self, flux, survey, weight, good=None):
        from astro_galtrans.photoz import fit_redshift_estimator

        used = np.isfinite(self.redshift) if good is None else good & np.isfinite(self.redshift)
        if not used.all():
            flux, weight = flux[used], None if weight is None else weight[used]
        return fit_redshift_estimator(flux, self.redshift[used], survey=survey, weight=weight, **self.options)


def _translated(source, training, batch_size, device, progress):
    flux = np.empty(training.target_flux.shape, dtype=np.float32)
    starts = range(0, len(training), batch_size)
    for start in tqdm(starts, desc=f"translating for {source.name}", unit="batch", disable=not progress):
        rows = slice(start, min(start + batch_size, len(training)))
        numbers = _TRAINING + np.arange(rows.start, rows.stop)
        flux[rows] = source.translate(training.read(rows), numbers, device=device)[0]
    return flux, np.isfinite(flux).all(axis=(1, 2, 3))
