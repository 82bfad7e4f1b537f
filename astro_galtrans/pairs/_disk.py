"""Sets of pairs as Zarr v3 groups: written completely or not at all, read one block of galaxies at a time."""

import os
import shutil
from pathlib import Path

import astropy.units as u
import numpy as np
import zarr
from astropy.table import Column, Table
from zarr.codecs import BloscCodec, Crc32cCodec

from astro_galtrans._utils.bounds import check_unpacked
from astro_galtrans._utils.io import check_folder, check_new, check_space, whole_folder
from astro_galtrans._utils.masked import split
from astro_galtrans._utils.meta import decoded, writable
from astro_galtrans.exceptions import FileFormatError, SurveyError
from astro_galtrans.pairs._checks import checked_label
from astro_galtrans.spectra import SpectrumGrid
from astro_galtrans.surveys import Band, Survey, get_survey

__all__ = ["FORMAT", "MAX_BLOCK", "VERSION", "LazyArray", "MemoryWriter", "PairWriter", "check_replaceable",
           "open_pairs"]

FORMAT, VERSION = "astro_galtrans.pairs", 4
MAX_BLOCK = 32
_BLOCK_BYTES = 2**22
# Suffixes of files, which no reader would look for in a folder.
_OTHER_SUFFIXES = (".asdf", ".csv", ".ecsv", ".fit", ".fits", ".fz", ".gz", ".h5", ".hdf5", ".html", ".npy", ".npz",
                   ".parquet", ".tar", ".txt", ".vot", ".xml", ".yaml", ".yml", ".zip")
_SURVEY_NUMBERS = ("zero_point", "sky_noise", "gain")
_AXES = {1: ("pixel",), 2: ("y", "x"), 3: ("band", "y", "x")}  # of one galaxy


def _is_label(name):
    return name.endswith("_label")


def _storage(name):
    """Return the dtype of an array, and the value of its missing blocks, which no image has."""
    return (np.dtype(np.uint8), 255) if _is_label(name) else (np.dtype(np.float32), np.nan)


def _checked_block(images, shapes):
    """Return a block of images with labels checked."""
    return {name: checked_label(name, values, (len(values), *shapes[name])) if _is_label(name) else values
            for name, values in images.items()}


class MemoryWriter:
    """Collect at most ``n`` pairs in memory, with the methods of `PairWriter`."""

    block = MAX_BLOCK

    def __init__(self, n, shapes, surveys, create):
        self.arrays = {name: np.empty((n, *shape), _storage(name)[0]) for name, shape in shapes.items()}
        self.shapes, self.surveys, self._create, self._columns = shapes, surveys, create, {}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def write_images(self, first, images):
        """Write the images of some galaxies from row ``first``, a dict of arrays."""
        for name, values in _checked_block(images, self.shapes).items():
            self.arrays[name][first:first + len(values)] = values

    def leave_out(self, name):
        """Remove an array of all pairs."""
        del self.arrays[name], self.shapes[name]

    def shorten(self, n):
        """Keep the first ``n`` pairs."""
        for array in self.arrays.values():
            if n < len(array):
                array.resize((n, *array.shape[1:]), refcheck=False)  # in place: a copy would double the memory

    def finish(self, ids, redshift, catalog, *, redshift_error=None, spectrum_grid=None):
        """Add all that is not images."""
        self._columns = {"ids": np.asarray(ids), "redshift": redshift, "catalog": catalog,
                         "redshift_error": redshift_error, "spectrum_grid": spectrum_grid}

    def pairs(self, **options):
        """Return the finished set."""
        surveys = {f"{side}_survey": survey for side, survey in self.surveys.items()}
        return self._create(self.arrays, **self._columns, **surveys, **options)


