"""Cut out, translate, write and measure the galaxies of a field in batches."""

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Column
from tqdm.auto import tqdm

from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.field._config import translation_keywords
from astro_galtrans.field._photometry import (
    CORRELATION_LENGTH, MORPHOLOGY, aperture_magnitudes, colors_of, column_names, shape_band, shape_of,
)
from astro_galtrans.images import flux_and_weight, missing_bands

__all__ = ["FieldRun"]

_BATCH = 16


class FieldRun:
    """The translation of the sources of a field to a folder; the results of each are put into ``table``."""

    def __init__(self, translator, frames, folder, sources, conditions, size, config):
        self.translator, self.frames, self.folder = translator, frames, folder
        self.conditions, self.size, self.config = conditions, size, config
        self.table = _output_table(sources, translator, config.radii)
        self.images, self.labels = [], []  # for the contact sheet

    def translate_all(self, progress, excluded):
        """Translate the sources that have an empty text in ``excluded``; ValueError if none can be translated."""
        (self.folder / "cubes").mkdir()
        with tqdm(total=len(self.table), desc="translate", unit="galaxy", disable=not progress) as bar:
            for start in range(0, len(self.table), _BATCH):
                rows = range(start, min(start + _BATCH, len(self.table)))
                cubes = {row: self._cutout(row, excluded[row]) for row in rows}
                self._translate({row: cube for row, cube in cubes.items() if cube is not None})
                self.conditions.forget(rows)
                bar.update(len(rows))
        if not np.any(self.table["status"] == "translated"):
            reasons, counts = np.unique(self.table["reason"], return_counts=True)
            reasons = "; ".join(f"{reason} ({count})" for reason, count in zip(reasons, counts))
            raise ValueError(f"none of the {len(self.table)} sources could be translated: {reasons}")

    def _position(self, row):
        return SkyCoord(self.table["ra"][row], self.table["dec"][row], unit="deg")

    def _cutout(self, row, reason):
        """Return the cutout of a source, or None after writing the reason into the table."""
        cube = None
        if not (np.isfinite(self.table["ra"][row]) and abs(self.table["dec"][row]) <= 90):
            reason = "no position"
        reason = reason or self.conditions.defect(row)
        if not reason:
            try:
                cube = self.frames.cutout(self._position(row), self.size)
            except FileFormatError:
                raise
            except ValueError:  # astropy's NoOverlapError, or a position outside the projection
                reason = "beyond the edge of the field"
        if cube is not None:
            reason = self._defect(row, cube)
        self.table["status"][row] = "dropped" if reason else "translated"
        self.table["reason"][row] = reason or ""
        return None if reason else cube

    def _defect(self, row, cube):
        """Return the reason why a cutout cannot be used, or None."""
        good = flux_and_weight(cube)[1] > 0
        self.table["coverage"][row] = round(float(good.mean()), 4)
        if not good.any():
            return "every pixel of the cutout is bad"
        missing = missing_bands(good, cube.survey.pixel_scale)
        if missing.any() and not self.config.allow_missing:
            lost = [band for band, is_lost in zip(cube.bands, missing) if is_lost]
            return f"no data around the source in band {', '.join(lost)}"
        ny, nx = good.shape[1:]
        core = good[:, ny // 2 - 1:ny // 2 + 2, nx // 2 - 1:nx // 2 + 2]
        if not self.config.allow_missing and not core.all():
            return "bad pixels at the position of the source"
        if good.mean() < self.config.min_coverage:
            return f"only {100 * good.mean():.0f} per cent of the cutout's pixels are good"
        return None

    def _translate(self, cubes):
        """Translate a batch, a dict of row to cutout."""
        if not cubes:
            return
        images = self.translator(list(cubes.values()), **self.conditions.keywords(list(cubes)),
                                 **translation_keywords(self.translator, self.config, cubes))
        for (row, cube), image in zip(cubes.items(), images):
            image.meta["galtrans"] |= self.conditions.provenance(row)
            if self.translator.conditioning is not None:
                self.table["condition"][row] = self.conditions.used(row)
            position = self._position(row)
            image.meta["source"] = {"number": row + 1, "ra": float(position.ra.deg), "dec": float(position.dec.deg)}
            name = f"{row + 1:04d}_{_designation(position)}.fits"
            image.write(self.folder / "cubes" / name)
            self.table["file"][row] = f"cubes/{name}"
            for prefix, one in (("input", cube), ("translated", image)):
                self._measure(row, prefix, one, position)
            if len(self.images) < self.config.max_sheet:
                self.images.append((cube, image))
                self.labels.append(self._label(row))

    def _measure(self, row, prefix, cube, position):
        """Write magnitudes, colors and shape of an image into the table."""
        radii = self.config.radii
        magnitudes, errors = aperture_magnitudes(cube, position, radii, correlated=prefix == "translated")
        colors = colors_of(cube.bands)
        for radius, magnitude, error in zip(radii, magnitudes, errors):
            names = column_names(prefix, [*cube.bands, *colors], radius)
            values = np.append(magnitude, -np.diff(magnitude))
            spreads = np.append(error, np.hypot(error[:-1], error[1:]))
            for name, value, spread in zip(names, values, spreads):
                self.table[name][row], self.table[f"{name}_error"][row] = np.round((value, spread), 5)
        for name, value in shape_of(cube, shape_band(cube.survey), position)._asdict().items():
            self.table[f"{prefix}_{name}"][row] = np.round(value, 4)

    def _label(self, row):
        band = shape_band(self.translator.input_survey)
        magnitude = self.table[column_names("input", [band], max(self.config.radii))[0]][row]
        return f"{row + 1}" + (f"   {band} = {magnitude:.1f}" if np.isfinite(magnitude) else "")


def _designation(position):
    """Return a truncated position in the style of IAU names: ``J151812.34+424534.5``."""
    icrs = position.icrs
    ra = icrs.ra.to_string(unit=u.hourangle, sep="", precision=2, pad=True)
    return f"J{ra}{icrs.dec.to_string(sep='', precision=1, pad=True, alwayssign=True)}"


def _output_table(sources, translator, radii):
    """Return a table with the columns of the sources, and columns to fill."""
    n = len(sources)
    table = type(sources)({"number": Column(np.arange(1, n + 1), description="number of the source, from 1")})
    measures = _measures(translator, radii)
    own = {"number", *(column.name for column in measures)}
    for name in ("ra", "dec", *(name for name in sources.colnames if name not in ("ra", "dec"))):
        table[f"catalog_{name}" if name in own else name] = sources[name]
    for name, what in (("ra", "right ascension"), ("dec", "declination")):
        table[name] = Column(np.asarray(sources[name], dtype=float), unit=u.deg, description=f"{what} (ICRS)")
    for column in measures:
        fill = np.nan if column.dtype.kind == "f" else ""
        table[column.name] = Column(np.full(n, fill, column.dtype), unit=column.unit, description=column.description)
    return table


def _measures(translator, radii):
    """Return the columns to fill, without rows."""
    columns = [
        Column([], "status", "U10", description="translated or dropped"),
        Column([], "reason", "U200", description="why the source was dropped"),
        Column([], "file", "U60", description="FITS cube of the translation, in this folder"),
        Column([], "coverage", float, description="fraction of good pixels of the cutout, over all bands")]
    if translator.conditioning is not None:
        columns.append(Column([], "condition", "U10", description="metadata of the galaxy that the translator used"))
    for prefix, survey in (("input", translator.input_survey), ("translated", translator.target_survey)):
        image = f"{survey.name} image" if prefix == "input" else f"translation to {survey.name}"
        correlated = "" if prefix == "input" else f", with a correlation of pixels over {CORRELATION_LENGTH}"
        bands, colors = survey.band_names, colors_of(survey.band_names)
        descriptions = [*(f"AB magnitude in {band}" for band in bands),
                        *(f"color {blue} - {red} (AB)" for blue, red in zip(bands, bands[1:]))]
        for radius in radii:
            for name, description in zip(column_names(prefix, [*bands, *colors], radius), descriptions):
                columns.append(Column([], name, float, unit=u.mag,
                                      description=f"{description} within {radius:g} arcsec of the {image}"))
                columns.append(Column([], f"{name}_error", float, unit=u.mag,
                                      description=f"standard error of {name}{correlated}"))
        columns += [Column([], f"{prefix}_{name}", float, unit=u.one,
                           description=f"{description}; {shape_band(survey)} of the {image}")
                    for name, description in MORPHOLOGY.items()]
    return columns
