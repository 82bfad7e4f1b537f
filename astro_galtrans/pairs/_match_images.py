"""The images of one survey: tiles in files or in memory, or one file for each object."""

import warnings
from collections import OrderedDict
from copy import copy
from os import PathLike
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.nddata import NDData
from astropy.table import Table
from astropy.wcs import WCS, FITSFixedWarning
from scipy.spatial import cKDTree

from astro_galtrans._utils.files import FITS_ERRORS, first_image, listed_files
from astro_galtrans._utils.tables import read_table
from astro_galtrans.exceptions import BandMismatchError, FileFormatError, SurveyError
from astro_galtrans.images import (
    BandCube, FrameSet, as_band_cube, empty_pixels, read_cube, read_frames, split_path, stack_bands,
)

__all__ = ["Opened", "images_of"]


def images_of(images, side, survey, config):
    """Return `_Tiles` or `_Cutouts` of the images of one side."""
    bands = getattr(config, f"{side}_bands")
    options = dict(getattr(config, f"{side}_options") or {})
    if _is_pattern(images):
        return _Cutouts(images, side, survey, bands, options)
    tiles = _listed(images, side)
    if not tiles:
        raise ValueError(f"{side} must name at least one image, got none")
    if any(_is_pattern(one) for one in tiles):
        raise ValueError(f"{side} must be one pattern with {{id}}, or tiles, not both")
    if options and any(isinstance(one, (BandCube, FrameSet)) for one in tiles):
        raise ValueError(f"{side}_options are options of reading files and have no effect on images in memory, got "
                         f"{', '.join(options)}")
    return _Tiles(tiles, side, survey, bands, options, config.max_open)


def _is_path(source):
    return isinstance(source, (str, PathLike))


def _is_pattern(images):
    if isinstance(images, dict):
        return bool(images) and all(_is_path(one) and _is_pattern(one) for one in images.values())
    return _is_path(images) and "{id}" in str(images)


def _listed(images, side):
    """Return the tiles: each a path, a dict of band to path, a list of paths, a BandCube or a FrameSet."""
    if isinstance(images, Table):
        return _tiles_of_table(images, Path(), side)
    if _is_path(images):
        path = Path(images)
        if path.suffix in (".ecsv", ".csv"):
            return _tiles_of_table(path, path.parent, side)
        return [path] if split_path(path)[0].is_file() else listed_files(path)
    if isinstance(images, (dict, NDData, FrameSet)):
        return [_tile(images)]
    if isinstance(images, (list, tuple)):
        return [_tile(one) for one in images]
    raise TypeError(f"{side} must be a dict of band to path, a path, a BandCube, a FrameSet, a table of tiles, or a "
                    f"list of such, got {type(images).__name__}")


def _tile(source):
    if _is_path(source):
        return Path(source)
    if isinstance(source, FrameSet):
        return source
    if isinstance(source, dict) and source and all(map(_is_path, source.values())):
        return {band: Path(path) for band, path in source.items()}
    if isinstance(source, (list, tuple)) and source and all(map(_is_path, source)):
        return [Path(path) for path in source]
    return as_band_cube(source)


def _tiles_of_table(table, folder, side):
    """Return the tiles of a table with a column of paths for each band, or one column ``path`` of cubes."""
    table = read_table(table, side)
    if "path" in table.colnames:
        return [folder / str(path) for path in table["path"]]
    bands = [name for name in table.colnames if table[name].dtype.kind in "SU"]
    if not bands or len(table) == 0:
        raise ValueError(f"the table of tiles for {side} needs a column 'path', or a column of paths for each band")
    rows = table[bands].filled("") if table.has_masked_columns else table[bands]
    return [{band: folder / str(row[band]).strip() for band in bands if str(row[band]).strip()} for row in rows]


class Opened:
    """An image in memory, a FrameSet or BandCube, with the bands of a survey and in its unit."""

    def __init__(self, image, survey):
        self.image, self.survey = _of_survey(_without_empty(image), survey), survey
        if isinstance(self.image, FrameSet):
            self.has_uncertainty = all(self.image[band].uncertainty is not None for band in self.image)
        else:
            self.has_uncertainty = self.image.uncertainty is not None

    @property
    def wcs(self):
        return self.image.wcs

    def plane(self, band):
        """Return data, mask or None, and WCS of a band on its own grid, not copied."""
        if isinstance(self.image, FrameSet):
            ccd = self.image[band]
            return ccd.data, ccd.mask, ccd.wcs
        index = self.image.bands.index(band)
        mask = self.image.mask
        return self.image.data[index], None if mask is None else mask[index], self.image.wcs

    def header(self, band):
        """Return the header of the file of a band; an empty dict if there is none."""
        meta = self.image[band].meta if isinstance(self.image, FrameSet) else {
            **self.image.meta, **self.image.meta.get("band_meta", {}).get(band, {})}
        header = meta.get("header", {})
        return header if isinstance(header, (dict, fits.Header)) else {}

    def pixels(self, positions):
        """Return the pixels ``(x, y)`` of positions on the grid of each band, a dict."""
        pixels, last = {}, (None, None)
        for band in self.survey.band_names:
            wcs = self.plane(band)[2]
            if wcs is not last[0]:
                last = wcs, wcs.world_to_pixel(positions)
            pixels[band] = last[1]
        return pixels