class PairWriter:
    """Write pairs block by block; a context manager that completes the folder at its end.

    Parameters
    ----------
    path : path-like
        Folder to create.
    n : int
        Number of pairs.
    shapes : dict of str to tuple
        Shape of each array of images or spectra without the galaxy axis.
    surveys : dict of str to Survey
        ``"input"`` and ``"target"``.
    overwrite : bool
        Whether a set of pairs that exists may be replaced.
    create : callable
        Called with the arrays and the other parts of the finished set as keywords.
    folder : context manager, optional
        Gives the folder to write to; by default a temporary one that replaces ``path``.
    written : int, optional
        Number of pairs that the folder has already.
    """

    def __init__(self, path, n, shapes, surveys, overwrite, create, folder=None, written=0):
        self.path, self.n, self.shapes, self.surveys = path, n, shapes, surveys
        self._create, self._written = create, written
        check_replaceable(Path(path), overwrite)
        self._folder = whole_folder(path) if folder is None else folder
        largest = max(self._bytes())
        self.block = 2 ** int(np.log2(np.clip(_BLOCK_BYTES // largest, 1, MAX_BLOCK)))

    def __enter__(self):
        folder = self._folder.__enter__()
        try:
            check_space(os.path.dirname(os.path.abspath(self.path)), (self.n - self._written) * sum(self._bytes()))
            if self._written:
                self.group = zarr.open_group(str(folder), mode="r+", zarr_format=3)
            else:
                self.group = self._new_group(folder)
        except BaseException as error:
            self._folder.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(self, *error):
        return self._folder.__exit__(*error)

    def _bytes(self):
        """Return the bytes of one galaxy in each array."""
        return [_storage(name)[0].itemsize * int(np.prod(shape)) for name, shape in self.shapes.items()]

    def _new_group(self, folder):
        group = zarr.create_group(str(folder), zarr_format=3)
        for name, shape in self.shapes.items():
            # Every block is written, so that a lost block reads as the fill value, not as empty sky.
            dtype, missing = _storage(name)
            group.create_array(
                name, shape=(self.n, *shape), dtype=dtype, chunks=(self.block, *shape), fill_value=missing,
                compressors=[BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"), Crc32cCodec()],
                config={"write_empty_chunks": True},
                dimension_names=("galaxy", *_AXES[len(shape)]))
        return group

    def write_images(self, first, images):
        """Write the images of some galaxies from row ``first``, a dict of arrays."""
        for name, values in _checked_block(images, self.shapes).items():
            self.group[name][first:first + len(values)] = values

    def leave_out(self, name):
        """Remove an array of all pairs."""
        self._remove(name)
        del self.shapes[name]

    def _remove(self, name):
        """Remove an array or group, also what is left of one whose removal was interrupted."""
        shutil.rmtree(Path(self.group.store.root) / name, ignore_errors=True)

    def shorten(self, n):
        """Keep the first ``n`` pairs."""
        for name, shape in self.shapes.items():
            self.group[name].resize((n, *shape))
        self.n = n

    def finish(self, ids, redshift, catalog, *, redshift_error=None, spectrum_grid=None):
        """Write all that is not images; the last call."""
        if ("spectrum_flux" in self.shapes) != (spectrum_grid is not None):
            raise ValueError("spectrum_grid must be given with spectra, and only with them")
        for path in Path(self.group.store.root).iterdir():
            if path.is_dir() and path.name not in self.shapes:  # of a call that was interrupted
                self._remove(path.name)
        _write_column(self.group, "ids", np.asarray(ids))
        for name, column in (("redshift", redshift), ("redshift_error", redshift_error)):
            if column is not None:
                _write_column(self.group, name, np.asarray(column))
        # The lowest version that knows all parts: 1 lacks spectra and redshift errors, 2 PSFs, 3 labels.
        version = 1 if redshift_error is None and spectrum_grid is None else 2
        version = 3 if {"input_psf", "target_psf"} & set(self.shapes) else version
        version = VERSION if {"input_label", "target_label"} & set(self.shapes) else version
        attributes = {"format": FORMAT, "version": version, "n": self.n, "images": sorted(self.shapes),
                      **{f"{side}_survey": _survey_to_json(survey) for side, survey in self.surveys.items()}}
        if spectrum_grid is not None:
            attributes["spectrum_grid"] = spectrum_grid.to_dict()
        if catalog is not None:
            attributes["catalog"] = _write_catalog(self.group.create_group("catalog"), catalog)
        self.group.attrs.update(attributes)

    def pairs(self, **options):
        """Open the finished set."""
        images, parts = open_pairs(self.path)
        return self._create(images, **parts, **options)


class LazyArray:
    """Some rows of a Zarr array, by default all, indexed like an ndarray; every read gives an ndarray."""

    def __init__(self, source, rows=None):
        self.source = source
        self.rows = np.arange(source.shape[0]) if rows is None else rows

    @property
    def shape(self):
        return (len(self.rows), *self.source.shape[1:])

    @property
    def dtype(self):
        return self.source.dtype

    @property
    def ndim(self):
        return len(self.shape)

    @property
    def nbytes(self):
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __len__(self):
        return len(self.rows)

    def __repr__(self):
        return f"<LazyArray {self.shape} {self.dtype} of {self.source.store_path}>"

    def is_within(self, path):
        """Whether this array is part of the file at ``path``."""
        return Path(os.path.realpath(self.source.store.root)).is_relative_to(os.path.realpath(path))

    def take_rows(self, rows):
        """Return some rows of this array, not read yet."""
        return LazyArray(self.source, self.rows[rows])

    def _read(self, rows):
        wanted, back = np.unique(rows, return_inverse=True)
        if not len(wanted):
            return np.empty((0, *self.shape[1:]), self.dtype)
        try:
            if wanted[-1] - wanted[0] + 1 == len(wanted):
                values = self.source[int(wanted[0]):int(wanted[-1]) + 1]
            else:
                values = self.source.get_orthogonal_selection((wanted,))
        except Exception as error:  # each codec has its own errors for broken bytes
            raise FileFormatError(f"{self.source.store_path} cannot be read, part of it is broken: {error}") from error
        if (values == self.source.fill_value if _is_label(self.source.name) else np.isnan(values)).any():
            raise FileFormatError(f"{self.source.store_path} is not complete: part of the images is missing")
        return values if np.array_equal(back, np.arange(len(wanted))) else values[back]

    def __getitem__(self, key):
        first, rest = (key[0], key[1:]) if isinstance(key, tuple) and key else (key, ())
        if first is Ellipsis or first is None or (isinstance(key, tuple) and not key):
            return np.asarray(self)[key]
        rows = self.rows[first]
        if np.ndim(rows) == 0:
            return self._read(np.array([rows]))[0][rest]
        if np.ndim(rows) != 1:
            raise IndexError(f"the first index must be an integer, a slice or one-dimensional, got {first!r}")
        return self._read(rows)[(slice(None), *rest)]

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError("an array on disk cannot be read without a copy")
        values = self._read(self.rows)
        return values if dtype is None else values.astype(dtype, copy=False)


def open_pairs(path):
    """Return the arrays of a set of pairs, a dict of `LazyArray`, and the other arguments of `PairSet`."""
    group = _open_group(path)
    attributes = dict(group.attrs)
    try:
        images = {}
        for name in attributes["images"]:
            array = group[name]
            if min(array.shape[1:], default=1) < 1 or (name.endswith("_flux") and array.dtype.kind != "f"):
                raise FileFormatError(f"{path} has {name} of shape {array.shape} and type {array.dtype}")
            # Zarr would look for each of the blocks that a damaged shape asks for.
            n_files = sum(len(files) for _, _, files in os.walk(Path(path) / name))
            if array.nchunks > n_files or array.shape[0] != attributes["n"]:
                raise FileFormatError(f"{path} is not complete: {name} of shape {array.shape} has {n_files} files")
            if array.nchunks_initialized != array.nchunks:
                raise FileFormatError(
                    f"{path} is not complete: {name} has {array.nchunks_initialized} of {array.nchunks} blocks")
            images[name] = LazyArray(array)
        parts = {
            "ids": _read_column(group, "ids"),
            **{name: _read_column(group, name) if name in group else None for name in ("redshift", "redshift_error")},
            "spectrum_grid": SpectrumGrid.from_dict(attributes["spectrum_grid"]) if "spectrum_flux" in images else None,
            "catalog": _read_catalog(group["catalog"], attributes["catalog"]) if "catalog" in attributes else None,
            **{f"{side}_survey": _survey_from_json(attributes[f"{side}_survey"]) for side in ("input", "target")},
        }
        images["input_flux"], images["target_flux"]
        for name in ("ids", "redshift", "redshift_error", "catalog"):
            if parts[name] is not None and len(parts[name]) != attributes["n"]:
                raise FileFormatError(f"{path} has {attributes['n']} pairs, and {name} of {len(parts[name])}")
    except FileFormatError as error:
        raise error if str(path) in str(error) else FileFormatError(f"{path}: {error}") from error
    except Exception as error:  # codecs and values of a broken file raise many kinds of errors
        raise FileFormatError(f"{path} is broken: {error!r}") from error
    return images, parts


def _open_group(path):
    if not Path(path).exists():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        group = zarr.open_group(str(path), mode="r", zarr_format=3)
        attributes = dict(group.attrs)
    except FileNotFoundError as error:
        raise FileFormatError(f"{path} is not a set of pairs, which is a folder that PairSet.write made") from error
    except Exception as error:  # zarr has several errors for broken folders
        raise FileFormatError(f"{path} is not a set of pairs: {error}") from error
    if attributes.get("format") != FORMAT:
        raise FileFormatError(f"{path} is not a set of pairs, or was not written to its end")
    if not isinstance(attributes.get("version"), int) or attributes["version"] > VERSION:
        raise FileFormatError(
            f"{path} is of version {attributes.get('version')!r}, this package reads versions up to {VERSION}")
    return group


def check_replaceable(path, overwrite):
    """Raise an error unless ``path`` is free, or has a set of pairs that may be replaced, and names a folder."""
    if path.suffix.lower() in _OTHER_SUFFIXES:
        raise ValueError(f"path must name a Zarr folder, as {path.stem}.zarr, got {str(path)!r} with the suffix of a "
                         "file of another format")
    check_new(check_folder(path), overwrite)
    if os.path.lexists(path):
        try:
            _open_group(path)
        except FileFormatError as error:
            raise FileExistsError(f"{path} is not a set of pairs, it is not overwritten") from error


def _write_column(group, name, values):
    """Write numbers as they are, strings as the bytes of their UTF-8, and bytes as bytes."""
    encoding = {"U": "utf-8", "S": "bytes"}.get(values.dtype.kind, "plain")
    if encoding != "plain":
        encoded = values if encoding == "bytes" else np.char.encode(values, "utf-8")
        width = max(encoded.dtype.itemsize, 1)
        values = np.frombuffer(encoded.astype(f"S{width}").tobytes(), np.uint8).reshape(*values.shape, width)
    elif values.dtype.kind not in "biuf" or values.dtype.itemsize > 8:
        raise TypeError(f"column {name!r} cannot be written: it holds {values.dtype}, not numbers or strings")
    if values.dtype.byteorder == ">":
        values = values.astype(values.dtype.newbyteorder("="))
    array = group.create_array(name, shape=values.shape, dtype=values.dtype, config={"write_empty_chunks": True},
                               chunks=tuple(max(side, 1) for side in values.shape))
    array[...] = values
    array.attrs["encoding"] = encoding


def _read_column(group, name):
    array = group[name]
    check_unpacked(array.nbytes, array.nbytes_stored(), f"column {name!r}")
    values = np.asarray(array[...])
    if array.attrs["encoding"] == "plain":
        return values
    values = np.ascontiguousarray(values).view(f"S{values.shape[-1]}")[..., 0]
    return np.char.decode(values, "utf-8") if array.attrs["encoding"] == "utf-8" else values


def _write_catalog(group, catalog):
    """Write the columns as arrays, and return their description as JSON types."""
    columns = []
    for name in catalog.colnames:
        column = catalog[name]
        if not isinstance(column, (Column, u.Quantity)):
            kind = type(column).__name__
            raise TypeError(f"column {name!r} of the catalog cannot be written: {kind} is not a plain column")
        values, mask, unit = split(column, name)
        key = f"column_{len(columns)}"
        try:
            _write_column(group, key, values)
        except TypeError as error:
            raise TypeError(f"column {name!r} of the catalog cannot be written: it holds {values.dtype}") from error
        if mask is not None:
            _write_column(group, f"{key}_mask", mask)
        info = column.info
        columns.append({"name": name, "key": key, "unit": None if unit is None else unit.to_string(),
                        "description": info.description, "masked": mask is not None,
                        "format": info.format if isinstance(info.format, str) else None,
                        "meta": writable(info.meta or {}, f"catalog[{name!r}].meta", refuse=True)})
    return {"columns": columns, "meta": writable(catalog.meta, "catalog.meta", refuse=True)}


def _read_catalog(group, description):
    catalog = Table(meta=decoded(description["meta"]), masked=False)
    for column in description["columns"]:
        values = _read_column(group, column["key"])
        if column["masked"]:
            values = np.ma.MaskedArray(values, _read_column(group, f"{column['key']}_mask"))
        catalog[column["name"]] = values
        catalog[column["name"]].unit = column["unit"]
        catalog[column["name"]].description = column["description"]
        catalog[column["name"]].format = column.get("format")
        catalog[column["name"]].meta.update(decoded(column.get("meta", {})))
    return catalog


def _survey_to_json(survey):
    """Return all of a `Survey` as JSON types, so that a file can be read without registering it."""
    bands = [{"name": band.name, "wavelength": band.wavelength.value.tolist(), "response": band.response.tolist(),
              "psf_fwhm": band.psf_fwhm.value, **{name: getattr(band, name) for name in _SURVEY_NUMBERS}}
             for band in survey]
    return {"name": survey.name, "description": survey.description, "unit": survey.unit.to_string(),
            "pixel_scale": survey.pixel_scale.value, "keywords": dict(survey.keywords), "bands": bands}


def _survey_from_json(tree):
    """Return the `Survey` of a dict: the registered object if it is the same survey."""
    bands = [Band(band["name"], np.array(band["wavelength"]) * u.AA, np.array(band["response"]),
                  psf_fwhm=band["psf_fwhm"] * u.arcsec, **{name: band[name] for name in _SURVEY_NUMBERS})
             for band in tree["bands"]]
    survey = Survey(tree["name"], tuple(bands), tree["pixel_scale"] * u.arcsec, tree["unit"], tree["description"],
                    tree.get("keywords", {}))
    try:
        known = get_survey(survey.name).select(survey.band_names)
    except SurveyError:
        return survey
    return known if _survey_to_json(known) == _survey_to_json(survey) else survey
