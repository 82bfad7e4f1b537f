"""The images of one survey as a user has them: tiles in files or memory, or a file for each object."""

import warnings
from collections import OrderedDict
from copy import copy
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.nddata import NDData
from astropy.table import Table
from astropy.wcs import WCS, FITSFixedWarning
from scipy.spatial import cKDTree

from astro_galtrans._utils.tables import read_table
from astro_galtrans._utils.files import first_image, listed_files
from astro_galtrans.exceptions import BandMismatchError, FileFormatError, SurveyError
from astro_galtrans.images import (
    BandCube, FrameSet, as_band_cube, empty_pixels, read_cube, read_frames, split_path, stack_bands,
)

__all__ = ["Cutouts", "Opened", "Tiles", "images_of"]


def images_of(images, side, survey, bands, options, max_open):
    """`Tiles` or `Cutouts` of whatever is given for one side."""
    options = {} if options is None else dict(options)
    if _is_pattern(images):
        return Cutouts(images, side, survey, bands, options)
    listed = _listed(images, side)
    if not listed:
        raise ValueError(f"{side} must name at least one image, got none")
    if any(_is_pattern(one) for one in listed):
        raise ValueError(f"{side} is either one pattern with {{id}}, or tiles, and not both")
    if options and any(isinstance(one, (BandCube, FrameSet)) for one in listed):
        raise ValueError(f"{side}_options are of reading files and have no effect on images in memory, got "
                         f"{', '.join(options)}")
    return Tiles(listed, side, survey, bands, options, max_open)


def _is_pattern(images):
    if isinstance(images, (str, Path)):
        return "{id}" in str(images)
    return isinstance(images, dict) and bool(images) and all(
        isinstance(one, (str, Path)) and "{id}" in str(one) for one in images.values())


def _listed(images, side):
    """A list of tiles, each a dict of band to path, a list of paths, a path, or an image in memory."""
    if isinstance(images, Table) or (isinstance(images, (str, Path)) and Path(images).suffix in (".ecsv", ".csv")):
        return _of_table(images, side)
    if isinstance(images, (str, Path)):
        return [Path(images)] if split_path(images)[0].is_file() else listed_files(images)
    if isinstance(images, dict) or isinstance(images, (NDData, FrameSet)):
        images = [images]
    if not isinstance(images, (list, tuple)):
        raise TypeError(f"{side} must be a dict of band to path, a path, a BandCube, a FrameSet, a table of tiles, or "
                        f"a list of such, got {type(images).__name__}")
    tiles = []
    for one in images:
        if isinstance(one, dict) and one and not any(isinstance(part, NDData) for part in one.values()):
            tiles.append({band: Path(path) for band, path in one.items()})
        elif isinstance(one, (str, Path)):
            tiles.append(Path(one))
        elif isinstance(one, (list, tuple)) and one and all(isinstance(path, (str, Path)) for path in one):
            tiles.append([Path(path) for path in one])
        elif isinstance(one, FrameSet):
            tiles.append(one)
        else:
            tiles.append(as_band_cube(one))
    return tiles


def _of_table(table, side):
    """Tiles of a table: a column of paths for each band, or one column ``path`` of cubes."""
    folder = Path(".") if isinstance(table, Table) else Path(table).parent
    table = read_table(table, side)
    if "path" in table.colnames:
        return [folder / str(path) for path in table["path"]]
    bands = [name for name in table.colnames if table[name].dtype.kind in "SU"]
    if not bands or len(table) == 0:
        raise ValueError(f"the table of tiles for {side} needs a column 'path', or one of paths for each band")
    tiles = []
    for row in table[bands].filled("") if table.masked or table.has_masked_columns else table[bands]:
        paths = {band: str(row[band]).strip() for band in bands}
        tiles.append({band: folder / path for band, path in paths.items() if path})
    return tiles


