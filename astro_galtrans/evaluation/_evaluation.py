"""Evaluation of translators, or of finished images, on galaxies that no translator was trained on."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import numpy as np

from astro_galtrans._utils.reprs import changed_fields
from astro_galtrans._utils.statistics import check_bootstrap
from astro_galtrans._utils.torch_state import checked_device
from astro_galtrans._utils.validation import check_fields, configured, mapping, numbers, real_number, whole_number
from astro_galtrans.evaluation._morphology import measure_morphology, morphology, need_statmorph
from astro_galtrans.evaluation._run import (
    Compute, given_estimators, measure, redshift_predictors, samples, spread_rows,
)
from astro_galtrans.evaluation._sources import image_sources
from astro_galtrans.evaluation._tables import Tabulator
from astro_galtrans.images import check_coverage
from astro_galtrans.pairs import PairSet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from astropy.table import Table
    from astropy.units import Quantity
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from astro_galtrans.evaluation._sources import TranslatorLike
    from astro_galtrans.photoz import RedshiftEstimator
    from astro_galtrans.translation import Translator

__all__ = ["Evaluation", "EvaluationConfig", "evaluate"]

_N_COMPARED = 16
_PACKAGES = ("astro_galtrans", "numpy", "astropy", "torch", "galsim", "surveycodex", "statmorph")


@dataclass(frozen=True, repr=False)
class EvaluationConfig:
    """Settings of `evaluate` that rarely change.

    Parameters
    ----------
    n_bootstrap : int, optional
        Resamples of the galaxies for each interval.
    confidence : float, optional
        Probability of the intervals.
    aperture_radii, annuli : sequence of float, optional
        Radii of the apertures (colors use the last) and edges of the annuli, in arcsec.
    snr_min : float, optional
        Galaxies count in the table of aperture fluxes if their flux in that aperture and band is at least this many
        times the noise of the target images.
    batch_size : int, optional
        Galaxies per batch. Memory grows with it, and samples depend on it.
    n_shown : int, optional
        Galaxies in the figures, evenly spread in rank of red flux.
    estimator_options : dict, optional
        Settings of `~astro_galtrans.photoz.fit_redshift_estimator`, the same for every estimator that is trained.

    Examples
    --------
    >>> from astro_galtrans.evaluation import EvaluationConfig
    >>> EvaluationConfig(n_bootstrap=200)
    EvaluationConfig(n_bootstrap=200)
    """

    n_bootstrap: int = 1000
    confidence: float = 0.95
    aperture_radii: Sequence[float] = (2.0, 4.0)
    annuli: Sequence[float] = (0.0, 1.0, 2.0, 3.0, 4.5)
    snr_min: float = 20.0
    batch_size: int = 64
    n_shown: int = 6
    estimator_options: Mapping[str, object] | None = None

    def __post_init__(self) -> None:
        check_bootstrap(self.n_bootstrap, self.confidence)
        check_fields(self, {"aperture_radii": numbers, "annuli": numbers, "snr_min": real_number,
                            "batch_size": partial(whole_number, least=1), "n_shown": whole_number,
                            "estimator_options": mapping})
        if not self.aperture_radii:
            raise ValueError("aperture_radii must hold at least one radius")

    def __repr__(self) -> str:
        return changed_fields(self)


@dataclass(repr=False, eq=False)
class Evaluation:
    """Results of `evaluate`.

    Attributes
    ----------
    tables : dict of str to `~astropy.table.Table`
        ``"pixels"``, ``"apertures"``, ``"peaks"``, ``"colors"``, ``"color_profiles"``, ``"color_gradients"`` and,
        where there is data for them, ``"color_profiles_by_type"``, ``"color_gradients_by_type"``, ``"redshift"``,
        ``"gains"``, ``"uncertainty"`` and ``"morphology"``.
    names : list of str
        Translators and sets of finished images; the others are compared with the first.
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
        Sizes, seeds, device, versions and time; ``"simulated"``, whether the galaxies are simulated; under
        ``"translators"`` a dict for each of ``names``, whose ``"kind"`` is ``"translator"`` or ``"images"``, with
        backbone, objective, parameters, conditioning, hash and provenance.
    """

    tables: dict[str, Table]
    names: list[str]
    redshift: dict[str, np.ndarray]
    z_spec: np.ndarray | None
    samples: dict[str, object]
    history: dict[str, Table]
    failed: dict[str, int]
    meta: dict[str, object]

    def __repr__(self) -> str:
        return f"<Evaluation of {', '.join(self.names)} on {self.meta['n_test']} galaxies: {', '.join(self.tables)}>"

    def figures(self) -> dict[str, Figure]:
        """Draw the figures of the report.

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
        self, path: str | PathLike, *, title: str = "Evaluation of galaxy image translation", overwrite: bool = True,
        **extra: object,
    ) -> None:
        """Write one self-contained HTML file with all figures and tables.

        Parameters
        ----------
        path : str or path-like
            File to write. It appears complete or not at all.
        title : str, optional
            Heading.
        overwrite : bool, optional
            Whether to replace an existing file; a report is replaced by default, unlike a data file.
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
    seed: int = 0, n_samples: int = 1, n_morphology: int = 0, device: str | None = None, progress: bool = False,
    config: EvaluationConfig | None = None, **settings: object,
) -> Evaluation:
    """Evaluate translators, or images that are already translated, on test galaxies.

    Parameters
    ----------
    translators : Translator, TranslatorLike, array_like, `~astropy.units.Quantity` or mapping of str to these
        Translators or images by name. The first of a mapping is the conventional one that the others are compared
        with. An array holds finished images of the test galaxies, of shape ``(galaxy, target band, Y, X)`` as
        ``test.target_flux``, in the unit of the target survey; masked and non-finite pixels make a galaxy count as
        failed. Finished images have no uncertainty, no training curve and no retrained estimator.
    test : PairSet
        Galaxies that no translator and no estimator was trained on. Images are compared with the noiseless truth
        where the set has it, otherwise with the real target images. Translators that are conditioned on the redshift
        or on the spectrum are given those of the pairs.
    estimator : RedshiftEstimator or mapping of str to RedshiftEstimator, optional
        Trained on real target images ("transfer"). A mapping may have the keys ``"real target"`` and
        ``"real input"``, the latter for one trained on real input images. A missing one is trained on ``training``.
    training : PairSet, optional
        Galaxies to train estimators on: on real input images, on the images of each translator ("retrained"), and on
        real target images without ``estimator``. Without ``estimator`` and ``training`` there is no redshift table.
        None of them may be among the test galaxies.
    seed : int, optional
        Seed of the bootstrap, of the training of the estimators, and of the samples of generative translators.
    n_samples : int, optional
        Images that a generative translator draws of each galaxy. Their mean is evaluated: the noise of a single one
        counts as error.
    n_morphology : int, optional
        Galaxies whose size and shape are measured, selected as those in the figures; 0.1 to 0.2 s for each of their
        images. Use a few hundred; 0 measures none.
    device : str, optional
        Device of the networks.
    progress : bool, optional
        Whether to show progress bars.
    config : EvaluationConfig, optional
        Apertures, bootstrap and other settings.
    **settings
        Fields of `EvaluationConfig`, which replace those of ``config``.

    Returns
    -------
    Evaluation

    Raises
    ------
    TypeError
        If ``test`` or ``training`` is not a PairSet, something to evaluate is neither a translator nor an array, or a
        keyword is unknown.
    ValueError
        If a translator is between other surveys than the pairs, is conditioned on what they do not have, images have
        another shape than the target images of ``test``, or ``training`` has galaxies of ``test``.
    ImportError
        With ``n_morphology`` but without statmorph, which is in ``astro_galtrans[morphology]``.
    """
    config = configured(EvaluationConfig, config, settings, function=evaluate)
    if device is not None:
        checked_device(device)
    _check_least(seed=(seed, 0), n_samples=(n_samples, 1), n_morphology=(n_morphology, 0))
    _check_pairs(test, training)
    sources = image_sources(translators, test, int(n_samples), int(seed))
    _check_fit(sources, test, training, n_samples, config)
    if training is not None:
        _check_disjoint(test, training)
    given = given_estimators(estimator)
    if n_morphology:
        need_statmorph()

    compute, predictors = Compute(config.batch_size, device, progress), {}
    if test.redshift is not None:
        options = {"seed": seed, **(config.estimator_options or {})}
        predictors = redshift_predictors(sources, given, training, options, compute)
    measured = measure(sources, test, predictors, config, compute)
    tabulator = Tabulator(measured, sources, test, config, seed)
    tables = tabulator.all_tables()
    if n_morphology:
        rows = spread_rows(measured, test.target_survey, n_morphology)
        tables["morphology"] = morphology(tabulator, measure_morphology(sources, test, rows, seed, compute))
    shown = samples(sources, test, spread_rows(measured, test.target_survey, config.n_shown), device)
    meta = {"device": device, "seed": seed, "n_bootstrap": config.n_bootstrap, "confidence": config.confidence,
            "n_morphology": min(n_morphology, len(test)), **_meta(sources, test, training)}
    return Evaluation(
        tables, list(sources), measured.redshift, tabulator.z_spec, shown,
        {name: source.history for name, source in sources.items() if source.history is not None},
        measured.failed, meta)


def _check_least(**numbers):
    for name, (value, least) in numbers.items():
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value!r}")


def _check_pairs(test, training):
    for name, pairs in (("test", test), ("training", training)):
        if pairs is None and name == "training":
            continue
        if not isinstance(pairs, PairSet):
            raise TypeError(f"{name} must be a PairSet, the pairs of images of galaxies, got {type(pairs).__name__}")
        if name == "test" and not len(pairs):
            raise ValueError("test holds no galaxy")
        check_coverage(pairs.missing_bands(), pairs.input_survey.band_names, name,
                       f"{name}.select(~{name}.missing_bands().any(1)) leaves them out")


def _check_disjoint(test, training):
    """Raise if training galaxies are test galaxies.

    Sets of other galaxies may share ids, as those that are the row numbers, so that some of the images are compared.
    """
    if test.ids.dtype.kind != training.ids.dtype.kind:
        return
    shared, *rows = np.intersect1d(test.ids, training.ids, assume_unique=True, return_indices=True)
    images = [pairs.read(some[:_N_COMPARED], images=["input_flux"])["input_flux"]
              for pairs, some in zip((test, training), rows)]
    for one, *both in zip(shared, *images):
        if np.array_equal(*both):
            raise ValueError(f"training must not have galaxies of test, got {len(shared)} ids of both, for example "
                             f"{one.item()!r}, whose images are the same")


def _check_fit(sources, test, training, n_samples, config):
    for source in sources.values():
        source.check(test, "test")
        if training is not None:
            source.check(training, "training")
    if n_samples != 1 and all(source.n_samples is None for source in sources.values()):
        raise ValueError(f"n_samples has no effect on translators that draw no samples, got {n_samples}")
    if config.estimator_options and training is None:
        raise ValueError("estimator_options have no effect without training, on which estimators are trained, got "
                         f"{', '.join(config.estimator_options)}")


def _meta(sources, test, training):
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"n_test": len(test), "n_training": None if training is None else len(training),
            "input_survey": test.input_survey.name, "target_survey": test.target_survey.name,
            "bands": list(test.target_survey.band_names),
            "simulated": test.catalog is not None and "simulation" in test.catalog.meta,
            "reference": "real target images" if test.target_truth is None else "noiseless truth images",
            "noise_added": test.target_truth is None, "versions": versions,
            "translators": {name: source.about() for name, source in sources.items()},
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")}
