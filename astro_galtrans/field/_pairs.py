"""A set of pairs through a translator, a block of galaxies at a time."""

from __future__ import annotations

from typing import Any, TYPE_CHECKING

import numpy as np
from astropy.table import Table
from tqdm.auto import tqdm

from astro_galtrans.exceptions import BandMismatchError, SurveyError
from astro_galtrans.images import check_coverage
from astro_galtrans.pairs import PairSet
from astro_galtrans.surveys import same_name
from astro_galtrans.translation import Translator

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["translate_pairs"]


def translate_pairs(
    translator: Translator, pairs: PairSet | str | PathLike, path: str | PathLike, *, n_samples: int | None = None,
    seed: int | None = None, n_steps: int | None = None, allow_missing: bool = False, overwrite: bool = False,
    device: str | None = None, progress: bool = False,
) -> PairSet:
    """Translate the input images of a set of pairs, into another set whose target images are the translations.

    Blocks of at most 32 galaxies are read, translated and written, so that a set may be larger than the memory.

    Parameters
    ----------
    translator : Translator
        Trained translator. One that is conditioned on the redshift or on the spectrum is given those of the pairs.
    pairs : PairSet or path-like
        Pairs with the translator's input survey and bands on the input side.
    path : path-like
        Zarr folder to make.
    n_samples, seed, n_steps : int, optional
        How a generative translator is sampled from; see `~astro_galtrans.translation.Translator`. The samples of a
        galaxy depend on the seed and its row.
    allow_missing : bool, optional
        Whether to translate galaxies of which a band, or the middle of one, has no data; see
        `~astro_galtrans.translation.Translator`.
    overwrite : bool, optional
        Whether a set of pairs at ``path`` may be replaced.
    device : str, optional
        Where to compute.
    progress : bool, optional
        Whether to show a progress bar.

    Returns
    -------
    PairSet
        Opened from ``path``: input images, redshifts, spectra, ids and catalogue are those of ``pairs``. The target
        flux is the translation and the target weight the inverse square of its uncertainty, both 0 where it rests on
        masked pixels. The real target images are not in it. ``catalog.meta["galtrans"]`` has the provenance.

    Raises
    ------
    SurveyError, BandMismatchError
        If the input images are not those that the translator takes.
    ValueError
        If the pairs lack what the translator is conditioned on.
    OSError
        If there is no such set, or ``path`` cannot be written.

    See Also
    --------
    astro_galtrans.translation.Translator.translate_array : The same for arrays in memory.
    """
    if not isinstance(translator, Translator):
        raise TypeError(f"translator must be a Translator, got {type(translator).__name__}")
    pairs = pairs if isinstance(pairs, PairSet) else PairSet.open(pairs)
    _check(translator, pairs)
    if not allow_missing:
        missing = pairs.missing_bands()
        missing[missing.all(1)] = False  # galaxies without any data become masked images
        check_coverage(missing, pairs.input_survey.band_names, "pairs",
                       "pairs.select(~pairs.missing_bands().any(1)) leaves them out")
    if any(hasattr(array, "is_within") and array.is_within(path) for array in (pairs.input_flux, pairs.target_flux)):
        raise ValueError(f"the pairs are read from {path}, their translation cannot be written over them")
    size = translator.target_size(pairs.input_flux.shape[2:])
    kept = [name for name in ("input_flux", "input_weight", "input_psf", "spectrum_flux", "spectrum_weight")
            if getattr(pairs, name) is not None]
    shapes = {name: getattr(pairs, name).shape[1:] for name in kept}
    shapes |= dict.fromkeys(("target_flux", "target_weight"), (len(translator.target_survey), *size))
    surveys = {"input": pairs.input_survey, "target": translator.target_survey}
    if device is not None:
        translator.to(device)
    sampling: dict[str, Any] = {"n_samples": n_samples, "seed": seed, "n_steps": n_steps}
    with PairSet.writer(path, len(pairs), shapes, surveys, overwrite) as writer:
        starts = range(0, len(pairs), writer.block)
        for first in tqdm(starts, desc="translate", unit="block", disable=not progress):
            rows = np.arange(first, min(first + writer.block, len(pairs)))
            batch = pairs.read(rows, images=kept)
            if translator.network.generative:
                sampling["galaxies"] = rows
            writer.write_images(
                first, _translated(translator, batch, kept, {**sampling, "allow_missing": allow_missing}))
        writer.finish(pairs.ids, pairs.redshift, _catalog(translator, pairs, size, sampling),
                      redshift_error=pairs.redshift_error, spectrum_grid=pairs.spectrum_grid)
    return PairSet.open(path)


def _check(translator, pairs):
    survey, wanted = pairs.input_survey, translator.input_survey
    if not same_name(survey.name, wanted.name):
        raise SurveyError(
            f"translator {translator.name!r} takes {wanted.name}, the input images of the pairs are of {survey.name}")
    if survey.band_names != wanted.band_names:
        raise BandMismatchError(f"translator {translator.name!r} takes bands {','.join(wanted.band_names)}, the input "
                                f"images of the pairs have {','.join(survey.band_names)}")
    kind = translator.conditioning
    if kind is not None and (pairs.redshift if kind == "redshift" else pairs.spectrum_flux) is None:
        raise ValueError(f"translator {translator.name!r} is conditioned on the {kind}, and the pairs have none")
    if kind == "spectrum" and pairs.spectrum_grid != translator.spectrum_grid:
        raise ValueError(f"translator {translator.name!r} takes spectra on {translator.spectrum_grid}, those of the "
                         f"pairs are on {pairs.spectrum_grid}")


def _translated(translator, batch, kept, sampling):
    """The arrays of a block of the new set."""
    told = {}
    if translator.conditioning == "redshift":
        told = {"redshift": batch["redshift"], "redshift_error": batch["redshift_error"]}
    elif translator.conditioning == "spectrum":
        told = {"spectrum": (batch["spectrum_flux"], batch["spectrum_weight"])}
    flux, sigma = translator.translate_array(
        batch["input_flux"], weight=batch.get("input_weight"), return_uncertainty=True, **told, **sampling)
    good = np.isfinite(flux) & np.isfinite(sigma) & (sigma > 0)
    weight = np.divide(1, sigma**2, out=np.zeros_like(sigma), where=good)
    return {**{name: batch[name] for name in kept}, "target_flux": np.where(good, flux, 0), "target_weight": weight}


def _catalog(translator, pairs, size, sampling):
    """The catalogue with the pixel grids of the new images, and the provenance."""
    catalog = Table() if pairs.catalog is None else pairs.catalog.copy()
    if not catalog.colnames:
        catalog["id"] = pairs.ids
    if "target_grid" in catalog.colnames:
        catalog.remove_column("target_grid")
    if "input_grid" in catalog.colnames:
        # The middle of the image stays where it is on the sky.
        grid, step = np.array(catalog["input_grid"], dtype=float), translator.network.scale_ratio
        for axis, (old, new) in enumerate(zip(pairs.input_flux.shape[:1:-1], size[::-1])):
            grid[:, axis] = (grid[:, axis] - (old - 1) / 2) / step + (new - 1) / 2
        grid[:, 2:] *= step
        catalog["target_grid"] = grid
    used = {name: int(value) for name, value in sampling.items() if name != "galaxies" and value is not None}
    catalog.meta["galtrans"] = {**translator.describe(), **used}
    return catalog
