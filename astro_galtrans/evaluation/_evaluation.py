"""Evaluation of translators, or of finished images, on pairs that no translator was trained on."""

from __future__ import annotations

import datetime
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TYPE_CHECKING

from astro_galtrans.evaluation._morphology import measure_morphology, morphology, need_statmorph
from astro_galtrans.evaluation._run import given_estimators, measure, redshift_predictors, samples, spread_rows
from astro_galtrans.evaluation._sources import image_sources
from astro_galtrans.evaluation import _tables as physics
from astro_galtrans.evaluation._tables import Tabulator
from astro_galtrans.images import check_coverage
from astro_galtrans.pairs import PairSet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    import numpy as np
    from astropy.table import Table
    from astropy.units import Quantity
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from astro_galtrans.evaluation._sources import TranslatorLike
    from astro_galtrans.photoz import RedshiftEstimator
    from astro_galtrans.translation import Translator

__all__ = ["Evaluation", "evaluate"]

_PACKAGES = ("astro_galtrans", "numpy", "astropy", "torch", "galsim", "surveycodex", "statmorph")


class Evaluation:
    """Results of `evaluate`.

    Attributes
    ----------
    tables : dict of str to `~astropy.table.Table`
        ``"pixels"``, ``"apertures"``, ``"peaks"``, ``"colors"``, ``"color_profiles"``, ``"color_gradients"`` and,
        where they could be made, ``"color_profiles_by_type"``, ``"color_gradients_by_type"``, ``"redshift"``,
        ``"gains"``, ``"uncertainty"`` and ``"morphology"``.
    names : list of str
        Translators and sets of finished images; the first is what the others are compared with.
    redshift : dict of str to ndarray
        Redshift estimates of the test galaxies by kind of images and estimator.
    z_spec : ndarray or None
        Their true redshifts.
    samples : dict
        Images of a few test galaxies for the figures.
    history : dict of str to `~astropy.table.Table`
        Training curves of the translators that have them.
    failed : dict of str to int
        Galaxies whose translation contains a value that is not finite. They count in no other number.
    meta : dict
        Sizes, seeds, device, versions and time; under ``"translators"`` a dict for each of ``names``, whose ``"kind"``
        is ``"translator"`` or ``"images"``, with backbone, objective, parameters, conditioning, hash and provenance.
    """

    def __init__(
        self, tables: dict[str, Table], *, names: Sequence[str], redshift: dict[str, Any], z_spec: np.ndarray | None,
        samples: Any, history: Any, failed: Any, meta: dict[str, Any],
    ) -> None:
        self.tables, self.names, self.redshift, self.z_spec = tables, list(names), redshift, z_spec
        self.samples, self.history, self.failed, self.meta = samples, history, failed, meta

    def __repr__(self) -> str:
        return f"<Evaluation of {', '.join(self.names)} on {self.meta['n_test']} galaxies: {', '.join(self.tables)}>"

    def figures(self) -> dict[str, Figure]:
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

    def write_report(
        self, path: str | PathLike, *, title: str = "Galaxy image translation, judged", overwrite: bool = True,
        **extra: Any,
    ) -> None:
        """Write one self-contained HTML file with all figures and tables.

        Parameters
        ----------
        path : str or path-like
            Where to; the file appears whole or not at all.
        title : str, optional
            Heading.
        overwrite : bool, optional
            Whether an existing file may be replaced; unlike a data file, a report is replaced by default.
        **extra
            Shown in the section on how the run was made, as ``command="galtrans demo"``; a dict gives a row for
            each of its items.

        Raises
        ------
        FileExistsError
            If the file exists and ``overwrite`` is False.
        ImportError
            Without matplotlib or Jinja2, which are in ``astro_galtrans[report]``.
        """
        from astro_galtrans.evaluation._report import write_report

        write_report(self, path, title=title, extra=extra, overwrite=overwrite)


