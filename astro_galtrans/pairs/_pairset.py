"""The set of pairs, in memory or lazily on disk."""

from dataclasses import dataclass

import numpy as np
from astropy.table import Table

from astro_galtrans.pairs._checks import checked_ids, checked_images, checked_redshift, select_bands
from astro_galtrans.pairs._lazy import LazyArray

__all__ = ["GalaxyPair", "PairSet"]

IMAGES = ("input_flux", "target_flux", "input_weight", "target_weight", "input_truth", "target_truth")


@dataclass(frozen=True)
class GalaxyPair:
    """One galaxy in two surveys.

    Parameters
    ----------
    input, target : `~astro_galtrans.images.BandCube`
        The images.
    redshift : float or None
        Spectroscopic or true redshift.
    id : int or str
        Name of the galaxy.
    """

    input: object
    target: object
    redshift: float | None
    id: object


class PairSet:
    """Images of the same galaxies in an input and in a target survey.

    Made by `PairSet.from_arrays`, `PairSet.open` or `~astro_galtrans.simulation.simulate_pairs`.

    Attributes
    ----------
    input_flux, target_flux : ndarray or lazy array
        Shape ``(galaxy, band, y, x)``, float32, in the unit of the survey.
    input_weight, target_weight : ndarray, lazy array or None
        Inverse variance of the flux, same shape; 0 where a pixel is bad.
    input_truth, target_truth : ndarray, lazy array or None
        Flux without noise, where it is known.
    redshift : ndarray or None
        Shape ``(galaxy,)``, float64, NaN where not known.
    ids : ndarray
        Shape ``(galaxy,)``, int or str, all different.
    input_survey, target_survey : Survey
        With the bands of the images only.
    catalog : `~astropy.table.Table` or None
        What else is known, one row a galaxy.
    """

    def __init__(self, images, *, redshift, ids, input_survey, target_survey, catalog=None):
        for name in IMAGES:
            setattr(self, name, images.get(name))
        self.redshift = redshift
        self.ids = ids
        self.input_survey = input_survey
        self.target_survey = target_survey
        self.catalog = catalog

    @classmethod
    def from_arrays(cls, input_flux, target_flux, *, input_survey, target_survey, redshift=None, input_weight=None,
                    target_weight=None, ids=None, catalog=None, input_truth=None, target_truth=None,
                    input_bands=None, target_bands=None):
        """Pairs from arrays in memory, which are copied.

        A pixel that is NaN or infinite becomes flux 0 with weight 0. Where no weight is given it stays None,
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
            checked = checked_images(side, *given[side], survey)
            images.update(zip((f"{side}_flux", f"{side}_weight", f"{side}_truth"), checked))
        n = len(images["input_flux"])
        if len(images["target_flux"]) != n:
            raise ValueError(f"input_flux has {n} galaxies, target_flux has {len(images['target_flux'])}")
        if catalog is not None:
            catalog = Table(catalog, copy=True)
            if len(catalog) != n:
                raise ValueError(f"catalog must have {n} rows, one a galaxy, got {len(catalog)}")
        return cls(images, redshift=checked_redshift(redshift, n), ids=checked_ids(ids, n), catalog=catalog,
                   input_survey=surveys["input"], target_survey=surveys["target"])

    @classmethod
    def open(cls, path):
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

    def write(self, path, overwrite=False):
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
        images = {name: getattr(self, name) for name in IMAGES if getattr(self, name) is not None}
        if any(isinstance(array, LazyArray) and array.is_within(path) for array in images.values()):
            raise ValueError(f"this set of pairs is read from {path}, it cannot be written over itself")
        surveys = {"input": self.input_survey, "target": self.target_survey}
        shapes = {name: array.shape[1:] for name, array in images.items()}
        with self.writer(path, len(self), shapes, surveys, overwrite) as writer:
            for first in range(0, len(self), writer.block):
                block = slice(first, first + writer.block)
                writer.write_images(first, {name: array[block] for name, array in images.items()})
            writer.finish(self.ids, self.redshift, self.catalog)

    @staticmethod
    def writer(path, n, shapes, surveys, overwrite=False):
        """A context manager that writes pairs block by block, for sets that do not fit in memory.

        Parameters
        ----------
        path, overwrite
            As for `write`.
        n : int
            Number of pairs.
        shapes : dict of str to tuple
            Shape of one galaxy, ``(band, y, x)``, for each array of images by name, as ``"input_flux"``.
        surveys : dict of str to Survey
            ``"input"`` and ``"target"``.

        Returns
        -------
        context manager
            With ``write_images(first_row, {name: array})`` and, at the end, ``finish(ids, redshift, catalog)``.
        """
        from astro_galtrans.pairs._disk import PairWriter

        return PairWriter(path, n, shapes, surveys, overwrite)

    def __len__(self):
        return len(self.ids)

    def __repr__(self):
        sides = []
        for survey, flux in ((self.input_survey, self.input_flux), (self.target_survey, self.target_flux)):
            bands = survey.band_names
            bands = ("" if all(len(band) == 1 for band in bands) else ",").join(bands)
            sides.append(f"{survey.name} {bands} {flux.shape[-2]}x{flux.shape[-1]} {survey.unit}")
        where = "in memory" if isinstance(self.input_flux, np.ndarray) else "on disk"
        return f"<PairSet: {len(self)} pairs, {' -> '.join(sides)}, {where}>"

    def __getitem__(self, index):
        if isinstance(index, (slice, list, tuple, np.ndarray)):
            return self.select(index)
        from astro_galtrans.pairs._cubes import galaxy_pair

        row = range(len(self))[index]  # negative rows, and an IndexError outside
        return galaxy_pair(self, row)

    def _rows(self, indices):
        """Row numbers, from a slice, a boolean mask or integers."""
        if isinstance(indices, slice):
            return np.arange(len(self))[indices]
        rows = np.atleast_1d(np.asarray(indices))
        if rows.size == 0:
            rows = rows.astype(int)
        if rows.dtype == bool and rows.shape != (len(self),):
            raise ValueError(f"a boolean selection must have shape ({len(self)},), got {rows.shape}")
        if rows.ndim != 1 or rows.dtype.kind not in "biu":
            raise TypeError(f"indices must be integers, a boolean mask or a slice, got {indices!r}")
        return np.arange(len(self))[rows]

    def select(self, indices):
        """The pairs at some rows, in that order; on disk nothing is read yet.

        Parameters
        ----------
        indices : sequence of int, boolean mask or slice
            Rows, none twice.

        Returns
        -------
        PairSet
        """
        rows = self._rows(indices)
        if len(np.unique(rows)) < len(rows):
            raise ValueError("indices must not name a galaxy twice")
        images = {}
        for name in IMAGES:
            array = getattr(self, name)
            if array is not None:
                images[name] = array.take_rows(rows) if isinstance(array, LazyArray) else array[rows]
        return PairSet(
            images, redshift=None if self.redshift is None else self.redshift[rows], ids=self.ids[rows],
            input_survey=self.input_survey, target_survey=self.target_survey,
            catalog=None if self.catalog is None else self.catalog[rows],
        )

    def split(self, fractions, seed=0):
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
        fractions = np.atleast_1d(np.asarray(fractions, dtype=float))
        if fractions.ndim != 1 or not np.all(fractions > 0) or fractions.sum() > 1 + 1e-9:
            raise ValueError(f"fractions must be above 0 and sum to at most 1, got {fractions.tolist()}")
        # Sorted by id first, so that the parts do not depend on how the pairs are ordered.
        order = np.argsort(self.ids)[np.random.default_rng(seed).permutation(len(self))]
        edges = np.round(np.concatenate([[0], np.cumsum(fractions)]) * len(self)).astype(int)
        if np.any(np.diff(edges) == 0):
            raise ValueError(f"{len(self)} pairs are too few for parts of {fractions.tolist()}: one would be empty")
        return tuple(self.select(np.sort(order[a:b])) for a, b in zip(edges[:-1], edges[1:]))

    def read(self, indices=slice(None), *, images=IMAGES):
        """Arrays of some pairs, read from disk where they are there.

        Parameters
        ----------
        indices : int, sequence of int, boolean mask or slice, optional
            Rows; all by default.
        images : sequence of str, optional
            Which images; all by default.

        Returns
        -------
        dict of str to ndarray or None
            ``input_flux``, ``target_flux``, ``input_weight``, ``target_weight``, ``input_truth``, ``target_truth``
            (float32, first axis the rows), ``redshift`` and ``ids``.
        """
        unknown = set(images) - set(IMAGES)
        if unknown:
            raise ValueError(f"images must be among {', '.join(IMAGES)}, got {', '.join(sorted(unknown))}")
        rows = self._rows(indices)
        batch = {name: getattr(self, name) for name in (*images, "redshift")}
        batch = {name: None if array is None else np.asarray(array[rows]) for name, array in batch.items()}
        return {**batch, "ids": self.ids[rows]}

    def reversed(self):
        """The same pairs with input and target exchanged, a PairSet."""
        def exchanged(name):
            side, kind = name.split("_")
            return f"{'target' if side == 'input' else 'input'}_{kind}"

        return PairSet({name: getattr(self, exchanged(name)) for name in IMAGES}, redshift=self.redshift, ids=self.ids,
                       input_survey=self.target_survey, target_survey=self.input_survey, catalog=self.catalog)