class Opened:
    """An image in memory, of a survey and with its bands only, in its unit.

    Parameters
    ----------
    image : FrameSet or BandCube
    survey : Survey
    """

    def __init__(self, image, survey):
        self.image, self.survey = _of_survey(_without_empty(image), survey), survey

    @property
    def wcs(self):
        return self.image.wcs

    @property
    def shape(self):
        return self.image.shape[-2:]

    def plane(self, band):
        """Data, mask or None, and WCS of a band, on its own grid and not copied."""
        if isinstance(self.image, FrameSet):
            ccd = self.image[band]
            return ccd.data, ccd.mask, ccd.wcs
        index = self.image.bands.index(band)
        mask = self.image.mask
        return self.image.data[index], None if mask is None else mask[index], self.image.wcs

    def header(self, band):
        """Header of a band's file; an empty dict where there is none."""
        meta = self.image[band].meta if isinstance(self.image, FrameSet) else {
            **self.image.meta, **self.image.meta.get("band_meta", {}).get(band, {})}
        return meta.get("header", {}) if isinstance(meta.get("header", {}), (dict, fits.Header)) else {}


def _without_empty(image):
    """The image with NaN in areas of zeros, which images in memory may still have."""
    if isinstance(image, BandCube):
        empty = empty_pixels(image.data)
        return image._replace(np.where(empty, np.nan, image.data)) if empty.any() else image
    images = {band: image[band] for band in image}
    for band, ccd in images.items():
        empty = empty_pixels(ccd.data)
        if empty.any():
            images[band] = copy(ccd)
            images[band].data = np.where(empty, np.nan, ccd.data)
    if all(images[band] is image[band] for band in image):
        return image
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


def _read(source, survey, bands, options):
    """What is in the files of a tile or of an object, a FrameSet or BandCube."""
    if not isinstance(source, (dict, list, Path)):
        return source
    if isinstance(source, Path) and _image_header(source)["NAXIS"] > 2:
        return read_cube(source, survey, bands=bands, **options)
    return read_frames(source, survey, bands=bands, **options)


def _image_header(path):
    """The header of the first image of a file, without reading its pixels where that can be done."""
    path, hdu = split_path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        if hdu is None:
            header, _ = first_image(path)
        else:
            header = fits.getheader(path, hdu)
            header = header if header.get("NAXIS", 0) >= 2 else None
    except (OSError, EOFError, ValueError, KeyError, IndexError) as error:
        raise FileFormatError(f"{path} is not a FITS file: {error}") from error
    if header is None:
        raise FileFormatError(f"{path} holds no image")
    return header


