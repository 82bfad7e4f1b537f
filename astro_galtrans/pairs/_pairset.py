"""The set of pairs, in memory or lazily on disk."""

from __future__ import annotations

from typing import Any, Literal, TYPE_CHECKING, overload

import numpy as np
from astropy.table import Table

from astro_galtrans.images import missing_bands
from astro_galtrans.pairs._checks import checked_flux, checked_ids, checked_truth, select_bands
from astro_galtrans.pairs._cubes import galaxy_pair
from astro_galtrans.pairs._display import pairs_html
from astro_galtrans.pairs._lazy import LazyArray
from astro_galtrans.pairs._psf import checked_psf
from astro_galtrans.pairs._rows import row_numbers, split_rows
from astro_galtrans.pairs._spectra import checked_redshift, checked_redshift_error, checked_spectra

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from os import PathLike

    from astropy.units import Quantity
    from numpy.typing import ArrayLike
    from specutils import Spectrum

    from astro_galtrans.pairs._cubes import GalaxyPair
    from astro_galtrans.spectra import SpectrumGrid
    from astro_galtrans.surveys import Survey

__all__ = ["PairSet"]

IMAGES = ("input_flux", "target_flux", "input_weight", "target_weight", "input_truth", "target_truth")
_BLOCK = 1024  # galaxies whose weights are read at once
ARRAYS = (*IMAGES, "input_psf", "target_psf", "spectrum_flux", "spectrum_weight")


class _Read:
    """``PairSet.read(path)`` is `PairSet.open`; ``pairs.read(rows)`` of a set is `PairSet.read_arrays`."""

    @overload
    def __get__(self, pairs: None, owner: type[PairSet]) -> Callable[[str | PathLike], PairSet]: ...

    @overload
    def __get__(self, pairs: PairSet, owner: type[PairSet]) -> Callable[..., dict[str, Any]]: ...

    def __get__(self, pairs, owner):
        return owner.open if pairs is None else pairs.read_arrays


