"""The galaxies of a field, one batch after the other."""

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from tqdm.auto import tqdm

from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.field._photometry import aperture_magnitudes, colors_of, column_names, shape_band, shape_of
from astro_galtrans.images import flux_and_weight, missing_bands

__all__ = ["FieldRun"]

_BATCH = 16


class FieldRun:
    """Cuts galaxies out, translates them, writes and measures them; what becomes of each is put into the table."""

    def __init__(self, translator, frames, folder, table, conditions, sampling, size, radii, min_coverage, max_sheet,
                 allow_missing=False):
        self.translator, self.frames, self.folder, self.table = translator, frames, folder, table
        self.conditions, self.sampling, self.allow_missing = conditions, sampling, allow_missing
        self.size, self.radii, self.min_coverage, self.max_sheet = int(size), tuple(radii), min_coverage, max_sheet
        self.too_bright, self.saturated = np.zeros((2, len(table)), dtype=bool)
        self.pictures, self.labels = [], []

    def translate_all(self, progress):
        """Translate what can be; ValueError if that is nothing."""
        (self.folder / "cubes").mkdir()
        with tqdm(total=len(self.table), desc="translate", unit="galaxy", disable=not progress) as bar:
            for start in range(0, len(self.table), _BATCH):
                rows = range(start, min(start + _BATCH, len(self.table)))
                cubes = {row: self._cutout(row) for row in rows}
                self._batch({row: cube for row, cube in cubes.items() if cube is not None})
                self.conditions.forget(rows)
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
        elif self.saturated[row]:
            reason = "saturated"
        elif self.too_bright[row]:
            reason = "so bright that a star would be saturated"
        else:
            reason = self.conditions.defect(row)
        if reason is None:
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

    def _defect(self, row, cube):
        """Why a cutout cannot be used, or None."""
        good = flux_and_weight(cube)[1] > 0
        self.table["coverage"][row] = round(float(good.mean()), 4)
        if not good.any():
            return "every pixel of the cutout is bad"
        missing = missing_bands(good, cube.survey.pixel_scale)
        if missing.any() and not self.allow_missing:
            lost = [band for band, is_lost in zip(cube.bands, missing) if is_lost]
            return f"no data around the source in band {', '.join(lost)}"
        ny, nx = good.shape[1:]
        if not self.allow_missing and not good[:, ny // 2 - 1:ny // 2 + 2, nx // 2 - 1:nx // 2 + 2].all():
            return "bad pixels at the position of the source"
        if good.mean() < self.min_coverage:
            return f"only {100 * good.mean():.0f} per cent of the cutout's pixels are good"
        return None

    def _batch(self, cubes):
        if not cubes:
            return
        options = {**self.conditions.given(list(cubes)), "allow_missing": self.allow_missing}
        if self.sampling is not None:
            options |= self.sampling._replace(galaxies=list(cubes))._asdict()
        images = self.translator(list(cubes.values()), **options)
        for (row, cube), image in zip(cubes.items(), images):
            image.meta["galtrans"] |= self.conditions.source_of(row)
            if self.translator.conditioning is not None:
                self.table["condition"][row] = self.conditions.told(row)
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
        magnitudes, errors = aperture_magnitudes(cube, position, self.radii, correlated=prefix == "translated")
        colors = colors_of(cube.bands)
        for radius, magnitude, error in zip(self.radii, magnitudes, errors):
            names = column_names(prefix, [*cube.bands, *colors], radius)
            values = np.append(magnitude, -np.diff(magnitude))
            spreads = np.append(error, np.hypot(error[:-1], error[1:]))
            for name, value, spread in zip(names, values, spreads):
                self.table[name][row], self.table[f"{name}_error"][row] = np.round((value, spread), 5)
        for name, value in shape_of(cube, shape_band(cube.survey), position)._asdict().items():
            self.table[f"{prefix}_{name}"][row] = np.round(value, 4)

    def _label(self, row):
        band = shape_band(self.translator.input_survey)
        magnitude = self.table[column_names("input", [band], max(self.radii))[0]][row]
        return f"{row + 1}" + (f"   {band} = {magnitude:.1f}" if np.isfinite(magnitude) else "")


def _designation(position):
    """As IAU names are made, truncated: ``J151812.34+424534.5``."""
    icrs = position.icrs
    ra = icrs.ra.to_string(unit=u.hourangle, sep="", precision=2, pad=True)
    return f"J{ra}{icrs.dec.to_string(sep='', precision=1, pad=True, alwayssign=True)}"
