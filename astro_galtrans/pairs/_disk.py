"""A set of pairs as a Zarr v3 group: written whole or not at all, read a block of galaxies at a time."""

import shutil
from pathlib import Path

import numpy as np
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from astro_galtrans._utils.io import whole_folder
from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.pairs._columns import get_catalog, get_column, put_catalog, put_column
from astro_galtrans.pairs._lazy import LazyArray
from astro_galtrans.pairs._survey_json import survey_from_json, survey_to_json
from astro_galtrans.spectra import SpectrumGrid

__all__ = ["FORMAT", "MAX_BLOCK", "VERSION", "PairWriter", "check_replaceable", "open_pairs"]

FORMAT, VERSION = "astro_galtrans.pairs", 3
MAX_BLOCK = 32
_BLOCK_BYTES = 2**22


def _check_space(folder, needed):
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(f"the pairs need up to {needed / 2**20:.0f} MiB, {folder} has {free / 2**20:.0f} MiB free")


def check_replaceable(path, overwrite):
    """Whether a set of pairs can be put at ``path``: nothing is there, or another one that may be replaced."""
    if path.exists() or path.is_symlink():
        if not overwrite:
            raise FileExistsError(f"{path} is there already; overwrite=True replaces it")
        try:
            _open_group(path)
        except FileFormatError as error:
            raise FileExistsError(f"{path} is not a set of pairs, it is not overwritten") from error
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} does not exist")


class PairWriter:
    """Writes pairs block by block; a context manager, at whose end the file is there.

    Parameters
    ----------
    path : path-like
        Folder to make.
    n : int
        Number of pairs.
    shapes : dict of str to tuple
        For each array of images or spectra its shape without the galaxy axis.
    surveys : dict of str to Survey
        ``"input"`` and ``"target"``.
    overwrite : bool
        Whether a set of pairs that is there may be replaced.
    """

    written = 0

    def __init__(self, path, n, shapes, surveys, overwrite=False):
        self.path, self.n, self.shapes, self.surveys = path, n, shapes, surveys
        check_replaceable(Path(path), overwrite)
        self._target = whole_folder(path)
        largest = max(4 * int(np.prod(shape)) for shape in shapes.values())
        self.block = 2 ** int(np.log2(np.clip(_BLOCK_BYTES // largest, 1, MAX_BLOCK)))

    def __enter__(self):
        folder = self._target.__enter__()
        try:
            each = sum(4 * int(np.prod(shape)) for shape in self.shapes.values())
            _check_space(folder, (self.n - self.written) * each)
            self.create_group(folder)
        except BaseException as error:
            self._target.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def create_group(self, folder):
        """Begin the Zarr group of a new folder."""
        self.group = zarr.create_group(str(folder), zarr_format=3)
        for name, shape in self.shapes.items():
            # Every block is written, and a block that was lost reads as NaN and not as an empty sky.
            self.group.create_array(
                name, shape=(self.n, *shape), dtype="float32", chunks=(self.block, *shape), fill_value=np.nan,
                compressors=[BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"), Crc32cCodec()],
                config={"write_empty_chunks": True},
                dimension_names=("galaxy", *(("band", "y", "x") if len(shape) == 3 else ("pixel",))))

    def write_images(self, first, images):
        """Put the images of some galaxies, from row ``first``, a dict of arrays."""
        for name, values in images.items():
            self.group[name][first:first + len(values)] = values

    def finish(self, ids, redshift, catalog, *, redshift_error=None, spectrum_grid=None):
        """Put what is not images; the last thing to write."""
        if ("spectrum_flux" in self.shapes) != (spectrum_grid is not None):
            raise ValueError("spectrum_grid must be given with spectra, and only with them")
        put_column(self.group, "ids", np.asarray(ids))
        for name, column in (("redshift", redshift), ("redshift_error", redshift_error)):
            if column is not None:
                put_column(self.group, name, np.asarray(column))
        # Version 1 knew neither spectra nor errors and 2 no PSFs, and whoever reads only that would lose them without
        # a word.
        version = 1 if redshift_error is None and spectrum_grid is None else 2
        version = VERSION if {"input_psf", "target_psf"} & set(self.shapes) else version
        attributes = {"format": FORMAT, "version": version, "n": self.n, "images": sorted(self.shapes),
                      **{f"{side}_survey": survey_to_json(survey) for side, survey in self.surveys.items()}}
        if spectrum_grid is not None:
            attributes["spectrum_grid"] = spectrum_grid.to_dict()
        if catalog is not None:
            attributes["catalog"] = put_catalog(self.group.create_group("catalog"), catalog)
        self.group.attrs.update(attributes)

    def __exit__(self, *error):
        return self._target.__exit__(*error)


def _open_group(path):
    """The Zarr group at ``path``, after a look at what it says it is."""
    if not Path(path).exists():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        group = zarr.open_group(str(path), mode="r", zarr_format=3)
        attributes = dict(group.attrs)
    except Exception as error:  # zarr has several errors for a folder that is none of its own
        raise FileFormatError(f"{path} is not a set of pairs: {error}") from error
    if attributes.get("format") != FORMAT:
        raise FileFormatError(f"{path} is not a set of pairs, or was not written to its end")
    if not isinstance(attributes.get("version"), int) or attributes["version"] > VERSION:
        raise FileFormatError(
            f"{path} is of version {attributes.get('version')!r}, this package reads versions up to {VERSION}")
    return group


def open_pairs(path):
    """The parts of the set of pairs at ``path``: images, a dict of lazy arrays, and the other parts of a PairSet."""
    group = _open_group(path)
    attributes = dict(group.attrs)
    try:
        images = {}
        for name in attributes["images"]:
            array = group[name]
            if array.nchunks_initialized != array.nchunks or array.shape[0] != attributes["n"]:
                raise FileFormatError(
                    f"{path} is not complete: {name} has {array.nchunks_initialized} of {array.nchunks} blocks")
            images[name] = LazyArray(array)
        parts = {
            "ids": get_column(group, "ids"),
            **{name: get_column(group, name) if name in group else None for name in ("redshift", "redshift_error")},
            "spectrum_grid": SpectrumGrid.from_dict(attributes["spectrum_grid"]) if "spectrum_flux" in images else None,
            "catalog": get_catalog(group["catalog"], attributes["catalog"]) if "catalog" in attributes else None,
            **{f"{side}_survey": survey_from_json(attributes[f"{side}_survey"]) for side in ("input", "target")},
        }
        images["input_flux"], images["target_flux"]
    except FileFormatError:
        raise
    except Exception as error:  # whatever a broken file makes of the codecs and of the values
        raise FileFormatError(f"{path} is broken: {error!r}") from error
    return images, parts