def _geometry(source, options):
    """WCS and shape of a tile, from the header where it is a file."""
    if isinstance(source, (BandCube, FrameSet)):
        wcs, shape = source.wcs, source.shape[-2:]
    else:
        if isinstance(source, dict):
            names = list(source)
            reference = options.get("reference") or ("r" if "r" in names else names[len(names) // 2])
            source = source[reference]
        headers = [_image_header(path) for path in (source if isinstance(source, list) else [source])]
        header = next((one for one in headers if str(one.get("FILTER", "")).strip().startswith("r")), headers[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            warnings.filterwarnings("ignore", message=".*more axes.*")
            wcs = WCS(header, naxis=2)
        shape = (header.get("ZNAXIS2", header["NAXIS2"]), header.get("ZNAXIS1", header["NAXIS1"]))
    if wcs is None or not wcs.has_celestial:
        raise ValueError(f"{_told(source)} has no WCS, without which no object has a place on it")
    return wcs, shape


def _told(source):
    """A tile's name in messages."""
    if isinstance(source, (dict, list)):
        return str(next(iter(source.values() if isinstance(source, dict) else source))) + ", ..." * (len(source) > 1)
    return str(source) if isinstance(source, Path) else repr(source)


def _vectors(sky):
    """Unit vectors of positions, shape ``(n, 3)``."""
    return np.stack(sky.icrs.cartesian.xyz.value, axis=-1).reshape(-1, 3)


class Tiles:
    """Images that each hold many objects.

    Parameters
    ----------
    tiles : list
        Each a dict of band to path, a list of paths, a path, a BandCube or a FrameSet.
    side : str
        ``"input"`` or ``"target"``, for messages.
    survey : Survey or None
    bands : sequence of str or None
        Bands to read.
    options : dict
        Keywords of `~astro_galtrans.images.read_cube` or `~astro_galtrans.images.read_frames`.
    max_open : int
        Tiles that are kept in memory.
    """

    are_cutouts = False

    def __init__(self, tiles, side, survey, bands, options, max_open):
        self.tiles, self.side, self.survey, self.bands, self.options = tiles, side, survey, bands, options
        self.max_open, self._open = max_open, OrderedDict()

    def assign(self, position):
        """For each position the tile in which it is farthest from the border, or -1, an ndarray of int."""
        best, chosen = np.zeros(len(position)), np.full(len(position), -1)
        vectors = _vectors(position)
        known = np.flatnonzero(np.isfinite(vectors).all(axis=1))
        tree = cKDTree(vectors[known]) if len(known) else None
        for number, tile in enumerate(self.tiles):
            wcs, (ny, nx) = _geometry(tile, self.options)
            corners = _vectors(wcs.pixel_to_world([(nx - 1) / 2, -0.5, nx - 0.5, -0.5, nx - 0.5],
                                                  [(ny - 1) / 2, -0.5, -0.5, ny - 0.5, ny - 0.5]))
            reach = np.linalg.norm(corners[1:] - corners[0], axis=1).max()
            rows = known[tree.query_ball_point(corners[0], 1.001 * reach)] if tree is not None else known
            if not len(rows):
                continue
            x, y = wcs.world_to_pixel(position[rows])
            scale = np.linalg.norm(corners[1] - corners[0]) / np.hypot(nx, ny)
            inside = 2 * scale * np.minimum(np.minimum(x + 0.5, nx - 0.5 - x), np.minimum(y + 0.5, ny - 0.5 - y))
            better = inside > best[rows]
            best[rows[better]], chosen[rows[better]] = inside[better], number
        return chosen

    def name(self, tile):
        return _told(self.tiles[tile])

    def open(self, tile, galaxy=None):
        """A tile as an `Opened`, from memory where it was opened lately."""
        if tile in self._open:
            self._open.move_to_end(tile)
            return self._open[tile]
        while len(self._open) >= self.max_open:
            self._open.popitem(last=False)
        image = _read(self.tiles[tile], self.survey, self.bands, self.options)
        self._open[tile] = Opened(image, self.survey_of(image))
        return self._open[tile]

    def survey_of(self, image):
        """The survey of an image, with the bands that are asked for, or all that there are."""
        return _survey_of(self, image)

    def told(self):
        """What says that the same images are meant when a run is gone on with, as JSON types."""
        return [_fingerprint(tile) for tile in self.tiles]


class Cutouts:
    """A file for each object and, if the pattern has ``{band}`` or is a dict, for each band.

    Parameters are as of `Tiles`.
    """

    are_cutouts = True

    def __init__(self, pattern, side, survey, bands, options):
        self.pattern, self.side, self.survey, self.bands, self.options = pattern, side, survey, bands, options
        if not isinstance(pattern, dict) and "{band}" in str(pattern):
            names = bands or (survey.band_names if survey is not None else None)
            if names is None:
                raise ValueError(f"{side}_survey or {side}_bands must be given for a pattern with {{band}}")
            self.pattern = {band: str(pattern).replace("{band}", band) for band in names}

    def assign(self, position):
        return np.where(np.isfinite(position.ra), 0, -1)

    def name(self, tile):
        return str(next(iter(self.pattern.values())) if isinstance(self.pattern, dict) else self.pattern)

    def _paths(self, galaxy):
        def filled(pattern):
            return Path(str(pattern).replace("{id}", str(galaxy)))

        if isinstance(self.pattern, dict):
            return {band: filled(pattern) for band, pattern in self.pattern.items()}
        return filled(self.pattern)

    def open(self, tile, galaxy):
        image = _read(self._paths(galaxy), self.survey, self.bands, self.options)
        return Opened(image, self.survey_of(image))

    def survey_of(self, image):
        """The survey of an image, with the bands that are asked for, or all that there are."""
        return _survey_of(self, image)

    def told(self):
        return [str(self.pattern)]


def _survey_of(source, image):
    survey = source.survey or image.survey
    if survey is None:
        raise SurveyError(f"{source.side}_survey must be given: the images of {source.side} do not tell it")
    bands = source.bands or [band for band in image.bands if band in survey.band_names]
    source.survey = survey.select(bands)
    return source.survey


def _fingerprint(tile):
    if isinstance(tile, dict):
        return {band: _fingerprint(path) for band, path in tile.items()}
    if isinstance(tile, list):
        return [_fingerprint(path) for path in tile]
    if isinstance(tile, Path):
        return [str(tile), tile.stat().st_size if tile.is_file() else None]
    return repr(tile)