class PairSet:
    """Images of the same galaxies in an input and in a target survey.

    Made by `PairSet.from_arrays`, `PairSet.open`, `~astro_galtrans.pairs.match_pairs` or
    `~astro_galtrans.simulation.simulate_pairs`. ``PairSet.read(path)`` is the same as `open`; ``read`` of a set that
    exists is the same as `read_arrays`.

    Attributes
    ----------
    input_flux, target_flux : ndarray or lazy array
        Shape ``(galaxy, band, y, x)``, float32, in the unit of the survey.
    input_weight, target_weight : ndarray, lazy array or None
        Inverse variance of the flux, same shape; 0 where a pixel is bad.
    input_truth, target_truth : ndarray, lazy array or None
        Flux without noise, where it is known.
    input_psf, target_psf : ndarray, lazy array or None
        Point spread function, shape ``(galaxy, band, py, px)``, float32, on the pixels of the images and of sum 1; 0
        for a galaxy whose PSF is not known.
    redshift, redshift_error : ndarray or None
        Redshift and its standard deviation, shape ``(galaxy,)``, float64, NaN where not known.
    spectrum_flux, spectrum_weight : ndarray, lazy array or None
        Flux density in 1e-17 erg / (s cm2 Angstrom), shape ``(galaxy, pixel)``, float32, and its inverse variance; 0
        where there is no spectrum.
    spectrum_grid : `~astro_galtrans.spectra.SpectrumGrid` or None
        The wavelengths of the spectra.
    ids : ndarray
        Shape ``(galaxy,)``, int or str, all different.
    input_survey, target_survey : Survey
        With the bands of the images only.
    catalog : `~astropy.table.Table` or None
        What else is known, one row a galaxy.
    dropped, fields : `~astropy.table.Table` or None
        Of a set that `~astro_galtrans.pairs.match_pairs` has just made: the galaxies without a pair and why, and how
        far the images of each field were apart. Parts and stored sets do not have them.
    """

    if TYPE_CHECKING:
        # ndarray, or a lazy array on disk
        input_flux: Any
        target_flux: Any
        input_weight: Any
        target_weight: Any
        input_truth: Any
        target_truth: Any
        input_psf: Any
        target_psf: Any
        spectrum_flux: Any
        spectrum_weight: Any
        dropped: Table | None
        fields: Table | None

    def __init__(
        self, images: Mapping[str, Any], *, redshift: np.ndarray | None, ids: np.ndarray, input_survey: Survey,
        target_survey: Survey, catalog: Table | None = None, redshift_error: np.ndarray | None = None,
        spectrum_grid: SpectrumGrid | None = None,
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
        self.dropped = self.fields = None

    @classmethod
    def from_arrays(
        cls, input_flux: ArrayLike | Quantity, target_flux: ArrayLike | Quantity, *, input_survey: Survey | str,
        target_survey: Survey | str, redshift: ArrayLike | None = None,
        input_weight: ArrayLike | Quantity | None = None, target_weight: ArrayLike | Quantity | None = None,
        ids: Sequence[int] | Sequence[str] | None = None, catalog: Table | None = None,
        input_truth: ArrayLike | Quantity | None = None, target_truth: ArrayLike | Quantity | None = None,
        input_bands: str | Sequence[str] | None = None, target_bands: str | Sequence[str] | None = None,
        redshift_error: ArrayLike | None = None, input_psf: ArrayLike | None = None,
        target_psf: ArrayLike | None = None,
        spectra: Sequence[Spectrum | None] | tuple[ArrayLike, ArrayLike] | None = None,
        spectrum_grid: SpectrumGrid | None = None,
    ) -> PairSet:
        """Pairs from arrays in memory, which are copied.

        A pixel that is NaN or infinite, or in an area of zeros (`~astro_galtrans.images.empty_pixels`), becomes flux 0
        with weight 0. Where no weight is given it stays None,
        unless there are such pixels: then it is that of the survey's typical background.

        Parameters
        ----------
        input_flux, target_flux : array_like or `~astropy.units.Quantity`
            Shape ``(galaxy, band, y, x)``. A bare array is in the unit of the survey; a Quantity is converted
            through the zero point of each band.
        input_survey, target_survey : str or Survey
            The surveys.
        redshift : array_like, optional
            Shape ``(galaxy,)``; NaN where not known.
        input_weight, target_weight : array_like or `~astropy.units.Quantity`, optional
            Inverse variance, of the shape of the flux; 0 or NaN for a bad pixel.
        ids : sequence of int or str, optional
            One a galaxy, all different; by default the row number.
        catalog : `~astropy.table.Table`, optional
            One row a galaxy. Columns ``ra`` and ``dec`` (degrees, ICRS) give the images their place on the sky.
        input_truth, target_truth : array_like or `~astropy.units.Quantity`, optional
            Flux without noise.
        input_bands, target_bands : str or sequence of str, optional
            Bands of the arrays, in the order of the survey; by default all bands of the survey.
        redshift_error : array_like, optional
            Standard deviation of the redshift, shape ``(galaxy,)``; NaN where not known.
        input_psf, target_psf : array_like, optional
            Point spread functions, shape ``(galaxy, band, py, px)``, or ``(band, py, px)`` for all galaxies; 0 or NaN
            for a galaxy whose PSF is not known. They are normalised to a sum of 1.
        spectra : sequence of `specutils.Spectrum` or None, or tuple of two arrays, optional
            One spectrum a galaxy, None where there is none; each is resampled onto the grid. Or flux and weight on
            the grid, shape ``(galaxy, pixel)``, in 1e-17 erg / (s cm2 Angstrom) and the inverse square of it.
        spectrum_grid : `~astro_galtrans.spectra.SpectrumGrid`, optional
            The default grid where it is not given.

        Returns
        -------
        PairSet

        Raises
        ------
        ValueError
            If shapes, weights, redshifts or ids do not fit; the message names the argument.
        BandMismatchError
            If the number of bands is not that of the survey.

        Examples
        --------
        >>> import numpy as np
        >>> from astro_galtrans.pairs import PairSet
        >>> pairs = PairSet.from_arrays(np.ones((3, 5, 8, 8)), np.ones((3, 5, 18, 18)), input_survey="SDSS",
        ...                             target_survey="CFHTLS", redshift=[0.1, 0.2, 0.3])
        >>> pairs
        <PairSet: 3 pairs, SDSS ugriz 8x8 nmgy -> CFHTLS ugriz 18x18 adu, in memory>
        """
        surveys = {"input": select_bands(input_survey, input_bands, "input"),
                   "target": select_bands(target_survey, target_bands, "target")}
        given = {"input": (input_flux, input_weight, input_truth), "target": (target_flux, target_weight, target_truth)}
        images = {}
        for side, survey in surveys.items():
            flux, weight, truth = given[side]
            flux, weight = checked_flux(flux, survey, weight, name=f"{side}_flux")
            psf = {"input": input_psf, "target": target_psf}[side]
            images |= {f"{side}_flux": flux, f"{side}_weight": weight,
                       f"{side}_truth": checked_truth(f"{side}_truth", truth, survey, flux.shape),
                       f"{side}_psf": checked_psf(f"{side}_psf", psf, len(flux), len(survey))}
        n = len(images["input_flux"])
        if len(images["target_flux"]) != n:
            raise ValueError(f"input_flux has {n} galaxies, target_flux has {len(images['target_flux'])}")
        if catalog is not None:
            catalog = Table(catalog, copy=True)
            if len(catalog) != n:
                raise ValueError(f"catalog must have {n} rows, one a galaxy, got {len(catalog)}")
        images["spectrum_flux"], images["spectrum_weight"], grid = checked_spectra(spectra, spectrum_grid, n)
        redshift = checked_redshift(redshift, n)
        return cls(images, redshift=redshift, redshift_error=checked_redshift_error(redshift_error, redshift, n),
                   ids=checked_ids(ids, n), catalog=catalog, spectrum_grid=grid,
                   input_survey=surveys["input"], target_survey=surveys["target"])

    @classmethod
    def open(cls, path: str | PathLike) -> PairSet:
        """Open a set of pairs on disk; images are read when they are asked for.

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
        from astro_galtrans.pairs._disk import open_pairs

        images, parts = open_pairs(path)
        return cls(images, **parts)

    def write(self, path: str | PathLike, overwrite: bool = False) -> None:
        """Write to a Zarr v3 folder, which appears under its name only when it is complete.

        Parameters
        ----------
        path : path-like
            Folder to make, usually named ``*.zarr``.
        overwrite : bool, optional
            Whether a set of pairs that is there may be replaced; anything else is never replaced.

        Raises
        ------
        FileExistsError
            If something is at ``path`` and may not be replaced.
        OSError
            If the disk has too little room for the images, before anything is written.
        TypeError
            If the catalog holds what cannot be written: objects, or columns that are not plain.
        """
        images = self._arrays()
        if any(isinstance(array, LazyArray) and array.is_within(path) for array in images.values()):
            raise ValueError(f"this set of pairs is read from {path}, it cannot be written over itself")
        surveys = {"input": self.input_survey, "target": self.target_survey}
        shapes = {name: array.shape[1:] for name, array in images.items()}
        with self.writer(path, len(self), shapes, surveys, overwrite) as writer:
            for first in range(0, len(self), writer.block):
                block = slice(first, first + writer.block)
                writer.write_images(first, {name: array[block] for name, array in images.items()})
            writer.finish(self.ids, self.redshift, self.catalog, redshift_error=self.redshift_error,
                          spectrum_grid=self.spectrum_grid)

    @staticmethod
    def writer(
        path: str | PathLike, n: int, shapes: Mapping[str, tuple[int, ...]], surveys: Mapping[str, Survey],
        overwrite: bool = False,
    ) -> AbstractContextManager[Any]:
        """A context manager that writes pairs block by block, for sets that do not fit in memory.

        Parameters
        ----------
        path, overwrite
            As for `write`.
        n : int
            Number of pairs.
        shapes : dict of str to tuple
            Shape of one galaxy, ``(band, y, x)``, for each array of images by name, as ``"input_flux"`` or
            ``"input_psf"``, and ``(pixel,)`` for ``"spectrum_flux"`` and ``"spectrum_weight"``.
        surveys : dict of str to Survey
            ``"input"`` and ``"target"``.

        Returns
        -------
        context manager
            With ``write_images(first_row, {name: array})`` and, at the end,
            ``finish(ids, redshift, catalog, redshift_error=None, spectrum_grid=None)``.
        """
        from astro_galtrans.pairs._disk import PairWriter

        return PairWriter(path, n, shapes, surveys, overwrite)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        sides = []
        for survey, flux in ((self.input_survey, self.input_flux), (self.target_survey, self.target_flux)):
            bands = survey.band_names
            bands = ("" if all(len(band) == 1 for band in bands) else ",").join(bands)
            sides.append(f"{survey.name} {bands} {flux.shape[-2]}x{flux.shape[-1]} {survey.unit}")
        where = "in memory" if isinstance(self.input_flux, np.ndarray) else "on disk"
        return f"<PairSet: {len(self)} pairs, {' -> '.join(sides)}, {where}>"

    _repr_html_ = pairs_html

    def __getitem__(self, index: int) -> GalaxyPair:
        if isinstance(index, (slice, list, tuple, np.ndarray)):
            return self.select(index)
        row = range(len(self))[index]  # negative rows, and an IndexError outside
        return galaxy_pair(self, row)

    def _arrays(self):
        """The arrays that there are, by name."""
        return {name: getattr(self, name) for name in ARRAYS if getattr(self, name) is not None}

    def _parts(self, rows=slice(None)):
        """What `__init__` takes beside arrays, of some rows."""
        columns = {name: getattr(self, name) for name in ("redshift", "redshift_error", "ids", "catalog")}
        return {**{name: None if column is None else column[rows] for name, column in columns.items()},
                "input_survey": self.input_survey, "target_survey": self.target_survey,
                "spectrum_grid": self.spectrum_grid}

    def select(self, indices: slice | ArrayLike) -> PairSet:
        """The pairs at some rows, in that order; on disk nothing is read yet.

        Parameters
        ----------
        indices : sequence of int, boolean mask or slice
            Rows, none twice.

        Returns
        -------
        PairSet
        """
        rows = row_numbers(indices, len(self))
        if len(np.unique(rows)) < len(rows):
            raise ValueError("indices must not name a galaxy twice")
        arrays = {name: array.take_rows(rows) if isinstance(array, LazyArray) else array[rows]
                  for name, array in self._arrays().items()}
        return PairSet(arrays, **self._parts(rows))

    def missing_bands(self, side: Literal["input", "target"] = "input") -> np.ndarray:
        """Bands of which a galaxy has no data, or too little, as of `~astro_galtrans.images.missing_bands`.

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
        The galaxies of some ``pairs`` with data in all input bands are ``pairs.select(~pairs.missing_bands().any(1))``.
        """
        if side not in ("input", "target"):
            raise ValueError(f"side must be 'input' or 'target', got {side!r}")
        survey = getattr(self, f"{side}_survey")
        found, name = np.zeros((len(self), len(survey)), dtype=bool), f"{side}_weight"
        if getattr(self, name) is None:
            return found
        for first in range(0, len(self), _BLOCK):
            rows = slice(first, min(first + _BLOCK, len(self)))
            found[rows] = missing_bands(self.read(rows, images=(name,))[name] > 0, survey.pixel_scale)
        return found

    def split(self, fractions: Sequence[float], seed: int = 0) -> tuple[PairSet, ...]:
        """Random parts of which no two share a galaxy.

        Parameters
        ----------
        fractions : sequence of float
            Sizes of the parts as fractions of the whole, each above 0, together at most 1.
        seed : int, optional
            The same seed gives the same parts, whatever the order of the pairs in this set.

        Returns
        -------
        tuple of PairSet

        Raises
        ------
        ValueError
            If the fractions are not as said, or a part would be empty.
        """
        return tuple(self.select(rows) for rows in split_rows(self.ids, fractions, seed))

    read = _Read()

    def read_arrays(
        self, indices: int | slice | ArrayLike = slice(None), *, images: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Arrays of some pairs, read from disk where they are there.

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
            ``input_psf``, ``target_psf``, ``spectrum_flux``, ``spectrum_weight`` (float32, first axis the rows) as far
            as asked for; always ``redshift``, ``redshift_error`` and ``ids``.
        """
        images = ARRAYS if images is None else images
        unknown = set(images) - set(ARRAYS)
        if unknown:
            raise ValueError(f"images must be among {', '.join(ARRAYS)}, got {', '.join(sorted(unknown))}")
        rows = row_numbers(indices, len(self))
        batch = {name: getattr(self, name) for name in (*images, "redshift", "redshift_error")}
        batch = {name: None if array is None else np.asarray(array[rows]) for name, array in batch.items()}
        return {**batch, "ids": self.ids[rows]}

    def _sides(self, input_side, target_side):
        """The same galaxies with other sides as input and target. Nothing is copied or read."""
        arrays = self._arrays()
        for side, source in (("input", input_side), ("target", target_side)):
            arrays |= {f"{side}_{kind}": getattr(self, f"{source}_{kind}")
                       for kind in ("flux", "weight", "truth", "psf")}
        surveys = {"input_survey": getattr(self, f"{input_side}_survey"),
                   "target_survey": getattr(self, f"{target_side}_survey")}
        parts = self._parts() | surveys
        catalog = self.catalog
        if catalog is not None and {"input_grid", "target_grid"} <= set(catalog.colnames):
            # The grids are needed to give the images their place on the sky, and go where these go.
            grids = {f"{side}_grid": catalog[f"{source}_grid"].copy()
                     for side, source in (("input", input_side), ("target", target_side))}
            parts["catalog"] = catalog.copy()
            for name, grid in grids.items():
                parts["catalog"][name] = grid
        return PairSet(arrays, **parts)

    def reversed(self) -> PairSet:
        """The same pairs with input and target exchanged.

        The catalog stays as it is, also its column names, but for the pixel grids that go with the images
        (``input_grid`` and ``target_grid`` of `~astro_galtrans.pairs.match_pairs`).

        Returns
        -------
        PairSet
        """
        return self._sides("target", "input")

    def within(self, side: Literal["input", "target"]) -> PairSet:
        """Pairs of each galaxy with itself, in one of the two surveys.

        A translator that is trained on these has nothing to change: what it loses is lost by the network alone, the
        intra-domain test of Ruan, Lin et al. (2025). Input and target are the same image, with the same noise. The
        catalog stays as it is, also its column names, but for the pixel grids that go with the images.

        Parameters
        ----------
        side : {"input", "target"}
            Whose images are input and target.

        Returns
        -------
        PairSet
            Of the same arrays; on disk nothing is read yet.
        """
        if side not in ("input", "target"):
            raise ValueError(f"side must be 'input' or 'target', got {side!r}")
        return self._sides(side, side)
