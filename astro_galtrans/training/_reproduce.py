"""Train a translator again from its provenance, and compare the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TYPE_CHECKING

import torch

from astro_galtrans.exceptions import SurveyError
from astro_galtrans.training._config import TrainConfig
from astro_galtrans.training._fit import fit
from astro_galtrans.translation import Translator

if TYPE_CHECKING:
    from astro_galtrans.pairs import PairSet

__all__ = ["Reproduction", "reproduce"]

# Entries of the provenance that decide the weights, or may change their last digits.
_DECISIVE = ("seed", "n_pairs", "pairs_hash", "n_validation", "validation_hash", "best_epoch", "device", "n_threads")


@dataclass(frozen=True)
class Reproduction:
    """Result of `reproduce`.

    Parameters
    ----------
    translator : Translator
        The translator of the new training.
    n_weights, n_different : int
        Number of weights of network and objective, and of those that differ.
    largest_difference : float
        Largest absolute difference of a weight; NaN if the networks have other weights.
    changes : dict of str to tuple
        Entries of the provenance that differ: value of the given translator, None if it does not have it, and of the
        new one.
    """

    translator: Translator
    n_weights: int
    n_different: int
    largest_difference: float
    changes: dict[str, tuple[Any, Any]]

    @property
    def identical(self) -> bool:
        """Whether all weights are bitwise identical."""
        return self.n_different == 0


def reproduce(
    translator: Translator, pairs: PairSet, *, validation: PairSet | None = None, device: str | None = None,
    progress: bool = False,
) -> Reproduction:
    """Train a translator again from its provenance, and compare the weights.

    Parameters
    ----------
    translator : Translator
        A translator that `fit` trained.
    pairs : PairSet
        Pairs that it was trained on, in its direction; with the validation pairs if `fit` split them off.
    validation : PairSet, optional
        Validation pairs, if they were given to `fit` as a PairSet.
    device : str, optional
        As for `fit`; by default the CPU if the translator was trained on it, otherwise a GPU if there is one.
    progress : bool, optional
        Whether to show a progress bar.

    Returns
    -------
    Reproduction

    Raises
    ------
    ValueError
        If the provenance has no configuration or another one than this version knows, or validation pairs are missing
        or not needed.
    SurveyError
        If the pairs are of other surveys, or in another direction.

    Examples
    --------
    ``reproduce(load("t.asdf"), PairSet.open("pairs.zarr")).identical`` is what ``galtrans reproduce`` reports.
    """
    stored = translator.provenance
    config = _config_of(translator)
    for side in ("input_survey", "target_survey"):
        wanted, given = getattr(translator, side), getattr(pairs, side)
        if (wanted.name, wanted.band_names) != (given.name, given.band_names):
            raise SurveyError(
                f"pairs must have the {side} of translator {translator.name!r}, {wanted.name} "
                f"{','.join(wanted.band_names)}, got {given.name} {','.join(given.band_names)}; pairs.reversed() and "
                "pairs.within() have other directions")
    fraction = stored.get("validation_fraction")
    if validation is not None and (fraction is not None or not stored.get("n_validation")):
        raise ValueError(f"validation must be None: translator {translator.name!r} was trained with a fraction of "
                         f"{fraction or 0} of its pairs as validation pairs")
    if validation is None and fraction is None and stored.get("n_validation"):
        raise ValueError(f"validation must be the {stored['n_validation']} validation pairs with which translator "
                         f"{translator.name!r} was trained, got None")
    if device is None and stored.get("device") == "cpu":
        device = "cpu"
    again = fit(pairs, config, validation=fraction if validation is None else validation, device=device,
                name=translator.name, progress=progress).translator
    n_weights, n_different, largest = _compared(translator, again)
    return Reproduction(again, n_weights, n_different, largest, _changes(stored, again.provenance))


def _config_of(translator):
    """Return the configuration in the provenance of a translator."""
    config = translator.provenance.get("config")
    if config is None:
        raise ValueError(f"translator {translator.name!r} has no configuration of its training in its provenance")
    try:
        return TrainConfig(**config)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the configuration of translator {translator.name!r} is not one of this version of "
                         f"astro_galtrans: {error}") from error


def _compared(translator, other):
    """Return the number of weights, that of different ones, and the largest difference."""
    weights, others = ({f"{part}.{key}": value.detach().cpu() for part in ("network", "objective")
                        for key, value in getattr(one, part).state_dict().items()} for one in (translator, other))
    n_weights = sum(value.numel() for value in weights.values())
    if {key: value.shape for key, value in weights.items()} != {key: value.shape for key, value in others.items()}:
        return n_weights, n_weights, float("nan")
    differences = torch.cat([(value.double() - others[key].double()).abs().flatten()
                             for key, value in weights.items()])
    return n_weights, int((differences != 0).sum()), float(differences.max())


def _changes(stored, new):
    """Return the entries of two provenances that differ and decide the weights."""
    entries = [{**{name: one.get(name) for name in _DECISIVE},
                **{f"{package} version": number for package, number in one.get("versions", {}).items()}}
               for one in (stored, new)]
    return {name: (entries[0].get(name), entries[1].get(name)) for name in {**entries[0], **entries[1]}
            if entries[0].get(name) != entries[1].get(name)}
