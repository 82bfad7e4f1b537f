"""Translate cubes in FITS files."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple, TYPE_CHECKING

import numpy as np
from astropy.units import dimensionless_unscaled
from tqdm.auto import tqdm

from astro_galtrans._utils.io import check_folder, check_space, whole_files
from astro_galtrans._utils.masked import floats
from astro_galtrans._utils.validation import configured
from astro_galtrans._utils.torch_state import on_device
from astro_galtrans.field._conditions import spectrum_arrays
from astro_galtrans.field._config import TranslationConfig, check_translation, translation_keywords
from astro_galtrans.images import read_cube, split_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from specutils import Spectrum

    from astro_galtrans.translation import Translator

__all__ = ["cube_bytes", "translate_files"]

_SUFFIXES = (".bz2", ".gz", ".fz", ".fits", ".fit")
_HEADER_BYTES = 300_000  # headers, checksums and metadata of a FITS cube, with those of its input


class _Image(NamedTuple):
    """The files of a galaxy."""

    given: Path | dict[str, Path]
    files: list[Path]
    name: str
    """Begin of the name of the translated file."""

    @classmethod
    def of(cls, path):
        if not isinstance(path, dict):
            file = split_path(path)[0]
            return cls(Path(path), [file], _stem(file))
        if not path:
            raise ValueError("paths has a galaxy without a file, an empty dict")
        given = {band: Path(one) for band, one in path.items()}
        files = [split_path(one)[0] for one in given.values()]
        name = os.path.commonprefix([_stem(file) for file in files]).rstrip("-_. ")
        return cls(given, files, name or _stem(files[0]))


def _stem(path):
    name = path.name
    for suffix in _SUFFIXES:
        name = name[:-len(suffix)] if name.lower().endswith(suffix) else name
    return name


def translate_files(
    translator: Translator, paths: Sequence[str | PathLike | dict[str, str | PathLike]], out: str | PathLike, *,
    redshift: Sequence[float] | None = None, redshift_error: float | Sequence[float] | None = None,
    spectrum: Sequence[Spectrum | str | PathLike | None] | None = None, overwrite: bool = False,
    progress: bool = False, config: TranslationConfig | None = None, **settings: object,
) -> list[Path]:
    """Translate cubes in FITS files to a folder, one file for each.

    Parameters
    ----------
    translator : Translator
        Trained translator.
    paths : sequence of path-like or dict
        FITS files that `~astro_galtrans.images.BandCube.write` wrote, or that `~astro_galtrans.images.read_cube` reads;
        a galaxy that has a file for each band is a dict of band to path.
    out : path-like
        Folder, created if it does not exist. ``galaxy.fits``, or ``galaxy-g.fits`` and ``galaxy-r.fits``, becomes
        ``galaxy-cfhtls.fits`` in it. The files appear when all are complete.
    redshift : sequence of float, optional
        One for each galaxy, for a translator conditioned on it; NaN if unknown.
    redshift_error : float or sequence of float, optional
        Standard deviation of the redshift, one for all galaxies or for each; by default 0.
    spectrum : sequence, optional
        One for each galaxy, for a translator conditioned on it: a `specutils.Spectrum`, the path of a file that
        `~astro_galtrans.spectra.read_spectrum` reads, or None if there is none.
    overwrite : bool, optional
        Whether files of these names in ``out`` may be replaced.
    progress : bool, optional
        Whether to show a progress bar.
    config : TranslationConfig, optional
        Sampling, missing bands and device; by default ``TranslationConfig()``. The samples of a file depend on the seed
        and on its place in the list.
    **settings
        Fields of `~astro_galtrans.field.TranslationConfig`, as ``n_samples=4``; they replace those of ``config``.

    Returns
    -------
    list of `pathlib.Path`
        The new files.

    Raises
    ------
    OSError
        If a file does not exist, would be replaced, or cannot be written, or the disk has too little space.
    ValueError, TypeError
        If an image does not fit the translator, with a message that begins with the name of its file; if a spectrum
        cannot be read, or the translator is not conditioned on what is given.
    """
    config = configured(TranslationConfig, config, settings, function=translate_files)
    check_translation(translator, config)
    images, out = [_Image.of(path) for path in paths], Path(out)
    if not images:
        raise ValueError("paths must name at least one file, got none")
    conditions = _conditions(translator, images, redshift, redshift_error, spectrum)
    targets = [out / f"{image.name}-{translator.target_survey.name.lower()}.fits" for image in images]
    _check_targets([path for image in images for path in image.files], targets, out)
    names = [target.name for target in targets]
    with whole_files(out, names, overwrite) as partial, on_device(translator, config.device):
        for index, image in enumerate(tqdm(images, desc="translate", unit="file", disable=not progress)):
            keywords = {name: values[index] for name, values in conditions.items()}
            keywords |= translation_keywords(translator, config, [index])
            cube = _translated(translator, image, config.read_config, keywords)
            if spectrum is not None and isinstance(spectrum[index], (str, Path)):
                cube.meta["galtrans"]["spectrum_file"] = str(spectrum[index])
            check_space(out, (len(images) - index) * cube_bytes(translator.target_survey, cube.shape[1:]))
            cube.write(partial / names[index])
    return targets


def cube_bytes(survey, size):
    """Return about the size of the FITS file of a translated cube: flux, standard deviation and mask."""
    return int(9 * len(survey) * np.prod(size)) + _HEADER_BYTES


def _conditions(translator, images, redshift, redshift_error, spectrum):
    """Return the keywords of the translator that are given, each a list with the value of each galaxy."""
    n = len(images)
    if np.ndim(redshift_error) == 0 and redshift_error is not None:
        redshift_error = [redshift_error] * n
    for name, values in (("redshift", redshift), ("redshift_error", redshift_error), ("spectrum", spectrum)):
        if values is not None and len(values) != n:
            raise ValueError(f"{name} must have one value for each of the {n} files, got {len(values)}")
    conditions = {name: list(floats(values, name, unit=dimensionless_unscaled, dtype=float)[:, np.newaxis])
                  for name, values in (("redshift", redshift), ("redshift_error", redshift_error))
                  if values is not None}
    if spectrum is not None:
        if translator.conditioning != "spectrum":
            raise ValueError(f"spectrum was given, but translator {translator.name!r} is not conditioned on it")
        conditions["spectrum"] = [_on_grid(one, translator.spectrum_grid, image.files[0])
                                  for one, image in zip(spectrum, images)]
    return conditions


def _on_grid(spectrum, grid, path):
    """Return flux and weight of the spectrum of one galaxy, with a galaxy axis; errors name a file."""
    try:
        flux, weight = spectrum_arrays(spectrum, grid)
    except (TypeError, ValueError) as error:
        if isinstance(spectrum, (str, Path)):
            raise
        raise type(error)(f"{path}: {error}") from error
    return flux[None], weight[None]


def _check_targets(paths, targets, out):
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"no such file: {path}")
    twice = [target.name for target, count in Counter(targets).items() if count > 1]
    if twice:
        raise ValueError(f"two of the files would both become {twice[0]}; translate them into different folders")
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"{out} is a file, not a folder to write to")
    if not out.exists():
        check_folder(out.absolute())
    for target in targets:
        if target.exists() and any(target.samefile(other) for other in paths):
            raise FileExistsError(f"{target} is one of the files to translate")


def _translated(translator, image, read_config, keywords):
    """Return the translation of the cube in a file; errors name the file."""
    try:
        cube = read_cube(image.given, translator.input_survey, config=read_config)
        return translator([cube], **keywords)[0]
    except (ValueError, TypeError) as error:
        if str(image.files[0]) in str(error):
            raise
        raise type(error)(f"{image.files[0]}: {error}") from error
