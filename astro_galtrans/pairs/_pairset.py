"""A set of pairs, in memory or lazily on disk."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Literal, TYPE_CHECKING, overload

import astropy.units as u
import numpy as np
from astropy.table import Table

from astro_galtrans._utils import html
from astro_galtrans._utils.masked import floats, whole
from astro_galtrans._utils.psf import psf_fwhm
from astro_galtrans._utils.validation import configured
from astro_galtrans.images import missing_bands
from astro_galtrans.pairs._checks import (
    check_same_sky, checked_flux, checked_ids, checked_label, checked_psf, checked_redshift, checked_redshift_error,
    checked_spectra, checked_truth, select_bands,
)
from astro_galtrans.pairs._disk import LazyArray, MemoryWriter, PairWriter, open_pairs
from astro_galtrans.pairs._pair import GalaxyPair, pair_cubes
from astro_galtrans.spectra import to_spectrum

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike

    from astropy.units import Quantity
    from numpy.typing import ArrayLike
    from specutils import Spectrum

    from astro_galtrans.spectra import SpectrumGrid
    from astro_galtrans.surveys import Survey

__all__ = ["PairExtras", "PairSet"]

ARRAYS = ("input_flux", "target_flux", "input_weight", "target_weight", "input_truth", "target_truth", "input_label",
          "target_label", "input_psf", "target_psf", "spectrum_flux", "spectrum_weight")
_BLOCK = 1024  # galaxies whose weights are read at once
_N_SHOWN, _HEIGHT = 4, 84  # pairs in a notebook, and the height of their images in pixels


@dataclass(frozen=True, eq=False)
class PairExtras:
    """Parts of a set of pairs that few sets have; `PairSet.from_arrays` takes them as keywords too.

    Parameters
    ----------
    input_bands, target_bands : str or sequence of str, optional
        Bands of the arrays, in the order of the survey; by default all bands of the survey.
    input_truth, target_truth : array_like or `~astropy.units.Quantity`, optional
        Flux without noise.
    input_label, target_label : array_like, optional
        The object to which each pixel belongs, shape ``(galaxy, y, x)``: 0 sky, 1 the target galaxy, 2 neighbors and
        stars.
    input_psf, target_psf : array_like, optional
        Point spread functions, shape ``(galaxy, band, py, px)``, or ``(band, py, px)`` for all galaxies; 0 or NaN for a
        galaxy with unknown PSF. They are normalized to a sum of 1.
    redshift_error : array_like, optional
        Standard deviation of the redshift, shape ``(galaxy,)``; NaN if unknown.
    spectra : sequence of `specutils.Spectrum` or None, or tuple of two arrays, optional
        One spectrum for each galaxy, None if it has none; each is resampled onto the grid. Or flux and weight on the
        grid, shape ``(galaxy, pixel)``, in 1e-17 erg / (s cm2 Angstrom) and the inverse square of it.
    spectrum_grid : `~astro_galtrans.spectra.SpectrumGrid`, optional
        By default ``SpectrumGrid()``.
    """

    input_bands: str | Sequence[str] | None = None
    target_bands: str | Sequence[str] | None = None
    input_truth: ArrayLike | Quantity | None = None
    target_truth: ArrayLike | Quantity | None = None
    input_label: ArrayLike | None = None
    target_label: ArrayLike | None = None
    input_psf: ArrayLike | None = None
    target_psf: ArrayLike | None = None
    redshift_error: ArrayLike | None = None
    spectra: Sequence[Spectrum | None] | tuple[ArrayLike, ArrayLike] | None = None
    spectrum_grid: SpectrumGrid | None = None


class _Read:
    """``PairSet.read(path)`` is `PairSet.open`; ``pairs.read(rows)`` of a set is `PairSet.read_arrays`."""

    @overload
    def __get__(self, pairs: None, owner: type[PairSet]) -> Callable[[str | PathLike], PairSet]: ...

    @overload
    def __get__(self, pairs: PairSet, owner: type[PairSet]) -> Callable[..., dict[str, np.ndarray | None]]: ...

    def __get__(self, pairs, owner):
        return owner.open if pairs is None else pairs.read_arrays


class PairSet:
    """Images of the same galaxies in an input and in a target survey.

    Create it with `PairSet.from_arrays`, `PairSet.open`, `~astro_galtrans.pairs.match_pairs` or
    `~astro_galtrans.simulation.simulate_pairs`. ``PairSet.read(path)`` is the same as `open`; ``read`` of an existing
    set is the same as `read_arrays`.

    Attributes
    ----------
    input_flux, target_flux : ndarray or lazy array
        Shape ``(galaxy, band, y, x)``, float32, in the unit of the survey.
    input_weight, target_weight : ndarray, lazy array or None
        Inverse variance of the flux, same shape; 0 in bad pixels.
    input_truth, target_truth : ndarray, lazy array or None
        Flux without noise, if known.
    input_label, target_label : ndarray, lazy array or None
        The object to which each pixel belongs, shape ``(galaxy, y, x)``, uint8: 0 sky, 1 the target galaxy, 2 neighbors
        and stars.
    input_psf, target_psf : ndarray, lazy array or None
        Point spread function, shape ``(galaxy, band, py, px)``, float32, on the pixels of the images and of sum 1; 0
        for a galaxy with unknown PSF. Wings beyond the edge are missing; `~astro_galtrans.pairs.psf_side` is the usual
        side.
    redshift, redshift_error : ndarray or None
        Redshift and its standard deviation, shape ``(galaxy,)``, float64, NaN if unknown.
    spectrum_flux, spectrum_weight : ndarray, lazy array or None
        Flux density in 1e-17 erg / (s cm2 Angstrom), shape ``(galaxy, pixel)``, float32, and its inverse variance; 0
        if there is no spectrum.
    spectrum_grid : `~astro_galtrans.spectra.SpectrumGrid` or None
        The wavelengths of the spectra.
    ids : ndarray
        Shape ``(galaxy,)``, int or str, all different.
    input_survey, target_survey : Survey
        With the bands of the images only.
    catalog : `~astropy.table.Table` or None
        Other columns, one row for each galaxy.
    dropped, fields : `~astropy.table.Table` or None
        Only of a set that `~astro_galtrans.pairs.match_pairs` returns: the galaxies without a pair and the reasons, and
        the offset between the images of each field. Selections and stored sets do not have them.
    """

    if TYPE_CHECKING:
        input_flux: np.ndarray | LazyArray
        target_flux: np.ndarray | LazyArray
        input_weight: np.ndarray | LazyArray | None
        target_weight: np.ndarray | LazyArray | None
        input_truth: np.ndarray | LazyArray | None
        target_truth: np.ndarray | LazyArray | None
        input_label: np.ndarray | LazyArray | None
        target_label: np.ndarray | LazyArray | None
        input_psf: np.ndarray | LazyArray | None
        target_psf: np.ndarray | LazyArray | None
        spectrum_flux: np.ndarray | LazyArray | None
        spectrum_weight: np.ndarray | LazyArray | None

    def __init__(
        self, images: Mapping[str, np.ndarray | LazyArray], *, redshift: np.ndarray | None, ids: np.ndarray,
        input_survey: Survey, target_survey: Survey, catalog: Table | None = None,
        redshift_error: np.ndarray | None = None, spectrum_grid: SpectrumGrid | None = None,
        dropped: Table | None = None, fields: Table | None = None,
    ) -> None:
        for name in ARRAYS:
            setattr(self, name, images.get(name))
        self.redshift = redshift
        self.redshift_error = redshift_error
        self.spectrum_grid = spectrum_grid
        self.ids = ids
        self.input_survey = input_survey
        self.target_survey = target_survey
        self.catalog = catalog
        self.dropped = dropped
        self.fields = fields

    @classmethod
    def from_arrays(
        cls, input_flux: ArrayLike | Quantity, target_flux: ArrayLike | Quantity, *, input_survey: Survey | str,
        target_survey: Survey | str, redshift: ArrayLike | None = None,
        input_weight: ArrayLike | Quantity | None = None, target_weight: ArrayLike | Quantity | None = None,
        ids: Sequence[int] | Sequence[str] | None = None, catalog: Table | None = None,
        extras: PairExtras | None = None, **settings: object,
    ) -> PairSet:
        """Create pairs from arrays in memory, which are copied.

        A pixel that is NaN or infinite, or in an area of zeros (`~astro_galtrans.images.empty_pixels`), becomes flux 0
        with weight 0. A weight that is not given stays None, unless there are such pixels: then it is that of the
        survey's typical background.

        Parameters
        ----------
        input_flux, target_flux : array_like or `~astropy.units.Quantity`
            Shape ``(galaxy, band, y, x)``. A bare array is in the unit of the survey; a Quantity is converted
            through the zero point of each band.
        input_survey, target_survey : str or Survey
            The surveys.
        redshift : array_like, optional
            Shape ``(galaxy,)``; NaN if unknown.
        input_weight, target_weight : array_like or `~astropy.units.Quantity`, optional
            Inverse variance, of the shape of the flux; 0 or NaN for a bad pixel.
        ids : sequence of int or str, optional
            One for each galaxy, all different; by default the row number.
        catalog : `~astropy.table.Table`, optional
            One row for each galaxy. Columns ``ra`` and ``dec`` (degrees, ICRS) are the positions of the images.
        extras : PairExtras, optional
            Bands, PSFs, flux without noise, labels of pixels, redshift errors and spectra.
        **settings
            Fields of `~astro_galtrans.pairs.PairExtras`, as ``input_bands="gri"``; they replace those of ``extras``.

        Returns
        -------
        PairSet

        Raises
        ------
        ValueError
            If shapes, weights, labels, redshifts or ids are wrong; the message names the argument.
        TypeError
            If a keyword is not a field of `PairExtras`.
        BandMismatchError
            If the number of bands is not that of the survey.

        Notes
        -----
        Input and target images must be centered on the same position and cover the same sky, to two pixels of the
        coarser survey: `~astro_galtrans.surveys.matching_size` has the side in pixels.

        Examples
        --------
        >>> import numpy as np
        >>> from astro_galtrans.pairs import PairSet
        >>> pairs = PairSet.from_arrays(np.ones((3, 5, 8, 8)), np.ones((3, 5, 18, 18)), input_survey="SDSS",
        ...                             target_survey="CFHTLS", redshift=[0.1, 0.2, 0.3])
        >>> pairs
        <PairSet: 3 pairs, SDSS ugriz 8x8 nmgy -> CFHTLS ugriz 18x18 adu, in memory>
        """
        extras = configured(PairExtras, extras, settings, "extras")
        input_survey = select_bands(input_survey, extras.input_bands, "input")
        target_survey = select_bands(target_survey, extras.target_bands, "target")
        images = {}
        for side, survey, flux, weight, truth, label, psf in (
            ("input", input_survey, input_flux, input_weight, extras.input_truth, extras.input_label, extras.input_psf),
            ("target", target_survey, target_flux, target_weight, extras.target_truth, extras.target_label,
             extras.target_psf),
        ):
            flux, weight = checked_flux(flux, survey, weight, name=f"{side}_flux")
            images |= {f"{side}_flux": flux, f"{side}_weight": weight,
                       f"{side}_truth": checked_truth(f"{side}_truth", truth, survey, flux.shape),
                       f"{side}_label": checked_label(f"{side}_label", label, (len(flux), *flux.shape[2:])),
                       f"{side}_psf": checked_psf(f"{side}_psf", psf, len(flux), len(survey))}
        n = len(images["input_flux"])
        if len(images["target_flux"]) != n:
            raise ValueError(f"input_flux has {n} galaxies, target_flux has {len(images['target_flux'])}")
        check_same_sky(images, {"input": input_survey, "target": target_survey})
        if catalog is not None:
            catalog = Table(catalog, copy=True)
            if len(catalog) != n:
                raise ValueError(f"catalog must have {n} rows, got {len(catalog)}")
        spectra = checked_spectra(extras.spectra, extras.spectrum_grid, n)
        images |= {"spectrum_flux": spectra.flux, "spectrum_weight": spectra.weight}
        redshift = checked_redshift(redshift, n)
        return cls(images, redshift=redshift, ids=checked_ids(ids, n), catalog=catalog, spectrum_grid=spectra.grid,
                   redshift_error=checked_redshift_error(extras.redshift_error, redshift, n),
                   input_survey=input_survey, target_survey=target_survey)

    @classmethod
    def open(cls, path: str | PathLike) -> PairSet:
        """Open a set of pairs on disk; images are read when they are needed.

        Parameters
        ----------
        path : path-like
            Written by `write`.

        Returns
        -------
        PairSet

        Raises
        ------
        FileNotFoundError
            If there is nothing at ``path``.
        FileFormatError
            If it is not a set of pairs, not complete, or of a newer version.
        """
        images, parts = open_pairs(path)
        return cls(images, **parts)

    def write(self, path: str | PathLike, overwrite: bool = False) -> None:
        """Write to a Zarr v3 folder, which appears under its name only when it is complete.

        Parameters
        ----------
        path : path-like
            Folder to create, usually named ``*.zarr``; a suffix of another format, as ``.fits``, is refused.
        overwrite : bool, optional
            Whether an existing set of pairs may be replaced; anything else is never replaced.

        Raises
        ------
        FileExistsError
            If ``path`` exists and may not be replaced.
        OSError
            If the disk has too little space for the images, before anything is written.
        TypeError
            If the catalog has columns of objects, or columns that are not plain.
        ValueError
            If ``path`` has the suffix of another format, or this set is read from it.
        """
        images = self._arrays()
        if self.is_within(path):
            raise ValueError(f"this set of pairs is read from {path}, it cannot be written over itself")
        surveys = {"input": self.input_survey, "target": self.target_survey}
        shapes = {name: array.shape[1:] for name, array in images.items()}
        with self.writer(path, len(self), shapes, surveys, overwrite) as writer:
            for first in range(0, len(self), writer.block):
                block = slice(first, first + writer.block)
                writer.write_images(first, {name: array[block] for name, array in images.items()})
            writer.finish(self.ids, self.redshift, self.catalog, redshift_error=self.redshift_error,
                          spectrum_grid=self.spectrum_grid)

    def is_within(self, path: str | PathLike) -> bool:
        """Return whether images of this set are read from ``path``."""
        return any(isinstance(array, LazyArray) and array.is_within(path) for array in self._arrays().values())

    @classmethod
    def writer(
        cls, path: str | PathLike | None, n: int, shapes: Mapping[str, tuple[int, ...]], surveys: Mapping[str, Survey],
        overwrite: bool = False,
    ) -> PairWriter | MemoryWriter:
        """Return a context manager that collects pairs block by block, on disk or in memory.

        Parameters
        ----------
        path : path-like or None
            Folder to create, as for `write`; None collects the pairs in memory.
        n : int
            Number of pairs.
        shapes : dict of str to tuple
            Shape of one galaxy, ``(band, y, x)``, for each array of images by name, as ``"input_flux"`` or
            ``"input_psf"``, ``(y, x)`` for ``"input_label"`` and ``"target_label"``, and ``(pixel,)`` for
            ``"spectrum_flux"`` and ``"spectrum_weight"``.
        surveys : dict of str to Survey
            ``"input"`` and ``"target"``.
        overwrite : bool, optional
            As for `write`.

        Returns
        -------
        context manager
            Call ``write_images(first_row, {name: array})`` for blocks of at most ``block`` galaxies and then
            ``finish(ids, redshift, catalog, redshift_error=None, spectrum_grid=None)`` in it. After it, ``pairs()``
            returns the PairSet.
        """
        if path is None:
            return MemoryWriter(n, dict(shapes), surveys, cls)
        return PairWriter(path, n, dict(shapes), surveys, overwrite, cls)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        sides = []
        for survey, flux in ((self.input_survey, self.input_flux), (self.target_survey, self.target_flux)):
            bands = survey.band_names
            bands = ("" if all(len(band) == 1 for band in bands) else ",").join(bands)
            sides.append(f"{survey.name} {bands} {flux.shape[-2]}x{flux.shape[-1]} {survey.unit}")
        return f"<PairSet: {len(self)} pairs, {' -> '.join(sides)}, {self._location()}>"

    def _repr_html_(self) -> str:
        rows = []
        for side in ("input", "target"):
            survey, flux = getattr(self, f"{side}_survey"), getattr(self, f"{side}_flux")
            also = [name for name in ("weight", "truth", "label", "psf") if getattr(self, f"{side}_{name}") is not None]
            also = f", with {' and '.join(also)}" if also else ""
            rows.append((side, f"{survey.name} {','.join(survey.band_names)}, {flux.shape[-2]} x {flux.shape[-1]} "
                         f"pixels, {survey.unit}{also}"))
        known = np.array([]) if self.redshift is None else self.redshift[np.isfinite(self.redshift)]
        rows.append(("redshift", "none" if not known.size else f"{known.size} known, {known.min():.3g} to "
                     f"{known.max():.3g}, median {np.median(known):.3g}"))
        rows.append(("spectra", "none" if self.spectrum_grid is None else str(self.spectrum_grid)))
        names = [] if self.catalog is None else self.catalog.colnames
        rows.append(("catalog", "none" if self.catalog is None else f"{len(names)} columns: " + ", ".join(names[:12])
                     + (" ..." if len(names) > 12 else "")))
        shown = [self[row] for row in range(min(_N_SHOWN, len(self)))]
        images = "".join(f"<div>{pair._thumbnails(_HEIGHT, f'{pair.id}, ')}</div>" for pair in shown)
        return (html.heading("PairSet", f"{len(self)} pairs, {self._location()}")
                + html.row(images, html.table(rows)))

    def _location(self):
        return "in memory" if isinstance(self.input_flux, np.ndarray) else "on disk"

    @overload
    def __getitem__(self, index: int) -> GalaxyPair: ...

    @overload
    def __getitem__(self, index: slice | Sequence[int] | np.ndarray) -> PairSet: ...

    def __getitem__(self, index: int | slice | Sequence[int] | np.ndarray) -> GalaxyPair | PairSet:
        if isinstance(index, (int, np.integer)):
            return self._pair(range(len(self))[index])  # negative rows, and an IndexError outside
        return self.select(index)

    def _pair(self, row):
        batch = self.read_arrays(row)
        surveys = {"input": self.input_survey, "target": self.target_survey}
        input_image, target_image = pair_cubes(batch, row, self.catalog, surveys)
        redshift, redshift_error = (
            None if batch[name] is None or np.isnan(batch[name][0]) else float(batch[name][0])
            for name in ("redshift", "redshift_error"))
        spectrum = None
        if self.spectrum_grid is not None:
            spectrum = to_spectrum(batch["spectrum_flux"][0], batch["spectrum_weight"][0], self.spectrum_grid)
        return GalaxyPair(input_image, target_image, redshift=redshift, id=batch["ids"][0].item(),
                          redshift_error=redshift_error, spectrum=spectrum)

    def _arrays(self):
        """Return the arrays of this set by name."""
        return {name: getattr(self, name) for name in ARRAYS if getattr(self, name) is not None}

    def _parts(self, rows=slice(None)):
        """Return the other arguments of `__init__`, of some rows."""
        columns = {name: getattr(self, name) for name in ("redshift", "redshift_error", "ids", "catalog")}
        return {**{name: None if column is None else column[rows] for name, column in columns.items()},
                "input_survey": self.input_survey, "target_survey": self.target_survey,
                "spectrum_grid": self.spectrum_grid}

    def select(self, indices: slice | ArrayLike) -> PairSet:
        """Return the pairs at some rows, in that order; on disk nothing is read yet.

        Parameters
        ----------
        indices : sequence of int, boolean mask or slice
            Rows, all different.

        Returns
        -------
        PairSet
        """
        rows = _row_numbers(indices, len(self))
        if len(np.unique(rows)) < len(rows):
            raise ValueError("indices must not name a galaxy twice")
        arrays = {name: array.take_rows(rows) if isinstance(array, LazyArray) else array[rows]
                  for name, array in self._arrays().items()}
        return PairSet(arrays, **self._parts(rows))

    def missing_bands(self, side: Literal["input", "target"] = "input") -> np.ndarray:
        """Return which bands of each galaxy have no data, or too little; see `~astro_galtrans.images.missing_bands`.

        Parameters
        ----------
        side : {"input", "target"}, optional
            Which images.

        Returns
        -------
        ndarray of bool
            Shape ``(galaxy, band)``.

        Examples
        --------
        ``pairs.select(~pairs.missing_bands().any(1))`` are the galaxies with data in all input bands.
        """
        if side not in ("input", "target"):
            raise ValueError(f"side must be 'input' or 'target', got {side!r}")
        survey = getattr(self, f"{side}_survey")
        found, weight = np.zeros((len(self), len(survey)), dtype=bool), getattr(self, f"{side}_weight")
        if weight is None:
            return found
        for first in range(0, len(self), _BLOCK):
            rows = slice(first, min(first + _BLOCK, len(self)))
            found[rows] = missing_bands(weight[rows] > 0, survey.pixel_scale)
        return found

    def psf_fwhm(self, side: Literal["input", "target"], indices: slice | ArrayLike = slice(None)) -> np.ndarray | None:
        """Return the FWHM of the PSFs without the pixel, from the catalog or else measured on the PSF images.

        The catalog has it in the columns ``input_psf_fwhm`` and ``target_psf_fwhm``, in arcsec where they have no unit,
        which `~astro_galtrans.simulation.simulate_pairs` writes for a realistic sky. On an image it is the width of
        the area within half of the central value, less 0.87 pixels in quadrature.

        Parameters
        ----------
        side : {"input", "target"}
            Which images.
        indices : sequence of int, boolean mask or slice, optional
            Rows; all by default.

        Returns
        -------
        ndarray or None
            In arcsec, shape ``(galaxy, band)``, NaN where it is not known; None without such columns and images.

        Examples
        --------
        >>> import numpy as np
        >>> from astropy.table import Table
        >>> from astro_galtrans.pairs import PairSet
        >>> catalog = Table({"input_psf_fwhm": np.full((3, 5), 1.3)})
        >>> pairs = PairSet.from_arrays(np.ones((3, 5, 8, 8)), np.ones((3, 5, 18, 18)), input_survey="SDSS",
        ...                             target_survey="CFHTLS", catalog=catalog)
        >>> pairs.psf_fwhm("input").shape
        (3, 5)
        """
        if side not in ("input", "target"):
            raise ValueError(f"side must be 'input' or 'target', got {side!r}")
        rows, survey, name = _row_numbers(indices, len(self)), getattr(self, f"{side}_survey"), f"{side}_psf_fwhm"
        if self.catalog is not None and name in self.catalog.colnames:
            widths = floats(self.catalog[name][rows], f"column {name} of the catalog", unit=u.arcsec, dtype=float)
            if widths.shape != (len(rows), len(survey)):
                raise ValueError(f"column {name} of the catalog must have a number for each of the {len(survey)} bands "
                                 f"of {survey.name}, got shape {widths.shape}")
            return np.where(np.isfinite(widths) & (widths > 0), widths, np.nan)
        images = getattr(self, f"{side}_psf")
        if images is None:
            return None
        widths, scale = np.full((len(rows), len(survey)), np.nan), survey.pixel_scale.to_value(u.arcsec)
        for first in range(0, len(rows), _BLOCK):
            widths[first:first + _BLOCK] = psf_fwhm(images[rows[first:first + _BLOCK]], scale)
        return np.where(widths > 0, widths, np.nan)

    @property
    def hash(self) -> str:
        """Hexadecimal SHA-256 of ids, redshifts, widths of PSFs, images and spectra, all of which it reads.

        It is the same in memory and on disk. Equal hashes, surveys and configurations give equal trainings.
        """
        digest = hashlib.sha256(json.dumps(self.ids.tolist(), default=repr).encode())
        arrays = {name: getattr(self, name) for name in ("redshift", "redshift_error")} | self._arrays()
        if self.catalog is not None:
            widths = [f"{side}_psf_fwhm" for side in ("input", "target")]
            arrays |= {name: self.catalog[name] for name in widths if name in self.catalog.colnames}
        for name, array in arrays.items():
            digest.update(name.encode())
            for first in range(0, 0 if array is None else len(self), _BLOCK):
                block = np.asarray(array[first:first + _BLOCK])
                digest.update(np.ascontiguousarray(block, block.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()

    def split(self, fractions: Sequence[float], seed: int = 0) -> tuple[PairSet, ...]:
        """Split into random parts that share no galaxy.

        Parameters
        ----------
        fractions : sequence of float
            Sizes of the parts as fractions of this set, each above 0, together at most 1.
        seed : int, optional
            The same seed gives the same parts, whatever the order of the pairs in this set.

        Returns
        -------
        tuple of PairSet

        Raises
        ------
        ValueError
            If the fractions are wrong, or a part would be empty.
        """
        return tuple(self.select(rows) for rows in _split_rows(self.ids, fractions, seed))

    read = _Read()

    def read_arrays(
        self, indices: int | slice | ArrayLike = slice(None), *, images: Sequence[str] | None = None,
    ) -> dict[str, np.ndarray | None]:
        """Return the arrays of some pairs, read from disk if necessary.

        Parameters
        ----------
        indices : int, sequence of int, boolean mask or slice, optional
            Rows; all by default.
        images : sequence of str, optional
            Which arrays of images and spectra; all by default.

        Returns
        -------
        dict of str to ndarray or None
            ``input_flux``, ``target_flux``, ``input_weight``, ``target_weight``, ``input_truth``, ``target_truth``,
            ``input_psf``, ``target_psf``, ``spectrum_flux``, ``spectrum_weight`` (float32, first axis the rows) and
            ``input_label``, ``target_label`` (uint8) if requested; always ``redshift``, ``redshift_error`` and ``ids``.
        """
        images = ARRAYS if images is None else images
        unknown = set(images) - set(ARRAYS)
        if unknown:
            raise ValueError(f"images must be among {', '.join(ARRAYS)}, got {', '.join(sorted(unknown))}")
        rows = _row_numbers(indices, len(self))
        batch = {name: getattr(self, name) for name in (*images, "redshift", "redshift_error")}
        batch = {name: None if array is None else np.asarray(array[rows]) for name, array in batch.items()}
        return {**batch, "ids": self.ids[rows]}

    def _sides(self, input_side, target_side):
        """Return the same galaxies with other sides as input and target. Nothing is copied or read."""
        arrays = self._arrays()
        for side, source in (("input", input_side), ("target", target_side)):
            arrays |= {f"{side}_{kind}": getattr(self, f"{source}_{kind}")
                       for kind in ("flux", "weight", "truth", "label", "psf")}
        surveys = {"input_survey": getattr(self, f"{input_side}_survey"),
                   "target_survey": getattr(self, f"{target_side}_survey")}
        parts = self._parts() | surveys
        catalog = self.catalog
        if catalog is not None:
            parts["catalog"] = catalog.copy()
            # Positions and PSFs of the images follow them.
            for kind in ("grid", "psf_fwhm"):
                for side, source in (("input", input_side), ("target", target_side)):
                    name = f"{side}_{kind}"
                    if f"{source}_{kind}" in catalog.colnames:
                        parts["catalog"][name] = catalog[f"{source}_{kind}"].copy()
                    elif name in catalog.colnames:
                        parts["catalog"].remove_column(name)
        return PairSet(arrays, **parts)

    def reversed(self) -> PairSet:
        """Return the same pairs with input and target exchanged.

        The catalog keeps its columns and their names, except for the pixel grids and PSF widths, which follow the
        images (``input_grid`` and ``target_grid`` of `~astro_galtrans.pairs.match_pairs`, ``input_psf_fwhm`` and
        ``target_psf_fwhm`` of `~astro_galtrans.simulation.simulate_pairs`).

        Returns
        -------
        PairSet
        """
        return self._sides("target", "input")

    def within(self, side: Literal["input", "target"]) -> PairSet:
        """Return pairs of each galaxy with itself, in one of the two surveys.

        Input and target are the same image, with the same noise. Any loss of a translator that is trained on these
        pairs is due to the network alone: the intra-domain test of Ruan, Lin et al. (2025). The catalog keeps its
        columns and their names, except for the pixel grids and PSF widths, which follow the images.

        Parameters
        ----------
        side : {"input", "target"}
            The images that become input and target.

        Returns
        -------
        PairSet
            With the same arrays; on disk nothing is read yet.
        """
        if side not in ("input", "target"):
            raise ValueError(f"side must be 'input' or 'target', got {side!r}")
        return self._sides(side, side)


def _row_numbers(indices, n):
    """Return row numbers of a set of ``n``, from a slice, a boolean mask or integers."""
    if isinstance(indices, slice):
        return np.arange(n)[indices]
    rows = np.atleast_1d(whole(indices, "indices"))
    if rows.size == 0:
        rows = rows.astype(int)
    if rows.dtype == bool and rows.shape != (n,):
        raise ValueError(f"a boolean selection must have shape ({n},), got {rows.shape}")
    if rows.ndim != 1 or rows.dtype.kind not in "biu":
        raise TypeError(f"indices must be integers, a boolean mask or a slice, got {indices!r}")
    if rows.dtype != bool and rows.size and not -n <= rows.min() <= rows.max() < n:
        raise IndexError(f"indices must be rows of the {n} pairs, got {rows.min()} to {rows.max()}")
    return np.arange(n)[rows]


def _split_rows(ids, fractions, seed):
    """Return sorted row numbers of random parts, which depend on the ids and the seed, not on the order of the ids."""
    try:
        fractions = np.atleast_1d(floats(fractions, "fractions", dtype=float))
    except (TypeError, ValueError) as error:
        raise type(error)(f"fractions must be numbers, got {fractions!r}") from error
    if fractions.ndim != 1 or not np.all(fractions > 0) or fractions.sum() > 1 + 1e-9:
        raise ValueError(f"fractions must be above 0 and sum to at most 1, got {fractions.tolist()}")
    order = np.argsort(ids)[np.random.default_rng(seed).permutation(len(ids))]
    edges = np.round(np.concatenate([[0], np.cumsum(fractions)]) * len(ids)).astype(int)
    if np.any(np.diff(edges) == 0):
        raise ValueError(f"{len(ids)} pairs are too few for parts of {fractions.tolist()}: one would be empty")
    return [np.sort(order[a:b]) for a, b in zip(edges[:-1], edges[1:])]
