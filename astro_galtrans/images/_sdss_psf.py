"""The point spread function of an SDSS field from its psField file, at any pixel of any band.

The pipeline describes the PSF of a field and band by some eigen-images (a Karhunen-Loeve basis), whose weights are
polynomials of the position: Lupton et al. (2001, ASP Conf. 238, 269); the file is that of the SDSS data model,
``PHOTO_REDUX/RERUN/RUN/objcs/CAMCOL/psField.html``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TYPE_CHECKING

import numpy as np

from astro_galtrans.exceptions import BandMismatchError, FileFormatError
from astro_galtrans.images._fits_read import load_parts, native

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from astropy.io.fits import Header

__all__ = ["SDSSPSF"]

_BANDS = "ugriz"
# Positions are in thousands of pixels in the polynomials.
_SCALE = 1e-3
_COLUMNS = ("NROW_B", "NCOL_B", "C", "RNROW", "RNCOL", "RROWS")
# A field of SDSS, with the overlap at its end.
_FIELD_SHAPE = (1489, 2048)


@dataclass(frozen=True)
class _Basis:
    """Eigen-images, shape (component, y, x), and the coefficients of their weights, (component, row power, column
    power)."""

    images: np.ndarray
    coefficients: np.ndarray


class SDSSPSF:
    """The point spread function of one SDSS field, which varies over the field.

    Read it with `SDSSPSF.read`; `read_cube` and `read_frames` take one, or its file, as ``psf``.

    Parameters
    ----------
    bases : dict of str to basis
        Of each band.
    header : `~astropy.io.fits.Header`
        Primary header, with RUN, CAMCOL and FIELD.

    Attributes
    ----------
    bands : tuple of str
        Band names.
    run, camcol, field : int
        Which field it is.

    Notes
    -----
    The weight of eigen-image k is ``sum_ij c_kij (0.001 row)**i (0.001 column)**j`` with the middle of the first pixel
    at 0.5, as the photometric pipeline has it (``phPsfKLReconstruct``), and the coefficients stand in the file with the
    powers of the column running fastest. The IDL tool ``sdss_psf_recon`` reads them in the other order, and gives at
    (x, y) what belongs to (y, x).
    """

    def __init__(self, bases: Mapping[str, Any], header: Header) -> None:
        self._bases, self._header = dict(bases), header
        self.bands = tuple(self._bases)
        self.run, self.camcol, self.field = (int(header.get(key, 0)) for key in ("RUN", "CAMCOL", "FIELD"))

    @classmethod
    def read(cls, path: str | PathLike) -> SDSSPSF:
        """Read a psField file.

        Parameters
        ----------
        path : path-like
            ``psField-RUN-CAMCOL-FIELD.fit``, compressed or not.

        Returns
        -------
        SDSSPSF

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        FileFormatError
            If it is not FITS, is truncated, or is not a psField file.
        """
        return cls.from_parts(path, load_parts(path))

    @classmethod
    def from_parts(cls, path: str | PathLike, parts: Any) -> SDSSPSF:
        """The same from the parts of a file that has been opened."""
        if not is_psfield(parts):
            raise FileFormatError(f"{path} is not an SDSS psField file: it lacks the eigen-images of five bands")
        return cls({band: _basis(path, band, part.data) for band, part in zip(_BANDS, parts[1:6])}, parts[0].header)

    def __repr__(self) -> str:
        return f"<SDSSPSF run {self.run}, camcol {self.camcol}, field {self.field}, bands {','.join(self.bands)}>"

    def image(self, band: str, x: float | None = None, y: float | None = None) -> np.ndarray:
        """The PSF at a pixel.

        Parameters
        ----------
        band : str
            Band name.
        x, y : float, optional
            Pixel of the frame, column and row, the first pixel being 0; the middle of the field without them. A place
            beyond the field is taken for the nearest in it, where alone the polynomials hold.

        Returns
        -------
        ndarray of float32
            Shape ``(py, px)``, normally 51 x 51 pixels, centred on the middle pixel, of sum 1.
        """
        if band not in self._bases:
            raise BandMismatchError(f"band must be one of {', '.join(self.bands)}, got {band!r}")
        x, y = ((side - 1) / 2 if value is None else float(value) for value, side in zip((x, y), _FIELD_SHAPE[::-1]))
        if not (np.isfinite(x) and np.isfinite(y)):
            raise ValueError(f"x and y must be finite, got {x} and {y}")
        basis = self._bases[band]
        row, column = ((np.clip(value, 0, side - 1) + 0.5) * _SCALE for value, side in zip((y, x), _FIELD_SHAPE))
        n_rows, n_columns = basis.coefficients.shape[1:]
        weights = basis.coefficients @ column ** np.arange(n_columns) @ row ** np.arange(n_rows)
        image = np.tensordot(weights, basis.images, axes=1)
        return (image / image.sum()).astype(np.float32)


def is_psfield(parts):
    """Whether the parts of a file are those of a psField file."""
    return len(parts) >= 7 and all(
        set(_COLUMNS) <= {name.upper() for name in getattr(part.data, "names", None) or ()} for part in parts[1:6])


def _basis(path, band, table):
    """The basis of a band, each eigen-image with the powers that it uses and no more."""
    if len(table) == 0:
        raise FileFormatError(f"{path} has no eigen-images in band {band}")
    coefficients = native(table["C"], np.float64)
    images = []
    for index, row in enumerate(table):
        shape = int(row["RNROW"]), int(row["RNCOL"])
        values = np.ravel(row["RROWS"])
        if min(shape) < 1 or values.size < shape[0] * shape[1] or coefficients.ndim != 3:
            raise FileFormatError(f"{path} has {values.size} values for an eigen-image of {shape} in band {band}")
        images.append(native(values[:shape[0] * shape[1]].reshape(shape), np.float64))
        coefficients[index, int(row["NROW_B"]):] = 0
        coefficients[index, :, int(row["NCOL_B"]):] = 0
    if len({image.shape for image in images}) > 1:
        raise FileFormatError(f"{path} has eigen-images of different sizes in band {band}")
    return _Basis(np.stack(images), coefficients)
