"""Populations of galaxies that a translator distinguishes without labels."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TYPE_CHECKING

import numpy as np
from astropy.table import Table

from astro_galtrans._utils.masked import split, whole
from astro_galtrans._utils.optional import optional
from astro_galtrans._utils.reprs import changed_fields
from astro_galtrans._utils.torch_state import on_device
from astro_galtrans._utils.validation import check_fields, configured, numbers, whole_number
from astro_galtrans.evaluation._mixture import PURPOSE, fit_mixture, principal_plane
from astro_galtrans.evaluation._populations_features import Features, Reader, as_pairs
from astro_galtrans.exceptions import GaltransWarning

if TYPE_CHECKING:
    import torch
    from astropy.units import Quantity
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from astro_galtrans.evaluation._mixture import Mixture, Plane
    from astro_galtrans.pairs import PairSet
    from astro_galtrans.translation import Translator

__all__ = ["Populations", "PopulationsConfig", "populations"]

log = logging.getLogger(__name__)

_LEAST = 20  # galaxies for each population, and for each component
_N_SHOWN = 4


@dataclass(frozen=True, repr=False)
class PopulationsConfig:
    """Settings of `populations` that rarely change.

    Parameters
    ----------
    annuli : sequence of float, optional
        Edges in arcsec of the annuli in which features are averaged; annuli beyond the image are ignored.
    n_components : int, optional
        Principal components kept, at most one for every 20 galaxies.
    batch_size : int, optional
        Galaxies per forward pass; at most 16 on a CPU.
    """

    annuli: Sequence[float] = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
    n_components: int = 15
    batch_size: int = 64

    def __post_init__(self) -> None:
        check_fields(self, {"annuli": numbers, "n_components": partial(whole_number, least=1),
                            "batch_size": partial(whole_number, least=1)})

    def __repr__(self) -> str:
        return changed_fields(self)


class Populations:
    """Populations of galaxies, found by `populations`.

    Attributes
    ----------
    table : `~astropy.table.Table`
        A row for each galaxy: ``id``; ``population``, 0, 1, ..., or -1 for a galaxy without a usable pixel; the
        probability of each population as ``probability_0``, ``probability_1``, ...; and ``score``, the position along
        the axis that separates them best, 0 in the mean, in units of the scatter within a population. Populations are
        numbered from the blue to the red end of the axis.
    kind : str
        Kind of features, as ``"scales"``.
    shape : tuple of int
        Rows and columns of the input images.
    features : ndarray
        Shape ``(galaxy, feature)``.
    feature_names : list of str
        Name of each feature.
    coordinates : ndarray
        The principal components in which the mixture is fitted, shape ``(galaxy, component)``.
    n_components : int
        Number of components.
    shares : ndarray
        Share of each population in the galaxies among which they were found.
    separation : float
        Distance of the outermost populations along the axis in units of the scatter within one. Any set of galaxies
        can be cut in two; less than about 2 means a single cluster split in two.
    bic_gain : float
        Bayesian information criterion of a single population minus that of these; above 0 these describe the galaxies
        better.
    examples : list of dict
        A few typical galaxies of each population: ``"population"``, ``"id"``, ``"flux"``, ``"survey"`` and
        ``"weight"``, the inverse learned variance of the passband gradients in each pixel, or None.
    """

    def __init__(
        self, ids: np.ndarray, shape: Sequence[int], features: Features, reader: Reader, plane: Plane,
        mixture: Mixture, examples: Sequence[dict[str, object]] = (),
    ) -> None:
        self.features, self.feature_names, self._redness = features
        self._reader, self._plane, self._mixture = reader, plane, mixture
        self._hash = reader.translator.hash
        self.kind, self.examples, self.shape = reader.kind, list(examples), tuple(shape)
        self.coordinates = plane.coordinates(features.values)
        self.n_components = self.coordinates.shape[1]
        self.shares, self.bic_gain = mixture.shares, mixture.bic_gain
        places = mixture.score(mixture.means)
        self.separation = float(places[-1] - places[0])
        self.table = _table(ids, self.coordinates, mixture)

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        sizes = [int(np.sum(self.table["population"] == number)) for number in range(len(self.shares))]
        return (f"<Populations: {' + '.join(map(str, sizes))} of {len(self)} galaxies by {self.kind} of "
                f"{self._reader.translator.name}, separation {self.separation:.1f}>")

    def auc(self, labels: ArrayLike) -> float:
        """Return the area under the ROC curve of the score for a label that it has not seen.

        It is the probability that a galaxy with the label has a higher score than one without, a half for ties (Mann
        & Whitney 1947). It is not folded about 0.5: 0 is as far from chance as 1.

        Parameters
        ----------
        labels : array_like of bool
            Label of each galaxy, in the order of the table. Galaxies without a score, and those where a masked array
            has no label, do not count.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If there is not one bool label per galaxy, or all galaxies have the same.
        """
        labels, known = _checked_labels(labels, len(self))
        score = np.asarray(self.table["score"])
        known = known & np.isfinite(score)
        n_with = int(labels[known].sum())
        if n_with in (0, int(known.sum())):
            raise ValueError(f"labels must be of both kinds, got {n_with} of {known.sum()} galaxies with it")
        metrics = optional("sklearn.metrics", "populations", PURPOSE)
        return float(metrics.roc_auc_score(labels[known], score[known]))

    def assign(
        self, translator: Translator, pairs: PairSet | ArrayLike | Quantity, *, batch_size: int = 64,
        device: str | torch.device | None = None, progress: bool = False,
    ) -> Populations:
        """Assign other galaxies to the same populations.

        Parameters
        ----------
        translator : Translator
            The translator that these populations were found with.
        pairs, batch_size, device, progress
            As of `populations`; a single galaxy is enough.

        Returns
        -------
        Populations
        """
        if translator.hash != self._hash:
            raise ValueError(f"translator {translator.name!r} is not the one that these populations were found with: "
                             "its hash is different")
        reader = Reader(translator, self.kind, self._reader.annuli)
        with on_device(translator, device):
            pairs, features = _read(reader, pairs, batch_size, progress)
            if features.names != self.feature_names:
                raise ValueError("the images are of another size than those the populations were found with")
            return _with_examples(pairs, features, reader, self._plane, self._mixture)

    def refit(
        self, rows: ArrayLike | None = None, *, n_populations: int | None = None, n_components: int | None = None,
    ) -> Populations:
        """Find populations again among some of the galaxies, or with other numbers.

        Features are not read again, so it takes a second to see how much the result depends on either.

        Parameters
        ----------
        rows : array_like of int or bool, optional
            Galaxies among which populations are found; by default all.
        n_populations, n_components : int, optional
            As of `populations`; by default as before.

        Returns
        -------
        Populations
            Of all galaxies, without examples.

        Raises
        ------
        ValueError
            As of `populations`.
        """
        n_populations = len(self.shares) if n_populations is None else n_populations
        n_components = self.n_components if n_components is None else n_components
        whole_number(n_populations, "n_populations", 2)
        whole_number(n_components, "n_components", 1)
        features = Features(self.features, self.feature_names, self._redness)
        parts = _find(features, slice(None) if rows is None else whole(rows, "rows"), n_populations, n_components,
                      self._mixture.seed)
        return Populations(self.table["id"], self.shape, features, self._reader, *parts)

    def figure(self, labels: ArrayLike | None = None, *, names: Sequence[str] = ("without", "with")) -> Figure:
        """Draw the plane of the populations, their scores, the features that differ, and typical galaxies.

        Parameters
        ----------
        labels : array_like of bool, optional
            As of `auc`; their scores are outlined.
        names : tuple of str, optional
            Names of the galaxies without and with the label.

        Returns
        -------
        `matplotlib.figure.Figure`

        Raises
        ------
        ImportError
            Without matplotlib, which is in ``astro_galtrans[report]``.
        """
        from astro_galtrans.evaluation._populations_figure import draw

        return draw(self, None if labels is None else _checked_labels(labels, len(self)), names)


def populations(
    translator: Translator, pairs: PairSet | ArrayLike | Quantity, *, n_populations: int = 2,
    features: Literal["scales", "excess", "noise", "weights", "embedding"] = "scales", seed: int = 0,
    device: str | torch.device | None = None, progress: bool = False, config: PopulationsConfig | None = None,
    **settings: object,
) -> Populations:
    """Find populations of galaxies by what a translator has learned of them, without labels.

    Features of each galaxy, minus the mean of the galaxy, are reduced to their principal components. In these a mixture
    of normal densities with one common covariance is fitted with scikit-learn. The fit starts from the direction of
    least kurtosis, which joins two clusters. No redshift, type or color takes part; the flux in the input bands only
    decides which end of the axis is called red.

    Parameters
    ----------
    translator : Translator
        Trained with objective "gradient"; others have fewer features.
    pairs : PairSet, array_like or `~astropy.units.Quantity`
        Galaxies, or input images alone: shape ``(galaxy, band, y, x)``, NaN where masked, a bare array in the unit of
        the translator's input survey. Pixels of weight 0 count as masked.
    n_populations : int, optional
        Number of populations.
    features : {"scales", "excess", "noise", "weights", "embedding"}, optional
        Kind of features. ``"scales"``: the standard deviation that the objective expects of the residual of each
        gradient, whose inverse square is its weight; ``"excess"``: the same in units of the sky noise, and so only
        what was learned; ``"noise"``: the sky noise alone, which follows from the translated image. These need only
        the input. ``"weights"``: weights of the flow for the residuals against target images. All of these are means
        in annuli, at the scales of the objective up to 0.8 arcsec. ``"embedding"``: the network's vector of the
        galaxy. Translators of other objectives have ``"noise"`` and ``"embedding"``.
    seed : int, optional
        Seed of scikit-learn; equal input and seed give equal populations.
    device : str or torch.device, optional
        Device to compute on, by default that of the weights.
    progress : bool, optional
        Whether to show a progress bar.
    config : PopulationsConfig, optional
        Annuli, components and batch size.
    **settings
        Fields of `PopulationsConfig`, which replace those of ``config``.

    Returns
    -------
    Populations

    Raises
    ------
    TypeError
        If a keyword is unknown.
    ValueError
        If the translator has no such features, its surveys are not those of the pairs, there are too few galaxies, or
        they do not fall into so many populations.
    ImportError
        Without scikit-learn, which is in ``astro_galtrans[populations]``.
    """
    config = configured(PopulationsConfig, config, settings, function=populations)
    whole_number(n_populations, "n_populations", 2)
    whole_number(seed, "seed")
    optional("sklearn", "populations", PURPOSE)  # before the features are read
    reader = Reader(translator, features, config.annuli)
    with on_device(translator, device):
        pairs, read = _read(reader, pairs, config.batch_size, progress)
        parts = _find(read, slice(None), n_populations, config.n_components, seed)
        return _with_examples(pairs, read, reader, *parts)


def _find(features, rows, n_populations, n_components, seed):
    """Return plane and mixture of the galaxies at some rows that have features."""
    values, redness = features.values[rows], features.redness[rows]
    good = np.isfinite(values).all(1)
    if good.sum() < _LEAST * n_populations:
        raise ValueError(f"{n_populations} populations need at least {_LEAST * n_populations} galaxies with usable "
                         f"pixels, got {good.sum()}")
    plane = principal_plane(values[good], min(n_components, int(good.sum()) // _LEAST), seed)
    points = plane.coordinates(values[good])
    mixture = fit_mixture(points, n_populations, seed)
    if not _ascends(mixture.score(points), redness[good]):
        mixture = mixture.reversed()
    log.info("%d components with %.0f %% of the variance, separation of the populations %.2f", points.shape[1],
             100 * plane.pca.explained_variance_ratio_.sum(), np.ptp(mixture.score(mixture.means)))
    return plane, mixture


def _read(reader, pairs, batch_size, progress):
    pairs = as_pairs(reader.translator, pairs)
    if not len(pairs):
        raise ValueError("pairs holds no galaxy")
    features = reader.read(pairs, np.arange(len(pairs)), batch_size, progress)
    n_empty = int((~np.isfinite(features.values).all(1)).sum())
    if n_empty:
        warnings.warn(f"{n_empty} of {len(pairs)} galaxies have no usable pixel and are in no population",
                      GaltransWarning, stacklevel=3)
    return pairs, features


def _ascends(score, redness):
    known = np.isfinite(redness)
    if known.sum() < 3:
        return True
    rank = [np.argsort(np.argsort(part[known], kind="stable"), kind="stable") for part in (score, redness)]
    return np.cov(*rank)[0, 1] >= 0


def _table(ids, coordinates, mixture):
    good = np.isfinite(coordinates).all(1)
    population = np.full(len(ids), -1)
    probability = np.full((len(ids), len(mixture.shares)), np.nan)
    score = np.full(len(ids), np.nan)
    probability[good], score[good] = mixture.probabilities(coordinates[good]), mixture.score(coordinates[good])
    population[good] = probability[good].argmax(1)
    columns = {f"probability_{number}": column for number, column in enumerate(probability.T)}
    return Table({"id": ids, "population": population, **columns, "score": score})


def _with_examples(pairs, features, reader, plane, mixture):
    """Return populations with the galaxies nearest to the mean of each as examples."""
    found = Populations(pairs.ids, pairs.input_flux.shape[2:], features, reader, plane, mixture)
    offset = found.coordinates[:, None] - mixture.means
    distance = np.einsum("npi,ij,npj->pn", offset, mixture.precision, offset)
    for number, row in enumerate(np.where(found.table["population"] == np.arange(len(distance))[:, None],
                                          distance, np.inf)):
        rows = [int(one) for one in np.argsort(row, kind="stable")[:_N_SHOWN] if np.isfinite(row[one])]
        if not rows:
            continue
        side = "input" if pairs.target_flux is None else "target"
        flux = pairs.read(rows, images=(f"{side}_flux",))[f"{side}_flux"]
        weight = reader.maps(pairs, rows)
        survey = getattr(pairs, f"{side}_survey")
        found.examples += [
            {"population": number, "id": pairs.ids[one], "flux": flux[index], "survey": survey,
             "weight": None if weight is None else weight[index]} for index, one in enumerate(rows)]
    return found


def _checked_labels(labels, n):
    """Return labels as bool, and which galaxies have one."""
    labels, missing, _ = split(labels, "labels")
    known = np.ones(labels.shape, bool) if missing is None else ~missing
    if labels.dtype.kind != "b":
        raise ValueError(f"labels must be bool, as from bulge_fraction > 0.5, got {labels.dtype}")
    if labels.shape != (n,):
        raise ValueError(f"labels must have shape ({n},), one per galaxy, got {labels.shape}")
    return labels, known
