"""Judging translators on pairs they have not seen."""

import datetime
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from astro_galtrans.evaluation._estimators import redshift_predictors
from astro_galtrans.evaluation._given import Draws, check_given, conditions, is_generative
from astro_galtrans.evaluation._run import measure, translate
from astro_galtrans.evaluation._tables import Tabulator

__all__ = ["Evaluation", "evaluate"]

_PACKAGES = ("astro_galtrans", "numpy", "astropy", "torch", "galsim", "surveycodex")


class Evaluation:
    """What `evaluate` measured.

    Attributes
    ----------
    tables : dict of str to `~astropy.table.Table`
        ``"pixels"``, ``"colors"``, ``"color_profiles"``, ``"color_gradients"`` and, where they could be made,
        ``"redshift"``, ``"gains"`` and ``"uncertainty"``.
    names : list of str
        The translators; the first is what the others are compared with.
    redshift : dict of str to ndarray
        Redshift estimates of the test galaxies by kind of images and estimator.
    z_spec : ndarray or None
        Their true redshifts.
    samples : dict
        Images of a few test galaxies for the figures.
    history : dict of str to `~astropy.table.Table`
        Training curves of the translators that have them.
    failed : dict of str to int
        Galaxies whose translation holds a value that is not finite. They count in no other number.
    meta : dict
        Sizes, seeds, device, versions, time and what the translators say of themselves.
    """

    def __init__(self, tables, *, names, redshift, z_spec, samples, history, failed, meta):
        self.tables, self.names, self.redshift, self.z_spec = tables, list(names), redshift, z_spec
        self.samples, self.history, self.failed, self.meta = samples, history, failed, meta

    def __repr__(self):
        return f"<Evaluation of {', '.join(self.names)} on {self.meta['n_test']} galaxies: {', '.join(self.tables)}>"

    def figures(self):
        """The figures of the report.

        Returns
        -------
        dict of str to `matplotlib.figure.Figure`

        Raises
        ------
        ImportError
            Without matplotlib, which is in ``astro_galtrans[report]``.
        """
        from astro_galtrans.evaluation._figures import make_figures

        return make_figures(self)

    def write_report(self, path, *, title="Galaxy image translation, judged", **extra):
        """Write one self-contained HTML file with all figures and tables.

        Parameters
        ----------
        path : str or path-like
            Where to; the file appears whole or not at all.
        title : str, optional
            Heading.
        **extra
            Shown in the section on how the run was made, as ``command="galtrans demo"``; a dict gives a row for
            each of its items.

        Raises
        ------
        ImportError
            Without matplotlib or Jinja2, which are in ``astro_galtrans[report]``.
        """
        from astro_galtrans.evaluation._report import write_report

        write_report(self, path, title=title, extra=extra)


def evaluate(translators, test, *, estimator=None, training=None, n_bootstrap=1000, confidence=0.95, seed=0,
             aperture_radii=(2.0, 4.0), annuli=(0.0, 1.0, 2.0, 3.0, 4.5), batch_size=64, n_shown=6,
             n_samples=1, estimator_options=None, device=None, progress=False):
    """Judge one or more translators on test galaxies.

    Parameters
    ----------
    translators : Translator or mapping of str to Translator
        By name; the first of a mapping is the conventional one that the others are compared with.
    test : PairSet
        Galaxies that no translator and no estimator was trained on. Images are compared with the noiseless truth
        where the set has it, with the real target images otherwise. Translators that are conditioned on the redshift
        or on the spectrum are given those of the pairs.
    estimator : RedshiftEstimator, optional
        Trained on real target images ("transfer"). Trained here when it is None and there is ``training``.
    training : PairSet, optional
        Galaxies to train estimators on: on real input images, on each translator's images ("retrained"), and on
        real target images without ``estimator``. Without both there is no redshift table.
    n_bootstrap : int, optional
        Resamples of the galaxies for each interval.
    confidence : float, optional
        Probability that an interval holds.
    seed : int, optional
        Of the bootstrap, of the training of the estimators, and of the samples of generative translators.
    aperture_radii, annuli : sequence of float, optional
        Radii of the apertures (colours use the last) and edges of the annuli, in arcsec.
    batch_size : int, optional
        Galaxies at a time; memory grows with it, and samples depend on it.
    n_shown : int, optional
        Galaxies shown in the figures, evenly spread in rank of red flux.
    n_samples : int, optional
        Images that a generative translator draws of each galaxy. Their mean is judged: a single one has noise of its
        own, which counts as error.
    estimator_options : dict, optional
        Settings of `~astro_galtrans.photoz.fit_redshift_estimator`, the same for every estimator that is trained.
    device : str, optional
        Where networks run.
    progress : bool, optional
        Show progress bars.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        If a translator is between other surveys than the pairs, is conditioned on what they do not have, or gives
        images of another shape.
    """
    translators = _checked(translators, test, training)
    _check_numbers(n_bootstrap, confidence, aperture_radii, batch_size, n_samples, seed)
    draws, predictors = Draws(int(n_samples), int(seed)), {}
    if test.redshift is not None:
        predictors = redshift_predictors(
            translators, estimator=estimator, training=training, options=dict(estimator_options or {}), seed=seed,
            draws=draws, batch_size=batch_size, device=device, progress=progress)
    measured = measure(translators, test, aperture_radii=aperture_radii, annuli=annuli, predictors=predictors,
                       draws=draws, batch_size=batch_size, device=device, progress=progress)
    make = Tabulator(measured, translators, test, aperture_radii=aperture_radii, annuli=annuli,
                     n_bootstrap=n_bootstrap, seed=seed, confidence=confidence)
    tables = {name: getattr(make, name)() for name in ("pixels", "colors", "color_profiles", "color_gradients")}
    if predictors:
        tables["redshift"] = make.redshift()
    tables.update({name: table for name, table in (("gains", make.gains()), ("uncertainty", make.uncertainty()))
                   if len(table)})
    meta = _meta(translators, test, training, draws, device=device, seed=seed, n_bootstrap=n_bootstrap,
                 confidence=confidence)
    history = {name: translator.history for name, translator in translators.items()
               if getattr(translator, "history", None) is not None}
    return Evaluation(
        tables, names=translators, redshift=measured.redshift, z_spec=make.z_spec, history=history,
        samples=_samples(translators, test, measured, n_shown, draws, device), failed=measured.failed, meta=meta)