def _without_empty(image):
    """Return the image with NaN in areas of zeros, which images in memory may still have."""
    if isinstance(image, BandCube):
        empty = empty_pixels(image.data)
        return image._replace(np.where(empty, np.nan, image.data)) if empty.any() else image
    empty = {band: pixels for band in image if (pixels := empty_pixels(image[band].data)).any()}
    if not empty:
        return image
    images = {band: copy(image[band]) if band in empty else image[band] for band in image}
    for band, pixels in empty.items():
        images[band].data = np.where(pixels, np.nan, images[band].data)
    return FrameSet(images, image.survey, reference=image.reference, psf=image.psf_field)


def _of_survey(image, survey):
    if image.survey is not None and image.survey.name.lower() != survey.name.lower():
        raise SurveyError(f"it is of survey {image.survey.name}, not {survey.name}")
    missing = [band for band in survey.band_names if band not in image.bands]
    if missing:
        raise BandMismatchError(f"it lacks band {', '.join(missing)}; there are {', '.join(image.bands)}")
    if isinstance(image, FrameSet):
        if image.survey is not None and image.bands == survey.band_names and all(
                image[band].unit == survey.unit for band in image):
            return image
        return FrameSet({band: _in_unit(image[band], band, survey) for band in survey.band_names}, survey)
    if image.bands != survey.band_names:
        image = image.select_bands(survey.band_names)
    if image.survey is None:
        image = BandCube(image, bands=image.bands, survey=survey)
    same = np.allclose(image.zero_points, [band.zero_point for band in survey], rtol=0, atol=1e-9)
    return image if image.unit == survey.unit and same else image.to_unit(survey.unit)


def _in_unit(ccd, band, survey):
    return ccd if ccd.unit == survey.unit else stack_bands({band: ccd}, survey).to_unit(survey.unit)[band]


def _image_header(path):
    """Return the header of the first image of a file, without reading its pixels if possible."""
    path, hdu = split_path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        if hdu is None:
            header, _ = first_image(path)
        else:
            header = fits.getheader(path, hdu)
            header = header if header.get("NAXIS", 0) >= 2 else None
    except FITS_ERRORS as error:
        raise FileFormatError(f"{path} is not a FITS file: {error}") from error
    if header is None:
        raise FileFormatError(f"{path} holds no image")
    return header


