"""Every galaxy of a real field through a translator."""

from numbers import Integral

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Column, Table
from tqdm.auto import tqdm

from astro_galtrans.evaluation import contact_sheet
from astro_galtrans.evaluation._extras import optional
from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.field._inputs import detected, listed, open_frames
from astro_galtrans.field._output import check_space, cube_bytes, whole_folder
from astro_galtrans.field._photometry import aperture_magnitudes, colors_of, column_names
from astro_galtrans.images import flux_and_weight
from astro_galtrans.translation import Translator

__all__ = ["translate_field"]

_BATCH = 16
_SHEET_COLUMNS = 5
_SHEET_BYTES = 100_000  # a galaxy on the contact sheet


def translate_field(translator, frames, out, *, catalog=None, size=64, band=None, min_magnitude=14.5,
                    max_magnitude=20.5, extended_only=True, radii=(2.0, 4.0), min_coverage=0.5,
                    max_sheet=100, overwrite=False, device=None, progress=False):
    """Find the galaxies of a field, or take those of a catalogue, and translate each of them.

    Parameters
    ----------
    translator : Translator
        Trained translator.
    frames : FrameSet, BandCube, dict of str to path, list of path, or path
        The field in the bands of the translator's input survey. A path is a folder of FITS files, a pattern with wild
        cards, or one file; the bands of SDSS corrected frames are known by their headers.
    out : path-like
        Folder to make. It appears once everything in it is complete.
    catalog : `~astropy.table.Table` or path, optional
        Sources with ``ra`` and ``dec`` (degrees, unless the columns have another unit), and ``redshift`` for a
        translator conditioned on it; other columns are handed on. Without it, galaxies are detected.
    size : int, optional
        Side of the cutouts in input pixels.
    band : str, optional
        Band in which sources are detected: "r", or else the middle one.
    min_magnitude, max_magnitude : float or None, optional
        Limits of the magnitudes of the galaxies that are detected. What is brighter than the first is listed and not
        translated: saturated stars are wider than others and pass for galaxies, in SDSS from about r = 14 on.
    extended_only : bool, optional
        Leave out stars when detecting.
    radii : sequence of float, optional
        Radii of the apertures in arcsec.
    min_coverage : float, optional
        Least share of good pixels of a cutout, over all bands. Pixels beyond the edge of the field are bad.
    max_sheet : int, optional
        Largest number of galaxies on the contact sheet, which takes the first of them; 0 for no sheet.
    overwrite : bool, optional
        Whether a field translated before may be replaced.
    device : str, optional
        Where to compute.
    progress : bool, optional
        Whether to show a progress bar.

    Returns
    -------
    `~astropy.table.Table`
        A row a source, also of those that were not translated: ``number`` (from 1), the columns of the detection or
        the catalogue, ``status`` ("translated" or "dropped"), ``reason``, ``file``, ``coverage`` (share of good
        pixels), and for input and translation the aperture magnitudes (AB) and colours, as ``input_r_2arcsec`` and
        ``translated_g-r_4arcsec``, and the errors of the input's as ``input_r_2arcsec_error``; NaN where an aperture
        touches bad pixels. It is also in the folder, as ``catalog.ecsv``, beside ``cubes`` with a FITS cube for each
        galaxy and ``contact_sheet.png``.

    Raises
    ------
    OSError
        If the folder is there already (FileExistsError), cannot be made, or the disk has too little space.
    BandMismatchError, SurveyError, FileFormatError
        If the frames do not fit the translator or cannot be read.
    ValueError, TypeError
        If an argument is not as said, there is no galaxy, or none of them can be translated.
    """
    _check(translator, size, radii, min_coverage, max_sheet, catalog)
    with whole_folder(out, overwrite, "catalog.ecsv") as folder:
        frames = open_frames(frames, translator.input_survey)
        if catalog is None:
            band = _band(frames, band)
            sources = detected(frames, band, max_magnitude, extended_only)
            sources.meta.update(min_magnitude=min_magnitude, max_magnitude=max_magnitude, extended_only=extended_only)
        else:
            sources = listed(catalog)
            if translator.conditioning == "redshift" and "redshift" not in sources.colnames:
                raise ValueError(
                    f"translator {translator.name!r} is conditioned on the redshift: catalog must have that column")
        target_size = translator.target_size((size, size))
        check_space(folder, len(sources) * (cube_bytes(translator.target_survey, target_size) + _SHEET_BYTES))
        if device is not None:
            translator.to(device)
        table = _output_table(sources, translator, radii)
        run = _Run(translator, frames, folder, table, size, radii, min_coverage, max_sheet)
        if catalog is None and min_magnitude is not None:
            run.too_bright = np.asarray(sources["magnitude"]) < min_magnitude
        run.translate_all(progress)
        table.meta = {"galtrans": {
            **translator.describe(), "size": int(size), "detected": catalog is None,
            "sources": dict(sources.meta),
        }}
        table.write(folder / "catalog.ecsv", format="ascii.ecsv")
        if max_sheet:
            columns = min(_SHEET_COLUMNS, len(run.pictures))
            contact_sheet(run.pictures, folder / "contact_sheet.png", run.labels, columns=columns,
                          title=f"{translator.input_survey.name} to {translator.target_survey.name}: {translator.name}")
    return table


