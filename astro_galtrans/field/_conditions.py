"""Metadata of galaxies for conditioned translators, from the columns of a catalog or from files."""

import warnings
from pathlib import Path

import numpy as np

from astro_galtrans._utils.tables import numbers
from astro_galtrans.exceptions import FileFormatError, GaltransWarning
from astro_galtrans.spectra import read_spectrum, resample_spectrum

__all__ = ["COLUMNS", "CatalogConditions", "spectrum_arrays"]

COLUMNS = ("redshift", "redshift_error", "spectrum")


def spectrum_arrays(spectrum, grid):
    """Return flux and weight of a spectrum on the grid of a translator, float32; 0 for None.

    The spectrum is a `specutils.Spectrum` or the path of a file that `~astro_galtrans.spectra.read_spectrum` reads.
    """
    if spectrum is None:
        return np.zeros((2, grid.n_pixels), np.float32)
    if not isinstance(spectrum, (str, Path)):
        return resample_spectrum(spectrum, grid)
    path = Path(spectrum)
    try:
        return resample_spectrum(read_spectrum(path), grid)
    except FileFormatError:
        raise
    except (TypeError, ValueError) as error:
        raise FileFormatError(f"{path}: {error}") from error


class CatalogConditions:
    """Metadata of the sources of a catalog for a conditioned translator.

    ``sources`` has the columns `COLUMNS` as far as they are known, and none of them if the sources were ``detected`` in
    the images. Relative paths of spectra are in ``folder``. A column that is missing or has wrong values is a
    ValueError if the translator needs it.
    """

    def __init__(self, translator, sources, folder=".", detected=False):
        self.kind, self.takes_unknown = translator.conditioning, translator.takes_unknown
        self.grid, self.folder = translator.spectrum_grid, Path(folder)
        self.columns, self._spectra = {}, {}
        if self.kind is None:
            return
        if self.kind not in sources.colnames:
            self._handle_missing(translator, detected)
        names = ("redshift", "redshift_error") if self.kind == "redshift" else ("spectrum",)
        reads = _paths if self.kind == "spectrum" else _numbers
        self.columns = {name: reads(sources[name], name) for name in names if name in sources.colnames}

    def _handle_missing(self, translator, detected):
        """Raise an error if the translator needs the column, otherwise warn."""
        if not self.takes_unknown:
            needed = "it needs a catalog with " + ("redshifts" if self.kind == "redshift" else "spectra")
            raise ValueError(f"translator {translator.name!r} is conditioned on the {self.kind}: "
                             + (needed if detected else "catalog must have that column"))
        warnings.warn(f"translator {translator.name!r} is conditioned on the {self.kind}, and there is none: all "
                      "galaxies are translated with unknown values", GaltransWarning, 4)

    def defect(self, row):
        """Return the reason why a source cannot be translated, or None."""
        if self.kind is None:
            return None
        if self.kind == "spectrum":
            try:
                known = self._spectrum(row)[1].any()
            except (OSError, FileFormatError) as error:
                return str(error)
        else:
            redshift, error = self._value("redshift", row), self._value("redshift_error", row)
            known = not np.isnan(redshift)
            if known and not -1 < redshift < np.inf:
                return f"redshift is {redshift:g}, which is not above -1 and finite"
            if error < 0 or np.isinf(error):
                return f"redshift_error is {error:g}, which is not at least 0 and finite"
        return None if known or self.takes_unknown else f"no {self.kind}"

    def _value(self, name, row):
        return self.columns[name][row] if name in self.columns else np.nan

    def _path(self, row):
        path = self.columns["spectrum"][row] if "spectrum" in self.columns else None
        return None if path is None else self.folder / path

    def _spectrum(self, row):
        if row not in self._spectra:
            self._spectra[row] = spectrum_arrays(self._path(row), self.grid)
        return self._spectra[row]

    def keywords(self, rows):
        """Return the keywords of the translator for some sources without a defect."""
        if self.kind is None:
            return {}
        if self.kind == "spectrum":
            return {"spectrum": tuple(np.stack(part) for part in zip(*map(self._spectrum, rows)))}
        keywords = {name: np.array([self._value(name, row) for row in rows]) for name in ("redshift", "redshift_error")}
        return keywords if "redshift_error" in self.columns else {"redshift": keywords["redshift"]}

    def used(self, row):
        """Return what a conditioned translator uses for a source: "redshift", "spectrum" or "none"."""
        if self.kind == "spectrum":
            known = self._spectrum(row)[1].any()
        else:
            known = not np.isnan(self._value("redshift", row))
        return self.kind if known else "none"

    def provenance(self, row):
        """Return further provenance of a translation: the file of the spectrum."""
        path = self._path(row) if self.kind == "spectrum" else None
        return {} if path is None else {"spectrum_file": str(path)}

    def forget(self, rows):
        """Free the spectra of some sources."""
        for row in rows:
            self._spectra.pop(row, None)


def _numbers(column, name):
    """Return a column as floats, NaN if masked."""
    values = numbers(column, f"column {name} of the catalog")
    if values.ndim != 1:
        raise ValueError(f"column {name} of the catalog must hold one number in each row, got shape {values.shape}")
    return values


def _paths(column, name):
    """Return a column of paths as str, None if masked, empty or "none"."""
    paths = []
    for value in column:
        if value is None or np.ma.is_masked(value):
            paths.append(None)
            continue
        value = value.decode() if isinstance(value, bytes) else value
        if not isinstance(value, (str, Path)):
            raise ValueError(f"column {name} of the catalog must hold paths, got {value}")
        text = str(value).strip()
        paths.append(None if text in ("", "none") else text)
    return paths