def _geometry(tile, options):
    """Return WCS and shape of a tile, from the header if it is a file."""
    if isinstance(tile, (BandCube, FrameSet)):
        wcs, shape = tile.wcs, tile.shape[-2:]
    else:
        if isinstance(tile, dict):
            bands = list(tile)
            tile = tile[options.get("reference") or ("r" if "r" in bands else bands[len(bands) // 2])]
        headers = [_image_header(path) for path in (tile if isinstance(tile, list) else [tile])]
        header = next((one for one in headers if str(one.get("FILTER", "")).strip().startswith("r")), headers[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            warnings.filterwarnings("ignore", message=".*more axes.*")
            wcs = WCS(header, naxis=2)
        shape = (header.get("ZNAXIS2", header["NAXIS2"]), header.get("ZNAXIS1", header["NAXIS1"]))
    if wcs is None or not wcs.has_celestial:
        raise ValueError(f"{_name(tile)} has no WCS, which is needed for the positions of objects")
    return wcs, shape


def _name(tile):
    """Return the name of a tile for messages."""
    if isinstance(tile, (dict, list)):
        first = next(iter(tile.values() if isinstance(tile, dict) else tile))
        return f"{first}, ..." if len(tile) > 1 else str(first)
    return str(tile) if isinstance(tile, Path) else repr(tile)


def _fingerprint(tile):
    """Return JSON types that identify a tile when a run is resumed."""
    if isinstance(tile, dict):
        return {band: _fingerprint(path) for band, path in tile.items()}
    if isinstance(tile, list):
        return [_fingerprint(path) for path in tile]
    if isinstance(tile, Path):
        return [str(tile), tile.stat().st_size if tile.is_file() else None]
    return repr(tile)


def _unit_vectors(sky):
    """Return unit vectors of positions, shape ``(n, 3)``."""
    return np.stack(sky.icrs.cartesian.xyz.value, axis=-1).reshape(-1, 3)


class _Images:
    """The images of one side; survey and bands that are None become those of the first image."""

    def __init__(self, side, survey, bands, options):
        self.side, self.survey, self.bands, self.options = side, survey, bands, options

    def _opened(self, source):
        """Return an `Opened` of a tile or of the files of an object."""
        image = source
        if isinstance(source, Path) and _image_header(source)["NAXIS"] > 2:
            image = read_cube(source, self.survey, bands=self.bands, **self.options)
        elif isinstance(source, (dict, list, Path)):
            image = read_frames(source, self.survey, bands=self.bands, **self.options)
        survey = self.survey or image.survey
        if survey is None:
            raise SurveyError(f"{self.side}_survey must be given: the images of {self.side} have no survey")
        bands = self.bands or [band for band in image.bands if band in survey.band_names]
        opened = Opened(image, survey.select(bands))
        self.survey, self.bands = opened.survey, opened.survey.band_names
        return opened


class _Tiles(_Images):
    """Images that each show many objects, of which the last ``max_open`` are kept in memory."""

    are_cutouts = False

    def __init__(self, tiles, side, survey, bands, options, max_open):
        super().__init__(side, survey, bands, options)
        self.tiles, self.max_open, self._open = tiles, max_open, OrderedDict()

    def assign(self, position):
        """Return for each position the tile in which it is farthest from the border, or -1."""
        best, chosen = np.zeros(len(position)), np.full(len(position), -1)
        vectors = _unit_vectors(position)
        known = np.flatnonzero(np.isfinite(vectors).all(axis=1))
        tree = cKDTree(vectors[known]) if len(known) else None
        for number, tile in enumerate(self.tiles):
            wcs, (ny, nx) = _geometry(tile, self.options)
            if tree is None:
                continue
            corners = _unit_vectors(wcs.pixel_to_world([(nx - 1) / 2, -0.5, nx - 0.5, -0.5, nx - 0.5],
                                                       [(ny - 1) / 2, -0.5, -0.5, ny - 0.5, ny - 0.5]))
            reach = np.linalg.norm(corners[1:] - corners[0], axis=1).max()
            rows = known[tree.query_ball_point(corners[0], 1.001 * reach)]
            if not len(rows):
                continue
            x, y = wcs.world_to_pixel(position[rows])
            scale = np.linalg.norm(corners[1] - corners[0]) / np.hypot(nx, ny)
            inside = 2 * scale * np.minimum(np.minimum(x + 0.5, nx - 0.5 - x), np.minimum(y + 0.5, ny - 0.5 - y))
            better = inside > best[rows]
            best[rows[better]], chosen[rows[better]] = inside[better], number
        return chosen

    def name(self, tile):
        return _name(self.tiles[tile])

    def open(self, tile, galaxy=None):
        """Return a tile as an `Opened`."""
        if tile in self._open:
            self._open.move_to_end(tile)
            return self._open[tile]
        while len(self._open) >= self.max_open:
            self._open.popitem(last=False)
        self._open[tile] = self._opened(self.tiles[tile])
        return self._open[tile]

    def fingerprint(self):
        """Return JSON types that identify the images when a run is resumed."""
        return [_fingerprint(tile) for tile in self.tiles]


class _Cutouts(_Images):
    """A file for each object, and for each band if the pattern has ``{band}`` or is a dict."""

    are_cutouts = True

    def __init__(self, pattern, side, survey, bands, options):
        super().__init__(side, survey, bands, options)
        self.pattern = pattern
        if not isinstance(pattern, dict) and "{band}" in str(pattern):
            names = bands or (survey.band_names if survey is not None else None)
            if names is None:
                raise ValueError(f"{side}_survey or {side}_bands must be given for a pattern with {{band}}")
            self.pattern = {band: str(pattern).replace("{band}", band) for band in names}

    def assign(self, position):
        return np.where(np.isfinite(position.ra), 0, -1)

    def name(self, tile):
        return str(next(iter(self.pattern.values())) if isinstance(self.pattern, dict) else self.pattern)

    def open(self, tile, galaxy):
        """Return the image of a galaxy as an `Opened`."""
        def filled(pattern):
            return Path(str(pattern).replace("{id}", str(galaxy)))

        if isinstance(self.pattern, dict):
            return self._opened({band: filled(pattern) for band, pattern in self.pattern.items()})
        return self._opened(filled(self.pattern))

    def fingerprint(self):
        return [str(self.pattern)]