def _checked(translators, test, training):
    if not isinstance(translators, Mapping):
        translators = {getattr(translators, "name", None) or "translator": translators}
    if not translators:
        raise ValueError("translators must hold at least one translator")
    if not len(test):
        raise ValueError("test holds no galaxy")
    for name, translator in translators.items():
        if not hasattr(translator, "translate_array"):
            raise TypeError(f"translator {name!r} must have translate_array, got {type(translator).__name__}")
        for side in ("input", "target"):
            own, pairs = getattr(translator, f"{side}_survey"), getattr(test, f"{side}_survey")
            if (own.name, own.band_names) != (pairs.name, pairs.band_names):
                raise ValueError(
                    f"translator {name!r} has the {side} survey {own.name} ({' '.join(own.band_names)}), "
                    f"the test pairs {pairs.name} ({' '.join(pairs.band_names)})")
        for what, pairs in (("test", test), ("training", training)):
            if pairs is not None:
                check_given(name, translator, pairs, what)
    return dict(translators)


def _check_numbers(n_bootstrap, confidence, aperture_radii, batch_size, n_samples, seed):
    for name, value, least in (("n_bootstrap", n_bootstrap, 0), ("batch_size", batch_size, 1),
                               ("n_samples", n_samples, 1), ("seed", seed, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value!r}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence!r}")
    if not len(aperture_radii):
        raise ValueError("aperture_radii must hold at least one radius")


def _meta(translators, test, training, draws, **settings):
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    about = {name: _about(name, translator, draws) for name, translator in translators.items()}
    return {**settings, "n_test": len(test), "n_training": None if training is None else len(training),
            "input_survey": test.input_survey.name, "target_survey": test.target_survey.name,
            "bands": list(test.target_survey.band_names), "reference": _reference_name(test), "versions": versions,
            "translators": about, "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")}


def _about(name, translator, draws):
    """What a translator says of itself; None where it says nothing."""
    network = getattr(translator, "network", None)
    options = getattr(network, "options", {})
    return {
        "name": getattr(translator, "name", name), "backbone": options.get("backbone"),
        "objective": getattr(translator, "objective_name", None),
        "parameters": sum(p.numel() for p in network.parameters()) if hasattr(network, "parameters") else None,
        "residual": options.get("residual"), "conditioning": getattr(translator, "conditioning", None),
        "samples": draws.n_samples if is_generative(translator) else None, "hash": getattr(translator, "hash", None),
        "provenance": dict(getattr(translator, "provenance", None) or {})}


def _reference_name(test):
    return "real target images" if test.target_truth is None else "noiseless truth images"


def _samples(translators, test, measured, n_shown, draws, device):
    """Images of galaxies from bright to faint, chosen before anything is known of how well they are translated."""
    band = len(test.target_survey) // 2
    flux = np.nan_to_num(measured.values["reference", "aperture"][:, band, -1])
    order = np.argsort(-flux, kind="stable")
    n_shown = min(n_shown, len(order))
    rows = order[np.round(np.linspace(0.02, 0.98, n_shown) * (len(order) - 1)).astype(int)]
    batch = test.read(np.asarray(rows, dtype=int))
    samples = {**batch, "rows": rows, "input_survey": test.input_survey, "target_survey": test.target_survey,
               "translated": {}, "weights": {}}
    for name, translator in translators.items():
        samples["translated"][name] = np.asarray(translate(translator, batch, draws, 0, device=device)[0])
        if hasattr(translator, "gradient_weights"):
            weights = _flow_weights(translator, batch)
            if weights:
                samples["weights"][name] = weights
    return samples


def _flow_weights(translator, batch):
    """Weights of the gradient elements, or None for a translator whose objective has none."""
    try:
        weights = translator.gradient_weights(batch["input_flux"], batch["target_flux"],
                                              **conditions(translator, batch))
    except (NotImplementedError, ValueError):
        return None
    return None if not weights else {kind: np.asarray(value) for kind, value in weights.items()}
