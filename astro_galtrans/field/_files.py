"""Cubes in FITS files through a translator."""

from __future__ import annotations

import os
import shutil
import uuid
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple, TYPE_CHECKING

import numpy as np
from astropy.units import dimensionless_unscaled
from tqdm.auto import tqdm

from astro_galtrans._utils.masked import floats
from astro_galtrans.field._conditions import spectrum_arrays
from astro_galtrans.field._output import check_space, cube_bytes, new_folder
from astro_galtrans.images import read_cube, split_path
from astro_galtrans.translation import Translator
from astro_galtrans.translation._sampling import checked_sampling

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

__all__ = ["translate_files"]

_SUFFIXES = (".bz2", ".gz", ".fz", ".fits", ".fit")


class _Image(NamedTuple):
    """The file of a galaxy, or those of its bands; ``path`` names it in messages, ``name`` in what is made of it."""

    given: Path | dict[str, Path]
    path: Path
    files: list[Path]
    name: str

    @classmethod
    def of(cls, path):
        if not isinstance(path, dict):
            file = split_path(path)[0]
            return cls(Path(path), file, [file], _stem(file))
        if not path:
            raise ValueError("paths has a galaxy without a file, an empty dict")
        given = {band: Path(one) for band, one in path.items()}
        files = [split_path(one)[0] for one in given.values()]
        name = os.path.commonprefix([_stem(file) for file in files]).rstrip("-_. ")
        return cls(given, files[0], files, name or _stem(files[0]))


def translate_files(
    translator: Translator, paths: Sequence[str | PathLike | dict[str, str | PathLike]], out: str | PathLike, *,
    redshift: Sequence[float] | None = None, redshift_error: float | Sequence[float] | None = None,
    spectrum: Sequence[Any] | None = None, n_samples: int | None = None, seed: int | None = None,
    n_steps: int | None = None, allow_missing: bool = False, overwrite: bool = False, device: str | None = None,
    progress: bool = False,
) -> list[Path]:
    """Translate cubes in FITS files, each to one in a folder.

    Parameters
    ----------
    translator : Translator
        Trained translator.
    paths : sequence of path-like or dict
        FITS files that `~astro_galtrans.images.BandCube.write` made, or that `~astro_galtrans.images.read_cube` reads;
        a galaxy that has a file for each band is a dict of band to path.
    out : path-like
        Folder, which is made if need be; ``galaxy.fits`` becomes ``galaxy-cfhtls.fits`` in it, and so do
        ``galaxy-g.fits``, ``galaxy-r.fits``. None of the files appears before all are complete.
    redshift : sequence of float, optional
        One a file, for a translator conditioned on it; NaN where it is not known.
    redshift_error : float or sequence of float, optional
        Standard deviation of the redshift, of all or one a file; 0 without.
    spectrum : sequence, optional
        One a file, for a translator conditioned on it: a `specutils.Spectrum`, the path of a file that
        `~astro_galtrans.spectra.read_spectrum` reads, or None where there is none.
    n_samples, seed, n_steps : int, optional
        How a generative translator is sampled from; see `~astro_galtrans.translation.Translator`. The samples of a
        file depend on the seed and on its place in the list.
    allow_missing : bool, optional
        Whether to translate galaxies of which a band, or the middle of one, has no data; see
        `~astro_galtrans.translation.Translator`.
    overwrite : bool, optional
        Whether files of these names in ``out`` may be replaced.
    device : str, optional
        Where to compute.
    progress : bool, optional
        Whether to show a progress bar.

    Returns
    -------
    list of `pathlib.Path`
        The new files.

    Raises
    ------
    OSError
        If a file is not there, would be replaced, or cannot be written, or the disk has too little space.
    ValueError, TypeError
        If an image does not fit the translator, then the message begins with the name of its file; if a spectrum
        cannot be read, or the translator is not conditioned on what is given.
    """
    if not isinstance(translator, Translator):
        raise TypeError(f"translator must be a Translator, got {type(translator).__name__}")
    images, out = [_Image.of(path) for path in paths], Path(out)
    if not images:
        raise ValueError("paths must name at least one file, got none")
    paths = [image.path for image in images]
    sampling = checked_sampling(translator, n_samples, seed, n_steps)
    told = _told(translator, paths, redshift, redshift_error, spectrum)
    targets = [out / f"{image.name}-{translator.target_survey.name.lower()}.fits" for image in images]
    _check_targets([path for image in images for path in image.files], targets, out, overwrite)
    if device is not None:
        translator.to(device)
    made = not out.exists()
    if made:
        new_folder(out.parent, out.name)
    partial = None
    try:
        partial = new_folder(out, f".galtrans.{uuid.uuid4().hex}.partial")
        for index, image in enumerate(tqdm(images, desc="translate", unit="file", disable=not progress)):
            options = {name: value[index] for name, value in told.items()} | {"allow_missing": allow_missing}
            if sampling is not None:
                options |= sampling._replace(galaxies=[index])._asdict()
            cube = _translated(translator, image, options)
            if spectrum is not None and isinstance(spectrum[index], (str, Path)):
                cube.meta["galtrans"]["spectrum_file"] = str(spectrum[index])
            check_space(out, (len(images) - index) * cube_bytes(translator.target_survey, cube.shape[1:]))
            cube.write(partial / targets[index].name)
        for target in targets:
            os.replace(partial / target.name, target)
    except BaseException:
        if made:
            shutil.rmtree(out, ignore_errors=True)
        raise
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
    return targets


