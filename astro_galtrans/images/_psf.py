"""Point spread functions that vary over a field: of any model, and of SDSS in psField files.

The SDSS pipeline describes the PSF of a field and band by some eigen-images (a Karhunen-Loeve basis), whose weights are
polynomials of the position: Lupton et al. (2001, ASP Conf. 238, 269); the file is that of the SDSS data model,
``PHOTO_REDUX/RERUN/RUN/objcs/CAMCOL/psField.html``.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, TYPE_CHECKING, runtime_checkable

import numpy as np

from astro_galtrans._utils.psf import resampled_psf, stacked_psfs
from astro_galtrans._utils.validation import mapping
from astro_galtrans.exceptions import BandMismatchError, FileFormatError
from astro_galtrans.images._fits_read import fits_errors, load_parts, native

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from astropy.coordinates import SkyCoord
    from astropy.io.fits import Header
    from astropy.wcs import WCS

    from astro_galtrans.images._fits_read import Part

__all__ = ["FieldPSF", "PSFModel", "SDSSPSF", "is_psfield"]

_BANDS = "ugriz"
# Positions are in thousands of pixels in the polynomials.
_SCALE = 1e-3
_COLUMNS = ("NROW_B", "NCOL_B", "C", "RNROW", "RNCOL", "RROWS")
# A field of SDSS, with the overlap at its end.
_FIELD_SHAPE = (1489, 2048)


@runtime_checkable
class PSFModel(Protocol):
    """A model of a point spread function that varies over an image, as `SDSSPSF`."""

    def image(self, band: str, x: float, y: float) -> np.ndarray:
        """Return the PSF, shape ``(py, px)``, at a pixel of the image of a band; x is the column."""


class FieldPSF:
    """The point spread function of a field in several bands, at any position on the sky.

    A `BandCube` with a `FieldPSF` has the PSF of its own middle in ``cube.psf``, and so has every cutout.

    Parameters
    ----------
    model : PSFModel
        Object with a method ``image(band, x, y)`` that returns the PSF at a pixel of the image of a band, as `SDSSPSF`.
    wcs : dict of str to `~astropy.wcs.WCS`
        Band name to the WCS of the image to whose pixels the model refers.

    Attributes
    ----------
    bands : tuple of str
        Band names.
    model, wcs
        As given.
    """

    def __init__(self, model: PSFModel, wcs: Mapping[str, WCS]) -> None:
        if not isinstance(model, PSFModel):
            raise TypeError(f"model must have a method image(band, x, y), got {type(model).__name__}")
        mapping(wcs, "wcs")
        lacking = [band for band, one in wcs.items() if one is None]
        if lacking:
            raise ValueError(f"wcs must be given for each band, it is None for {', '.join(lacking)}")
        self.model, self.wcs = model, dict(wcs)
        self.bands = tuple(self.wcs)

    def __repr__(self) -> str:
        return f"<FieldPSF {','.join(self.bands)} of {' '.join(repr(self.model).split())}>"

    def select(self, bands: Sequence[str]) -> FieldPSF:
        """Return the PSF of some of the bands.

        Parameters
        ----------
        bands : sequence of str
            Band names.

        Returns
        -------
        FieldPSF
        """
        missing = [band for band in bands if band not in self.wcs]
        if missing:
            raise BandMismatchError(f"the PSF is known in bands {', '.join(self.bands)}, not {', '.join(missing)}")
        return FieldPSF(self.model, {band: self.wcs[band] for band in bands})

    def image(self, band: str, position: SkyCoord) -> np.ndarray:
        """Return the PSF of a band on the pixels of the image on which it was measured.

        Parameters
        ----------
        band : str
            Band name.
        position : `~astropy.coordinates.SkyCoord`
            Place on the sky.

        Returns
        -------
        ndarray
            Shape ``(py, px)``, of sum 1.
        """
        x, y = self.select((band,)).wcs[band].world_to_pixel(position)
        return self.model.image(band, float(x), float(y))

    def on_grid(self, wcs: WCS, x: float, y: float) -> np.ndarray:
        """Return the PSF of all bands at a pixel of a grid, on the pixels of that grid.

        Parameters
        ----------
        wcs : `~astropy.wcs.WCS`
            The grid.
        x, y : float
            Pixel, column and row.

        Returns
        -------
        ndarray
            Shape ``(band, py, px)``, each of sum 1.
        """
        position = wcs.pixel_to_world(x, y)
        planes = []
        for band, own in self.wcs.items():
            ends = own.world_to_pixel(wcs.pixel_to_world([x + 0.5, x - 0.5, x, x], [y, y, y + 0.5, y - 0.5]))
            jacobian = np.array([[end[0] - end[1], end[2] - end[3]] for end in ends])
            planes.append(resampled_psf(self.image(band, position), jacobian))
        return stacked_psfs(self.bands, planes)

    def variation(self, wcs: WCS, shape: tuple[int, ...]) -> float:
        """Return how much the PSF differs between the middle and the corners of a grid.

        Parameters
        ----------
        wcs : `~astropy.wcs.WCS`
            The grid.
        shape : tuple of int
            ``(ny, nx)``.

        Returns
        -------
        float
            Largest difference of any pixel and band, over the peak of the PSF in the middle.
        """
        middle = self.on_grid(wcs, (shape[1] - 1) / 2, (shape[0] - 1) / 2)
        corners = [self.on_grid(wcs, x, y) for x in (0, shape[1] - 1) for y in (0, shape[0] - 1)]
        peak = middle.max(axis=(1, 2))
        return float(max((np.abs(corner - middle).max(axis=(1, 2)) / peak).max() for corner in corners))


class _Basis(NamedTuple):
    """The eigen-images of a band and the polynomials of their weights."""

    images: np.ndarray
    """Shape ``(component, y, x)``."""
    coefficients: np.ndarray
    """Shape ``(component, row power, column power)``."""


class SDSSPSF:
    """The point spread function of one SDSS field, which varies over the field.

    Read it with `SDSSPSF.read`; `read_cube` and `read_frames` take one, or its file, as ``psf``.

    Parameters
    ----------
    bases : dict of str to tuple of ndarray
        Of each band the eigen-images, shape ``(component, y, x)``, and the coefficients of the polynomials that give
        their weights, shape ``(component, row power, column power)``.
    header : `~astropy.io.fits.Header`
        Primary header, with RUN, CAMCOL and FIELD.

    Attributes
    ----------
    bands : tuple of str
        Band names.
    run, camcol, field : int
        The field of SDSS.
    bases, header
        As given.

    Notes
    -----
    The weight of eigen-image k is ``sum_ij c_kij (0.001 row)**i (0.001 column)**j`` with the middle of the first pixel
    at 0.5, as the photometric pipeline has it (``phPsfKLReconstruct``), and in the file the powers of the
    column run fastest. The IDL tool ``sdss_psf_recon`` reads them in the other order, and gives at (x, y) the PSF of
    (y, x).
    """

    def __init__(self, bases: Mapping[str, tuple[np.ndarray, np.ndarray]], header: Header) -> None:
        self.bases = {band: _Basis(*basis) for band, basis in bases.items()}
        self.header = header
        self.bands = tuple(self.bases)
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
        with fits_errors(path):
            return cls.from_parts(path, load_parts(path))

    @classmethod
    def from_parts(cls, path: str | PathLike, parts: Sequence[Part]) -> SDSSPSF:
        """Return the PSF of a file that has been opened."""
        if not is_psfield(parts):
            raise FileFormatError(f"{path} is not an SDSS psField file: it lacks the eigen-images of five bands")
        return cls({band: _basis(path, band, part.data) for band, part in zip(_BANDS, parts[1:6])}, parts[0].header)

    def __repr__(self) -> str:
        return f"<SDSSPSF run {self.run}, camcol {self.camcol}, field {self.field}, bands {','.join(self.bands)}>"

    def image(self, band: str, x: float | None = None, y: float | None = None) -> np.ndarray:
        """Return the PSF at a pixel.

        Parameters
        ----------
        band : str
            Band name.
        x, y : float, optional
            Pixel of the frame, column and row, the first pixel being 0; the middle of the field without them. A place
            beyond the field counts as the nearest in it, as the polynomials hold there only.

        Returns
        -------
        ndarray of float32
            Shape ``(py, px)``, normally 51 x 51 pixels, centered on the middle pixel, of sum 1.
        """
        if band not in self.bases:
            raise BandMismatchError(f"band must be one of {', '.join(self.bands)}, got {band!r}")
        x, y = ((side - 1) / 2 if value is None else float(value) for value, side in zip((x, y), _FIELD_SHAPE[::-1]))
        if not (np.isfinite(x) and np.isfinite(y)):
            raise ValueError(f"x and y must be finite, got {x} and {y}")
        basis = self.bases[band]
        row, column = ((np.clip(value, 0, side - 1) + 0.5) * _SCALE for value, side in zip((y, x), _FIELD_SHAPE))
        n_rows, n_columns = basis.coefficients.shape[1:]
        weights = basis.coefficients @ column ** np.arange(n_columns) @ row ** np.arange(n_rows)
        image = np.tensordot(weights, basis.images, axes=1)
        return (image / image.sum()).astype(np.float32)


def is_psfield(parts):
    """Return whether the parts of a file are those of a psField file."""
    return len(parts) >= 7 and all(
        set(_COLUMNS) <= {name.upper() for name in part.columns} for part in parts[1:6])


def _basis(path, band, table):
    """Return the basis of a band, without the coefficients beyond the powers that an eigen-image uses."""
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
