"""Translate a set of pairs, one block of galaxies at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.table import Table
from tqdm.auto import tqdm

from astro_galtrans._utils.validation import configured
from astro_galtrans._utils.torch_state import on_device
from astro_galtrans.exceptions import BandMismatchError, SurveyError
from astro_galtrans.field._config import TranslationConfig, check_translation, translation_keywords
from astro_galtrans.images import check_coverage
from astro_galtrans.pairs import PairSet
from astro_galtrans.surveys import same_name

if TYPE_CHECKING:
    from os import PathLike

    from astro_galtrans.translation import Translator

__all__ = ["translate_pairs"]

_KEPT = ("input_flux", "input_weight", "input_label", "input_psf", "spectrum_flux", "spectrum_weight")


def translate_pairs(
    translator: Translator, pairs: PairSet | str | PathLike, path: str | PathLike, *, overwrite: bool = False,
    progress: bool = False, config: TranslationConfig | None = None, **settings: object,
) -> PairSet:
    """Translate the input images of a set of pairs to another set, whose target images are the translations.

    Blocks of at most 32 galaxies are read, translated and written, so that a set may be larger than the memory.

    Parameters
    ----------
    translator : Translator
        Trained translator. If it is conditioned on the redshift or on the spectrum, it uses those of the pairs.
    pairs : PairSet or path-like
        Pairs with the translator's input survey and bands on the input side.
    path : path-like
        Zarr folder to create.
    overwrite : bool, optional
        Whether a set of pairs at ``path`` may be replaced.
    progress : bool, optional
        Whether to show a progress bar.
    config : TranslationConfig, optional
        Sampling, missing bands and device; by default ``TranslationConfig()``. The samples of a galaxy depend on the
        seed and its row.
    **settings
        Fields of `~astro_galtrans.field.TranslationConfig`, as ``n_samples=4``; they replace those of ``config``.

    Returns
    -------
    PairSet
        Opened from ``path``, with the input images, redshifts, spectra, ids and catalog of ``pairs``. The target flux
        is the translation and the target weight the inverse square of its uncertainty, both 0 in pixels that depend on
        masked pixels. It does not have the real target images. ``catalog.meta["galtrans"]`` has the provenance.

    Raises
    ------
    SurveyError, BandMismatchError
        If the input images are not those that the translator takes.
    ValueError
        If the pairs lack the metadata that the translator is conditioned on.
    OSError
        If there is no such set, or ``path`` cannot be written.

    See Also
    --------
    astro_galtrans.translation.Translator.translate_array : The same for arrays in memory.
    """
    config = configured(TranslationConfig, config, settings, function=translate_pairs)
    check_translation(translator, config)
    if config.read_config is not None:
        raise ValueError(f"read_config has no effect on a set of pairs, got {config.read_config}")
    pairs = pairs if isinstance(pairs, PairSet) else PairSet.open(pairs)
    _check(translator, pairs, config.allow_missing)
    if pairs.is_within(path):
        raise ValueError(f"the pairs are read from {path}, their translation cannot replace them")
    size = translator.target_size(pairs.input_flux.shape[2:])
    kept = [name for name in _KEPT if getattr(pairs, name) is not None]
    shapes = {name: getattr(pairs, name).shape[1:] for name in kept}
    shapes |= dict.fromkeys(("target_flux", "target_weight"), (len(translator.target_survey), *size))
    surveys = {"input": pairs.input_survey, "target": translator.target_survey}
    with PairSet.writer(path, len(pairs), shapes, surveys, overwrite) as writer, on_device(translator, config.device):
        starts = range(0, len(pairs), writer.block)
        for first in tqdm(starts, desc="translate", unit="block", disable=not progress):
            rows = np.arange(first, min(first + writer.block, len(pairs)))
            batch = pairs.read(rows, images=kept)
            translated = _translated(translator, batch, {
                **translator.known_fwhms(pairs, rows, target=False), **translation_keywords(translator, config, rows)})
            writer.write_images(first, {**{name: batch[name] for name in kept}, **translated})
        writer.finish(pairs.ids, pairs.redshift, _catalog(translator, pairs, size, config),
                      redshift_error=pairs.redshift_error, spectrum_grid=pairs.spectrum_grid)
    return writer.pairs()


def _check(translator, pairs, allow_missing):
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
    if not allow_missing:
        missing = pairs.missing_bands()
        missing[missing.all(1)] = False  # galaxies without any data become masked images
        check_coverage(missing, survey.band_names, "pairs",
                       "pairs.select(~pairs.missing_bands().any(1)) leaves them out")


def _translated(translator, batch, keywords):
    """Return flux and weight of the translation of a block."""
    if "target_psf" in keywords:
        keywords["target_psf_fwhm"] = keywords.pop("target_psf")
    if translator.conditioning == "redshift":
        keywords |= {name: batch[name] for name in ("redshift", "redshift_error")}
    elif translator.conditioning == "spectrum":
        keywords["spectrum"] = batch["spectrum_flux"], batch["spectrum_weight"]
    flux, sigma = translator.translate_array_with_uncertainty(
        batch["input_flux"], weight=batch.get("input_weight"), **keywords)
    good = np.isfinite(flux) & np.isfinite(sigma) & (sigma > 0)
    weight = np.divide(1, sigma**2, out=np.zeros_like(sigma), where=good)
    return {"target_flux": np.where(good, flux, 0), "target_weight": weight}


def _catalog(translator, pairs, size, config):
    """Return the catalog with the pixel grids of the new images, and the provenance."""
    catalog = Table() if pairs.catalog is None else pairs.catalog.copy()
    if not catalog.colnames:
        catalog["id"] = pairs.ids
    if "target_grid" in catalog.colnames:
        catalog.remove_column("target_grid")
    if "input_grid" in catalog.colnames:
        # The center of the image keeps its position on the sky.
        grid, ratio = np.array(catalog["input_grid"], dtype=float), translator.network.scale_ratio
        for axis, (old, new) in enumerate(zip(pairs.input_flux.shape[:1:-1], size[::-1])):
            grid[:, axis] = (grid[:, axis] - (old - 1) / 2) / ratio + (new - 1) / 2
        grid[:, 2:] *= ratio
        catalog["target_grid"] = grid
    # The translations do not have the PSFs of the target images that they replace.
    if "target_psf_fwhm" in translator.observing:
        observing = translator.observing_arrays(len(pairs), target_psf_fwhm=config.target_psf)
        catalog["target_psf_fwhm"] = u.Quantity(observing.target_psf_fwhm, u.arcsec)
    elif "target_psf_fwhm" in catalog.colnames:
        catalog.remove_column("target_psf_fwhm")
    sampling = {name: getattr(config, name) for name in ("n_samples", "seed", "n_steps")}
    catalog.meta["galtrans"] = {
        **translator.describe(), **{name: int(value) for name, value in sampling.items() if value is not None}}
    return catalog