def _told(translator, paths, redshift, redshift_error, spectrum):
    """For each keyword of the translator that is given, its values for each file alone, a dict of lists."""
    n = len(paths)
    if np.ndim(redshift_error) == 0 and redshift_error is not None:
        redshift_error = [redshift_error] * n
    for name, values in (("redshift", redshift), ("redshift_error", redshift_error), ("spectrum", spectrum)):
        if values is not None and len(values) != n:
            raise ValueError(f"{name} must have one value for each of the {n} files, got {len(values)}")
    told = {name: list(floats(values, name, unit=dimensionless_unscaled, dtype=float)[:, np.newaxis])
            for name, values in (("redshift", redshift), ("redshift_error", redshift_error)) if values is not None}
    if spectrum is not None:
        if translator.conditioning != "spectrum":
            raise ValueError(f"spectrum was given, but translator {translator.name!r} is not conditioned on it")
        told["spectrum"] = [_on_grid(one, translator.spectrum_grid, path) for one, path in zip(spectrum, paths)]
    return told


def _on_grid(spectrum, grid, path):
    """Flux and weight of the spectrum of one file's galaxy, with a galaxy axis; other errors name the file."""
    try:
        flux, weight = spectrum_arrays(spectrum, grid)
    except (TypeError, ValueError) as error:
        if isinstance(spectrum, (str, Path)):
            raise
        raise type(error)(f"{path}: {error}") from error
    return flux[None], weight[None]


def _stem(path):
    name = path.name
    for suffix in _SUFFIXES:
        name = name[:-len(suffix)] if name.lower().endswith(suffix) else name
    return name


def _check_targets(paths, targets, out, overwrite):
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"no such file: {path}")
    twice = [target.name for target, count in Counter(targets).items() if count > 1]
    if twice:
        raise ValueError(f"two of the files would both become {twice[0]}; translate them into folders of their own")
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"{out} is a file, not a folder to write to")
    if not out.exists() and not out.absolute().parent.is_dir():
        parent = out.absolute().parent
        kind = NotADirectoryError if parent.exists() else FileNotFoundError
        raise kind(f"cannot make {out}: {parent} {'is not a folder' if parent.exists() else 'does not exist'}")
    for target in targets:
        if target.exists() and (not overwrite or any(target.samefile(other) for other in paths)):
            told = "is one of the files to translate" if overwrite else "exists already; overwrite=True replaces it"
            raise FileExistsError(f"{target} {told}")


def _translated(translator, image, options):
    """The translation of the cube in a file; errors name the file."""
    try:
        return translator([read_cube(image.given, translator.input_survey)], **options)[0]
    except (ValueError, TypeError) as error:
        if str(image.path) in str(error):
            raise
        raise type(error)(f"{image.path}: {error}") from error