def _check(translator, size, radii, min_coverage, max_sheet, catalog):
    if not isinstance(translator, Translator):
        raise TypeError(f"translator must be a Translator, got {type(translator).__name__}")
    for name, value, least in (("size", size, 8), ("max_sheet", max_sheet, 0)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name} must be an int of at least {least}, got {value!r}")
    if len(radii) == 0 or not all(0 < radius < np.inf for radius in radii):
        raise ValueError(f"radii must be at least one positive number of arcsec, got {radii!r}")
    if not 0 <= min_coverage <= 1:
        raise ValueError(f"min_coverage must be between 0 and 1, got {min_coverage!r}")
    if catalog is None and translator.conditioning == "redshift":
        raise ValueError(
            f"translator {translator.name!r} is conditioned on the redshift: it needs a catalog with redshifts")
    if max_sheet:
        optional("matplotlib")


def _band(frames, band):
    if band is None:
        return "r" if "r" in frames.bands else frames.bands[len(frames.bands) // 2]
    return band


def _output_table(sources, translator, radii):
    """A row a source with its place and whatever else is known of it, and columns to fill."""
    n = len(sources)
    table = Table({"number": np.arange(1, n + 1)})
    measures = [("status", "U10"), ("reason", "U80"), ("file", "U60"), ("coverage", float)]
    for prefix, survey in (("input", translator.input_survey), ("translated", translator.target_survey)):
        for radius in radii:
            names = column_names(prefix, survey.band_names, radius)
            measures += [(name, float) for name in names]
            measures += [(name, float) for name in column_names(prefix, colors_of(survey.band_names), radius)]
            measures += [(f"{name}_error", float) for name in names if prefix == "input"]
    own = {"number", *(name for name, _ in measures)}
    for name in ("ra", "dec", *(name for name in sources.colnames if name not in ("ra", "dec"))):
        table[f"catalog_{name}" if name in own else name] = sources[name]
    for name in ("ra", "dec"):
        table[name] = Column(np.asarray(sources[name], dtype=float), unit=u.deg)
    for name, kind in measures:
        table[name] = np.full(n, "" if kind is not float else np.nan, dtype=kind)
        if name.endswith(("arcsec", "_error")):
            table[name].unit = u.mag
    return table


class _Run:
    """The galaxies of a field, batch by batch: cut out, translated, written, measured."""

    def __init__(self, translator, frames, folder, table, size, radii, min_coverage, max_sheet):
        self.translator, self.frames, self.folder, self.table = translator, frames, folder, table
        self.size, self.radii, self.min_coverage, self.max_sheet = int(size), tuple(radii), min_coverage, max_sheet
        self.too_bright = np.zeros(len(table), dtype=bool)
        self.pictures, self.labels = [], []

    def translate_all(self, progress):
        (self.folder / "cubes").mkdir()
        with tqdm(total=len(self.table), desc="translate", unit="galaxy", disable=not progress) as bar:
            for start in range(0, len(self.table), _BATCH):
                rows = range(start, min(start + _BATCH, len(self.table)))
                cubes = {row: self._cutout(row) for row in rows}
                self._batch({row: cube for row, cube in cubes.items() if cube is not None})
                bar.update(len(rows))
        if not np.any(self.table["status"] == "translated"):
            reasons, counts = np.unique(self.table["reason"], return_counts=True)
            told = "; ".join(f"{reason} ({count})" for reason, count in zip(reasons, counts))
            raise ValueError(f"none of the {len(self.table)} sources could be translated: {told}")

    def _position(self, row):
        return SkyCoord(self.table["ra"][row], self.table["dec"][row], unit="deg")

    def _cutout(self, row):
        """The cutout of a source, or None with the reason noted in its row."""
        reason, cube = None, None
        if not (np.isfinite(self.table["ra"][row]) and abs(self.table["dec"][row]) <= 90):
            reason = "no position"
        elif self.translator.conditioning == "redshift" and not self._redshift(row) > -1:
            reason = "no redshift"
        elif self.too_bright[row]:
            reason = "so bright that a star would be saturated"
        else:
            try:
                cube = self.frames.cutout(self._position(row), self.size)
            except FileFormatError:
                raise
            except ValueError:  # astropy's NoOverlapError, or a place that the projection cannot show
                reason = "beyond the edge of the field"
        if cube is not None:
            reason = self._defect(row, cube)
        self.table["status"][row] = "translated" if reason is None else "dropped"
        self.table["reason"][row] = reason or ""
        return cube if reason is None else None

    def _redshift(self, row):
        value = self.table["redshift"][row]
        return np.nan if np.ma.is_masked(value) else float(value)

    def _defect(self, row, cube):
        """Why a cutout cannot be used, or None."""
        good = flux_and_weight(cube)[1] > 0
        self.table["coverage"][row] = round(float(good.mean()), 4)
        if not good.any():
            return "every pixel of the cutout is bad"
        empty = [band for band, plane in zip(cube.bands, good) if not plane.any()]
        if empty:
            return f"every pixel of band {', '.join(empty)} is bad"
        ny, nx = good.shape[1:]
        if not good[:, ny // 2 - 1:ny // 2 + 2, nx // 2 - 1:nx // 2 + 2].all():
            return "bad pixels at the place of the source"
        if good.mean() < self.min_coverage:
            return f"only {100 * good.mean():.0f} per cent of the cutout's pixels are good"
        return None

    def _batch(self, cubes):
        if not cubes:
            return
        redshift = [self._redshift(row) for row in cubes] if self.translator.conditioning == "redshift" else None
        for (row, cube), image in zip(cubes.items(), self.translator(list(cubes.values()), redshift=redshift)):
            position = self._position(row)
            image.meta["source"] = {"number": row + 1, "ra": float(position.ra.deg), "dec": float(position.dec.deg)}
            name = f"{row + 1:04d}_{_designation(position)}.fits"
            image.write(self.folder / "cubes" / name)
            self.table["file"][row] = f"cubes/{name}"
            for prefix, one in (("input", cube), ("translated", image)):
                self._measure(row, prefix, one, position)
            if len(self.pictures) < self.max_sheet:
                self.pictures.append((cube, image))
                self.labels.append(self._label(row))

    def _measure(self, row, prefix, cube, position):
        magnitudes, errors = aperture_magnitudes(cube, position, self.radii)
        for radius, magnitude, error in zip(self.radii, magnitudes, errors):
            names = column_names(prefix, cube.bands, radius)
            colors = column_names(prefix, colors_of(cube.bands), radius)
            values = [*zip(names, magnitude), *zip(colors, -np.diff(magnitude))]
            if prefix == "input":
                values += [(f"{name}_error", value) for name, value in zip(names, error)]
            for name, value in values:
                self.table[name][row] = np.round(value, 5)

    def _label(self, row):
        bands = self.translator.input_survey.band_names
        band = "r" if "r" in bands else bands[len(bands) // 2]
        magnitude = self.table[column_names("input", [band], max(self.radii))[0]][row]
        return f"{row + 1}" + (f"   {band} = {magnitude:.1f}" if np.isfinite(magnitude) else "")


def _designation(position):
    """As IAU names are made, truncated: ``J151812.34+424534.5``."""
    icrs = position.icrs
    ra = icrs.ra.to_string(unit=u.hourangle, sep="", precision=2, pad=True)
    return f"J{ra}{icrs.dec.to_string(sep='', precision=1, pad=True, alwayssign=True)}"
