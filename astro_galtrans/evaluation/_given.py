"""What a translator is given of each galaxy beside its image, and how often it is asked."""

from typing import NamedTuple

import numpy as np

__all__ = ["Draws", "check_given", "conditions", "is_generative"]

_BLOCK = 256  # galaxies whose spectra are looked at together


def is_generative(translator):
    """Whether a translator draws samples."""
    return bool(getattr(getattr(translator, "network", None), "generative", False))


class Draws(NamedTuple):
    """How generative translators are sampled from; the others have one translation for each image."""

    n_samples: int = 1
    """Images of each galaxy, whose mean is judged."""
    seed: int = 0
    first: int = 0
    """Number of the first galaxy: other galaxies are not made from the same noise."""

    def options(self, translator, start, n_galaxies):
        """Keywords for a batch of ``n_galaxies`` from row ``start`` on, a dict."""
        if not is_generative(translator):
            return {}
        start += self.first
        return {"n_samples": self.n_samples, "seed": self.seed, "galaxies": range(start, start + n_galaxies)}


def conditions(translator, batch):
    """Keywords that tell a translator of the galaxies of a batch what it is conditioned on, a dict."""
    kind = getattr(translator, "conditioning", None)
    if kind is None:
        return {}
    if kind == "spectrum":
        return {"spectrum": (np.asarray(batch["spectrum_flux"]), np.asarray(batch["spectrum_weight"]))}
    error = batch.get("redshift_error")
    return {"redshift": batch["redshift"], **({} if error is None else {"redshift_error": error})}


def check_given(name, translator, pairs, what):
    """ValueError where pairs do not have what a translator is conditioned on.

    Parameters
    ----------
    name : str
        Of the translator, for the message.
    translator : Translator
    pairs : PairSet
    what : str
        Which pairs they are: "test" or "training".
    """
    kind = getattr(translator, "conditioning", None)
    if kind not in (None, "redshift", "spectrum"):
        raise ValueError(f"translator {name!r} is conditioned on {kind!r}, which is not something that pairs have")
    if kind is None:
        return
    values = pairs.redshift if kind == "redshift" else pairs.spectrum_flux
    if values is None:
        raise ValueError(f"translator {name!r} needs a {kind}, and the {what} pairs have none")
    if kind == "spectrum" and getattr(translator, "spectrum_grid", pairs.spectrum_grid) != pairs.spectrum_grid:
        raise ValueError(f"translator {name!r} takes spectra on {translator.spectrum_grid}, those of the {what} pairs "
                         f"are on {pairs.spectrum_grid}")
    if getattr(translator, "takes_unknown", True):
        return
    n_unknown = np.count_nonzero(~np.isfinite(values)) if kind == "redshift" else _n_empty(pairs.spectrum_weight)
    if n_unknown:
        raise ValueError(f"translator {name!r} was trained with the {kind} of each galaxy and takes none without; "
                         f"{n_unknown} of the {len(pairs)} {what} pairs have none")


def _n_empty(weight):
    blocks = (np.asarray(weight[first:first + _BLOCK]) for first in range(0, weight.shape[0], _BLOCK))
    return sum(int(np.count_nonzero(~(block > 0).any(1))) for block in blocks)