def evaluate(
    translators: Translator | TranslatorLike | ArrayLike | Quantity
    | Mapping[str, Translator | TranslatorLike | ArrayLike | Quantity],
    test: PairSet, *,
    estimator: RedshiftEstimator | Mapping[str, RedshiftEstimator] | None = None, training: PairSet | None = None,
    n_bootstrap: int = 1000, confidence: float = 0.95, seed: int = 0, aperture_radii: Sequence[float] = (2.0, 4.0),
    annuli: Sequence[float] = (0.0, 1.0, 2.0, 3.0, 4.5), snr_min: float = 20.0, batch_size: int = 64, n_shown: int = 6,
    n_morphology: int = 0, n_samples: int = 1, estimator_options: dict[str, Any] | None = None,
    device: str | None = None, progress: bool = False,
) -> Evaluation:
    """Evaluate translators, or images that are already translated, on test galaxies.

    Parameters
    ----------
    translators : Translator, TranslatorLike, array_like, `~astropy.units.Quantity` or mapping of str to these
        What to evaluate, by name; the first of a mapping is the conventional one that the others are compared with. An
        array holds finished images of the test galaxies, of shape ``(galaxy, target band, Y, X)`` as
        ``test.target_flux``, in the unit of the target survey; masked and non-finite pixels make a galaxy count as
        failed. Finished images have no uncertainty, no training curve and no retrained estimator.
    test : PairSet
        Galaxies that no translator and no estimator was trained on. Images are compared with the noiseless truth
        where the set has it, with the real target images otherwise. Translators that are conditioned on the redshift
        or on the spectrum are given those of the pairs.
    estimator : RedshiftEstimator or mapping of str to RedshiftEstimator, optional
        Trained on real target images ("transfer"). A mapping may have the keys ``"real target"`` and
        ``"real input"``, the latter for one trained on real input images. One that is not given is trained here
        where there is ``training``.
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
    snr_min : float, optional
        The table of aperture fluxes is of galaxies whose flux in that aperture and band is this many times the noise
        of the target images.
    batch_size : int, optional
        Galaxies at a time; memory grows with it, and samples depend on it.
    n_shown : int, optional
        Galaxies shown in the figures, evenly spread in rank of red flux.
    n_morphology : int, optional
        Galaxies whose size and shape are measured, spread in the same way; 0.1 to 0.2 s for each of their images.
        A few hundred say something, and 0 is none.
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
    TypeError
        If ``test`` or ``training`` is no PairSet, or something to evaluate is neither a translator nor an array.
    ValueError
        If a translator is between other surveys than the pairs, is conditioned on what they do not have, or images
        have another shape than the target images of ``test``.
    ImportError
        With ``n_morphology`` but without statmorph, which is in ``astro_galtrans[morphology]``.
    """
    _check_numbers(n_bootstrap, confidence, aperture_radii, batch_size, n_samples, seed, n_morphology)
    sources = _checked(translators, test, training, int(n_samples), int(seed))
    if n_samples != 1 and all(source.n_samples is None for source in sources.values()):
        raise ValueError(f"n_samples has no effect on translators that draw no samples, got {n_samples}")
    if estimator_options and training is None:
        raise ValueError("estimator_options have no effect without training, on which estimators are trained, got "
                         f"{', '.join(estimator_options)}")
    given = given_estimators(estimator)
    if n_morphology:
        need_statmorph()
    how, predictors = {"batch_size": batch_size, "device": device, "progress": progress}, {}
    if test.redshift is not None:
        predictors = redshift_predictors(sources, given=given, training=training,
                                         options=dict(estimator_options or {}), seed=seed, **how)
    measured = measure(sources, test, aperture_radii=aperture_radii, annuli=annuli, predictors=predictors, **how)
    make = Tabulator(measured, sources, test, aperture_radii=aperture_radii, annuli=annuli,
                     n_bootstrap=n_bootstrap, seed=seed, confidence=confidence)
    tables = _tables(make, test, snr_min, bool(predictors))
    if n_morphology:
        rows = spread_rows(measured, test.target_survey, n_morphology)
        tables["morphology"] = morphology(make, measure_morphology(sources, test, rows, seed=seed, **how))
    meta = _meta(sources, test, training, device=device, seed=seed, n_bootstrap=n_bootstrap, confidence=confidence,
                 n_morphology=min(n_morphology, len(test)))
    history = {name: source.history for name, source in sources.items() if source.history is not None}
    shown = samples(sources, test, spread_rows(measured, test.target_survey, n_shown), device)
    return Evaluation(tables, names=sources, redshift=measured.redshift, z_spec=make.z_spec, history=history,
                      samples=shown, failed=measured.failed, meta=meta)


def _tables(make, test, snr_min, redshift):
    """All tables that are made of the numbers of the one pass over the galaxies."""
    tables = {"pixels": make.pixels(), "apertures": physics.apertures(make, snr_min), "peaks": physics.peaks(make),
              "colors": make.colors(), "color_profiles": make.color_profiles(),
              "color_gradients": make.color_gradients()}
    types = physics.galaxy_types(test)
    if types:
        tables["color_profiles_by_type"] = physics.color_profiles_by_type(make, types)
        tables["color_gradients_by_type"] = physics.color_gradients_by_type(make, types)
    if redshift:
        tables["redshift"] = make.redshift()
    tables.update({name: table for name, table in (("gains", make.gains()), ("uncertainty", make.uncertainty()))
                   if len(table)})
    return tables


def _checked(translators, test, training, n_samples, seed):
    """The sources of images by name, once everything fits together."""
    for name, pairs in (("test", test), ("training", training)):
        if not isinstance(pairs, PairSet) and not (name == "training" and pairs is None):
            raise TypeError(f"{name} must be a PairSet, the pairs of images of galaxies, got {type(pairs).__name__}")
    if not len(test):
        raise ValueError("test holds no galaxy")
    for name, pairs in (("test", test), ("training", training)):
        if pairs is not None:
            check_coverage(pairs.missing_bands(), pairs.input_survey.band_names, name,
                           f"{name}.select(~{name}.missing_bands().any(1)) leaves them out")
    sources = image_sources(translators, test, n_samples, seed)
    for source in sources.values():
        source.check(test, "test")
        if training is not None:
            source.check(training, "training")
    return sources


def _check_numbers(n_bootstrap, confidence, aperture_radii, batch_size, n_samples, seed, n_morphology):
    for name, value, least in (("n_bootstrap", n_bootstrap, 0), ("batch_size", batch_size, 1), ("seed", seed, 0),
                               ("n_samples", n_samples, 1), ("n_morphology", n_morphology, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value!r}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence!r}")
    if not len(aperture_radii):
        raise ValueError("aperture_radii must hold at least one radius")


def _meta(sources, test, training, **settings):
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {**settings, "n_test": len(test), "n_training": None if training is None else len(training),
            "input_survey": test.input_survey.name, "target_survey": test.target_survey.name,
            "bands": list(test.target_survey.band_names),
            "reference": "real target images" if test.target_truth is None else "noiseless truth images",
            "noise_added": test.target_truth is None, "versions": versions,
            "translators": {name: source.about() for name, source in sources.items()},
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")}
