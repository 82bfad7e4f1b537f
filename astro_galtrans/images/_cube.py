"""The container for images of one galaxy or field in several bands on one pixel grid."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any, Literal, TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.io import fits, registry
from astropy.nddata import CCDData, NDData

from astro_galtrans._utils.numerics import numpy_defaults
from astro_galtrans._utils.psf import checked_psf
from astro_galtrans._utils.rgb import rgb_bands
from astro_galtrans._utils.wcs import shifted_wcs
from astro_galtrans.exceptions import BandMismatchError
from astro_galtrans.images import _scales, _uncertainty
from astro_galtrans.images._display import color_image, cube_html, draw
from astro_galtrans.images._fits_write import (
    BandMeta, band_hdus, common_cards, without_wcs, write_cube, write_hdus,
)
from astro_galtrans.images._grid import Window, check_celestial, local_pixel_scale
from astro_galtrans.images._parts import band_meta, checked_data, checked_mask, parse_bands
from astro_galtrans.images._psf import FieldPSF
from astro_galtrans.surveys import get_survey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from os import PathLike

    from astropy.coordinates import SkyCoord
    from astropy.nddata import NDUncertainty
    from astropy.units import Quantity, UnitBase
    from astropy.wcs import WCS
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from astro_galtrans.images._fits_read import FitsSource
    from astro_galtrans.surveys import Survey

__all__ = ["BandCube"]


class BandCube(NDData):
    """Images of the same region of the sky in several bands, on one pixel grid.

    It is an `~astropy.nddata.NDData` without slicing and arithmetic: those of NDData know one unit, one PSF and one
    set of axes, and would drop or misplace parts of the bands. ``cube["r"]`` is one band, `cutout` a region of the sky,
    `select_bands` some of the bands. No argument is changed in place.

    Parameters
    ----------
    data : array_like, `~astropy.units.Quantity`, `numpy.ma.MaskedArray` or `~astropy.nddata.NDData`
        Flux in each pixel, shape ``(band, y, x)``.
    unit : `~astropy.units.Unit` or str, optional
        Linear unit of flux, as ``"nmgy"``, ``"adu"`` or ``"Jy"``. The default is the unit of ``data``, or that of the
        survey.
    wcs : `~astropy.wcs.WCS`, optional
        Celestial WCS of the two image axes, the same for all bands. None only for images without a position on the sky.
    bands : str or sequence of str
        Name of each plane of ``data``; a string is read letter by letter.
    survey : `~astro_galtrans.surveys.Survey` or str, optional
        The survey the images are from. The bands must be among its bands and in its order.
    mask : array_like of bool, optional
        True where a pixel is bad, shape ``(band, y, x)``, or ``(y, x)`` for all bands. It is combined with a mask
        that ``data`` has.
    uncertainty : `~astropy.nddata.StdDevUncertainty`, `~astropy.nddata.VarianceUncertainty` or \
            `~astropy.nddata.InverseVariance`, optional
        Of the shape of ``data``.
    psf : array_like or FieldPSF, optional
        Point spread function of each band on pixels of the same size, shape ``(band, py, px)``, or ``(py, px)`` for
        all bands. It is normalized to a sum of 1. A `FieldPSF` gives the PSF at any position: ``cube.psf`` is then that
        of the middle of the image, and each cutout has that of its own middle.
    meta : dict-like, optional
        Anything else. ``meta["zero_point"]``, a number or one per band, is the AB magnitude of one unit of flux, for
        images in counts that are not on their survey's scale.

    Attributes
    ----------
    bands : tuple of str
        Band names.
    survey : `~astro_galtrans.surveys.Survey` or None
        The survey, with the bands of this cube only.

    Raises
    ------
    BandMismatchError
        If bands are missing, repeated, unknown to the survey or not in its order.
    SurveyError
        If the survey is not known.
    ValueError, TypeError
        If shapes or units do not fit together.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_galtrans.images import BandCube
    >>> cube = BandCube(np.ones((3, 8, 8)), unit="nmgy", wcs=None, bands="gri", survey="SDSS")
    >>> cube
    <BandCube gri 8 x 8 pixels, nmgy, survey SDSS, without wcs, mask, uncertainty, psf>
    >>> cube["r"].shape
    (8, 8)
    """

    def __init__(
        self, data: ArrayLike | Quantity | NDData, *, unit: UnitBase | str | None = None, wcs: WCS | None = None,
        bands: str | Sequence[str], survey: Survey | str | None = None, mask: ArrayLike | None = None,
        uncertainty: NDUncertainty | None = None, psf: ArrayLike | FieldPSF | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        bands = parse_bands(bands)
        survey = None if survey is None else _survey_of(survey, bands)
        if isinstance(data, NDData):
            wcs = data.wcs if wcs is None else wcs
            uncertainty = data.uncertainty if uncertainty is None else uncertainty
            psf = _psf_of(data) if psf is None else psf
            meta = data.meta if meta is None else meta
            unit = data.unit if unit is None else unit
        data, unit, own_mask = checked_data(data, unit, None if survey is None else survey.unit)
        if data.shape[0] != len(bands):
            raise BandMismatchError(
                f"bands names {len(bands)} bands ({', '.join(bands)}), data has {data.shape[0]} planes: "
                f"shape {data.shape}")
        unit = _scales.check_flux_unit(unit)
        self._bands, self._survey = bands, survey
        self._pixel_scale: tuple[WCS, Quantity] | None = None  # and the WCS that it is of
        self._psf: np.ndarray | None = None
        self._psf_field: FieldPSF | None = None
        # A FITS header has repeated cards, which a dict of its items would lose: it is stored whole, under one key.
        meta = {} if meta is None else {"header": meta.copy()} if isinstance(meta, fits.Header) else dict(meta)
        super().__init__(
            data, unit=unit, wcs=check_celestial(wcs), mask=checked_mask(mask, own_mask, data.shape),
            uncertainty=_uncertainty.checked(uncertainty, data.shape, unit), psf=psf, meta=meta)
        if survey is not None and self.zero_points is None:
            raise ValueError(
                f"unit must be {survey.unit} or another calibrated flux for survey {survey.name}, got {unit}; "
                "counts on a scale of their own need meta['zero_point']"
            )

    @property
    def bands(self) -> tuple[str, ...]:
        """Band names, a tuple of str."""
        return self._bands

    @property
    def survey(self) -> Survey | None:
        """The `~astro_galtrans.surveys.Survey` with the bands of this cube, or None."""
        return self._survey

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the data, ``(band, y, x)``."""
        return self.data.shape

    @property
    def pixel_scale(self) -> Quantity | None:
        """Side of the pixel in the middle of the image, a Quantity in arcsec; None without a WCS.

        It is the square root of the area of the pixel on the sky, so that CD or PC matrix, distortion and projection
        count.
        """
        if self.wcs is None:
            return None
        if self._pixel_scale is None or self._pixel_scale[0] is not self.wcs:
            self._pixel_scale = (self.wcs, local_pixel_scale(self.wcs, self.shape[1:]))
        return self._pixel_scale[1]

    @property
    def zero_points(self) -> np.ndarray | None:
        """AB magnitude of one unit of flux in each band, ndarray; None for counts without a zero point."""
        given = self.meta.get("zero_point")
        if given is None:
            each = {band: band_meta(self.meta, band).get("zero_point") for band in self.bands}
            given = None if None in each.values() else each
        return _scales.zero_points(self.unit, self.bands, self.survey, given)

    @property
    def psf(self) -> np.ndarray | None:
        """Point spread function of each band, ndarray of shape ``(band, py, px)``; None where it is not known.

        Where it varies over the image, it is that of the middle.
        """
        if self._psf is None and self._psf_field is not None:
            y, x = ((side - 1) / 2 for side in self.shape[1:])
            self._psf = self._psf_field.on_grid(self.wcs, x, y)
        return self._psf

    @psf.setter
    def psf(self, psf: ArrayLike | FieldPSF | None) -> None:
        self._psf_field, self._psf = None, None
        if not isinstance(psf, FieldPSF):
            self._psf = checked_psf(psf, len(self.bands))
            return
        if self.wcs is None:
            raise ValueError("psf must be an array for a cube without a WCS: a FieldPSF needs a position on the sky")
        self._psf_field = psf.select(self.bands)

    @property
    def psf_field(self) -> FieldPSF | None:
        """The `FieldPSF` with the PSF at any position; None where one array holds for the whole image."""
        return self._psf_field

    def __contains__(self, band: object) -> bool:
        return band in self.bands

    __iter__ = None

    def __getitem__(self, band: str) -> CCDData:
        """Return one band as a `~astropy.nddata.CCDData` with its own copy of everything.

        ``cube["r"].write("r.fits")`` works with any ``meta``: values that a FITS card cannot hold become JSON in the
        card ``GTMETA``, beside ``BAND``, ``FILTER``, ``SURVEY``, ``MAGZERO`` and, of a translated image, ``GTTRANS``,
        ``GTHASH`` and ``GTVERS``. Its ``meta`` is a dict whose ``items()`` are these cards.
        """
        if not isinstance(band, str):
            raise TypeError(
                f"a BandCube is indexed by the name of a band, got {band!r}; "
                "cutout() selects a region of the sky, select_bands() some of the bands"
            )
        if band not in self.bands:
            raise KeyError(f"the cube has no band {band!r}; its bands are {', '.join(self.bands)}")
        index = self.bands.index(band)
        uncertainty = self.uncertainty
        return CCDData(
            self.data[index].copy(), unit=self.unit, wcs=deepcopy(self.wcs), meta=self._meta_of(band),
            mask=None if self.mask is None else self.mask[index].copy(),
            uncertainty=None if uncertainty is None else _uncertainty.like(
                uncertainty, uncertainty.array[index].copy()),
            psf=None if self.psf is None else self.psf[index].copy())

    def _meta_of(self, band):
        """Return the meta of one band: that of the cube, and that of the band alone."""
        common = {key: deepcopy(value) for key, value in self.meta.items() if key != "band_meta"}
        if isinstance(common.get("zero_point"), dict):
            common["zero_point"] = common["zero_point"][band]
        elif np.ndim(common.get("zero_point", 0)) == 1:
            common["zero_point"] = common["zero_point"][self.bands.index(band)]
        if "band_meta" not in self.meta:
            common["band"] = band
            if self.survey is not None:
                common["survey"] = self.survey.name
        else:
            own = deepcopy(band_meta(self.meta, band))
            if isinstance(own, fits.Header) and not common:
                return own if self.wcs is None else without_wcs(own)
            common |= own
        cards = {keyword: (value, comment) for keyword, value, comment in common_cards(self, [band])}
        return BandMeta(common, cards)

    def _replace(self, data, *, uncertainty=None, **changed):
        """Return a cube with other data, uncertainty array and other parts; all parts that are not named are kept."""
        parts = {"unit": self.unit, "wcs": self.wcs, "bands": self.bands, "survey": self.survey, "mask": self.mask,
                 "psf": _psf_of(self), "meta": deepcopy(self.meta), **changed}
        if uncertainty is not None:
            uncertainty = _uncertainty.like(self.uncertainty, uncertainty)
        return BandCube(data, uncertainty=uncertainty, **parts)

    def cutout(
        self, position: SkyCoord | str | None = None, size: int | tuple[int, int] | Quantity = 64, *,
        mode: Literal["partial", "strict"] = "partial",
    ) -> BandCube:
        """Return the pixels around a position on the sky.

        Parameters
        ----------
        position : `~astropy.coordinates.SkyCoord` or str, optional
            Middle of the cutout, accurate to half a pixel; by default that of the image. Text has right ascension and
            declination in degrees, ``"189.23 1.03"``, or hours and degrees, ``"12 34 56 +01 02 03"``.
        size : int, tuple of int or `~astropy.units.Quantity`
            Side, or ``(ny, nx)``, in pixels or as an angle, which is rounded to whole pixels.
        mode : {"partial", "strict"}, optional
            Whether a cutout that reaches beyond the image has NaN there and the mask True, or is an error.

        Returns
        -------
        BandCube
            With unit, mask, uncertainty, WCS, PSF and meta.

        Raises
        ------
        astropy.nddata.NoOverlapError
            If no pixel of the cutout is on the image. It is a ValueError, as is
            `~astropy.nddata.PartialOverlapError`, for the strict mode.
        """
        window = Window.around(position, size, self.wcs, self.shape[1:], mode)
        mask = self.mask
        if not window.inside and mask is None:
            mask = np.zeros(self.shape, dtype=bool)
        spread = self.uncertainty
        return self._replace(
            window.take(self.data, np.nan), wcs=shifted_wcs(self.wcs, window.x0, window.y0, window.shape),
            mask=None if mask is None else window.take(mask, True),
            uncertainty=None if spread is None else window.take(spread.array, _uncertainty.EMPTY[type(spread)]))

    def select_bands(self, bands: str | Sequence[str]) -> BandCube:
        """Return a cube with some of the bands, in the order of the argument.

        Parameters
        ----------
        bands : str or sequence of str
            Band names; a string is read letter by letter.

        Returns
        -------
        BandCube
        """
        names = parse_bands(bands)
        missing = [name for name in names if name not in self.bands]
        if missing:
            raise BandMismatchError(f"the cube has bands {', '.join(self.bands)}, not {', '.join(missing)}")
        index = [self.bands.index(name) for name in names]
        meta = deepcopy(self.meta)
        if "band_meta" in meta:
            meta["band_meta"] = {name: meta["band_meta"].get(name, {}) for name in names}
        if isinstance(meta.get("zero_point"), dict):
            meta["zero_point"] = {name: meta["zero_point"][name] for name in names}
        elif np.ndim(meta.get("zero_point", 0)) == 1:
            meta["zero_point"] = [meta["zero_point"][i] for i in index]
        return self._replace(
            self.data[index], bands=names, mask=None if self.mask is None else self.mask[index], meta=meta,
            psf=self.psf_field if self.psf_field is not None or self._psf is None else self._psf[index],
            uncertainty=None if self.uncertainty is None else self.uncertainty.array[index])

    @numpy_defaults()
    def to_unit(
        self, unit: UnitBase | str, *, zero_point: float | Sequence[float] | Mapping[str, float] | None = None,
    ) -> BandCube:
        """Convert the cube to another flux scale; data and uncertainty are both converted, band by band.

        Parameters
        ----------
        unit : `~astropy.units.Unit` or str
            Unit wanted: maggies (``"nmgy"``), a flux density (``"Jy"``) or counts (``"adu"``).
        zero_point : float, sequence or dict of band to float, optional
            AB magnitude of one count: of the new counts, or else of those of the cube. The default is the zero points
            of the survey. It is kept in ``meta["zero_point"]``.

        Returns
        -------
        BandCube

        Raises
        ------
        ValueError
            If the zero point of counts on either side is not known.
        """
        unit = _scales.check_flux_unit(unit)
        if zero_point is not None and not (_scales.is_counts(unit) or _scales.is_counts(self.unit)):
            raise ValueError(f"zero_point has no effect on the conversion of {self.unit} to {unit}, got {zero_point!r}")
        factors = self._factors_to(unit, zero_point)
        meta = deepcopy(self.meta)
        meta.pop("zero_point", None)
        for band in self.bands:
            band_meta(meta, band).pop("zero_point", None)
        if zero_point is not None and _scales.is_counts(unit):
            meta["zero_point"] = _compact(_scales.zero_points(unit, self.bands, self.survey, zero_point), self.bands)
        factors = factors.astype(self.data.dtype)[:, np.newaxis, np.newaxis]
        return self._replace(
            self.data * factors, unit=unit, meta=meta,
            uncertainty=None if self.uncertainty is None else _uncertainty.scaled(self.uncertainty, factors))

    def _factors_to(self, unit, zero_point):
        """Return the factor of each band to another unit."""
        own, wanted = self.zero_points, _scales.zero_points(unit, self.bands, self.survey, zero_point)
        if zero_point is not None and not _scales.is_counts(unit):
            own = _scales.zero_points(self.unit, self.bands, self.survey, zero_point)
        if own is None and wanted is None and unit.is_equivalent(self.unit):
            return np.full(len(self.bands), self.unit.to(unit))
        if own is None or wanted is None:
            which = self.unit if own is None else unit
            raise ValueError(
                f"zero_point is needed to convert {self.unit} to {unit}: the flux of one {which} is not known")
        return _scales.scale_factors(own, wanted)

    @classmethod
    def read(
        cls, paths: FitsSource | CCDData | Mapping[str, FitsSource | CCDData] | Iterable[FitsSource | CCDData],
        survey: Survey | str | None = None, **options: Any,
    ) -> BandCube:
        """Read images of one region of the sky in several bands, as `read_cube` does.

        Parameters
        ----------
        paths : file, dict of str to file, or sequence of files
            One file with a cube ``(band, y, x)``, as `write` makes it, or a file for each band.
        survey : `~astro_galtrans.surveys.Survey` or str, optional
            The survey that the images are from.
        **options
            Other keywords of `read_cube`, as ``bands`` and ``position``.

        Returns
        -------
        BandCube

        Raises
        ------
        FileNotFoundError, FileFormatError, BandMismatchError, SurveyError
            As `read_cube` does.

        Examples
        --------
        >>> import tempfile
        >>> from astro_galtrans.images import BandCube
        >>> cube = BandCube([[[1.0]], [[2.0]]], bands="gr", survey="SDSS")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cube.write(f"{folder}/cube.fits")
        ...     BandCube.read(f"{folder}/cube.fits")
        <BandCube gr 1 x 1 pixels, nmgy, survey SDSS, without wcs, mask, uncertainty, psf>
        """
        # The readers make cubes, so they are above this module and register themselves.
        return registry.read(cls, paths, survey, format="fits", **options)

    def write(self, path: str | PathLike, overwrite: bool = False) -> None:
        """Write the cube to one FITS file, which `read` gives back.

        The primary HDU holds the data, and the extensions MASK, UNCERT, PSF and META the other parts. All but META have
        ``EXTNAME``, ``BUNIT``, ``BANDS``, ``SURVEY`` and the zero points, ``MAGZERO`` where all bands have the same and
        ``MAGZP1`` and so on; all but the PSF have the celestial WCS, with its distortion, on axes 1 and 2. A translated
        cube names its translator in ``GTTRANS``, ``GTHASH`` and ``GTVERS``. The file appears complete or not at all.

        Parameters
        ----------
        path : str or path-like
            The new file, compressed if its name ends in ``.gz`` or ``.bz2``.
        overwrite : bool, optional
            Whether an existing file may be replaced.

        Raises
        ------
        FileExistsError
            If the file exists and ``overwrite`` is False.
        """
        write_cube(self, path, overwrite=overwrite)

    def write_bands(self, path: str | PathLike, overwrite: bool = False) -> dict[str, Path]:
        """Write each band to a FITS image of its own, in the layout of `~astropy.nddata.CCDData`.

        The primary HDU has the image, and the extensions MASK (1 = bad), UNCERT and PSFIMAGE have the mask, uncertainty
        and PSF. Each has ``EXTNAME``, ``BUNIT``, ``FILTER``, ``BAND``, ``SURVEY`` and, where it is known, ``MAGZERO``,
        the AB magnitude of one unit of flux; all but the PSF have the celestial WCS. DS9, CARTA, ginga and any reader
        of FITS images show them, ``CCDData.read`` and ccdproc read all of it, and `read_cube` makes a cube of the files
        again. A translated image names its translator in ``GTTRANS``, the translator's hash in ``GTHASH`` and the
        version of this package in ``GTVERS``. The extension META holds ``meta``.

        Parameters
        ----------
        path : str or path-like
            The new files, with ``{band}`` for the name of the band, as ``"galaxy-{band}.fits"``.
        overwrite : bool, optional
            Whether existing files may be replaced.

        Returns
        -------
        dict of str to `~pathlib.Path`
            Band name to file.

        Raises
        ------
        ValueError
            If ``path`` has no ``{band}``.
        FileExistsError
            If a file exists and ``overwrite`` is False; then none is written.
        """
        if "{band}" not in str(path):
            raise ValueError(f"path must have {{band}} for the name of the band, as galaxy-{{band}}.fits, got {path}")
        files = {band: Path(str(path).replace("{band}", band)) for band in self.bands}
        there = [str(file) for file in files.values() if file.exists()]
        if there and not overwrite:
            raise FileExistsError(f"{', '.join(there)} exists already; overwrite=True replaces it")
        for band, file in files.items():
            write_hdus(band_hdus(self, band), file)
        return files

    def __repr__(self) -> str:
        names = "".join(self.bands) if all(len(band) == 1 for band in self.bands) else ",".join(self.bands)
        pixel_scale = self.pixel_scale
        scale = "" if pixel_scale is None else f" of {pixel_scale.to_value(u.arcsec):.4g} arcsec"
        parts = {"wcs": self.wcs, "mask": self.mask, "uncertainty": self.uncertainty, "psf": _psf_of(self)}
        lacking = [name for name, part in parts.items() if part is None]
        return (f"<BandCube {names} {self.shape[1]} x {self.shape[2]} pixels{scale}, {self.unit}"
                + (f", survey {self.survey.name}" if self.survey is not None else "")
                + (f", without {', '.join(lacking)}" if lacking else "") + ">")

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return cube_html(self)

    def color_image(self, bands: str | Sequence[str] | None = None, *, step: int = 1) -> np.ndarray:
        """Return a color image with the stretch of Lupton et al. (2004, PASP 116, 133).

        Parameters
        ----------
        bands : str or sequence of str, optional
            Three bands for red, green and blue. By default i, r and g, or three that are spread over those of the cube.
        step : int, optional
            Use every ``step``-th pixel only.

        Returns
        -------
        ndarray of uint8
            Shape ``(y, x, 3)``; pixels without a valid value are gray.

        Raises
        ------
        BandMismatchError
            If the cube lacks a band, or there are not three.
        """
        return color_image(self, rgb_bands(self.bands) if bands is None else tuple(bands), step)

    def plot(
        self, bands: str | Sequence[str] | None = None, ax: Axes | None = None, *, colorbar: bool = True,
        **options: Any,
    ) -> Axes:
        """Draw one band, or three as a color image, with celestial coordinates along the axes.

        Parameters
        ----------
        bands : str or sequence of str, optional
            The name of a band, or three for red, green and blue, as ``"irg"``. By default i, r and g, or three that are
            spread over those of the cube; the first band of a cube that has fewer than three.
        ax : `~matplotlib.axes.Axes`, optional
            Where to draw; by default a new figure of pyplot, with a `~astropy.visualization.wcsaxes.WCSAxes` where the
            cube has a WCS.
        colorbar : bool, optional
            Whether a figure of one band has a color bar.
        **options
            Keywords of `~matplotlib.axes.Axes.imshow`, as ``cmap``, or ``norm`` instead of the asinh stretch.

        Returns
        -------
        `~matplotlib.axes.Axes`
            As ``ax.figure.savefig(path)`` writes it.

        Raises
        ------
        BandMismatchError
            If the cube lacks a band, or their number is neither one nor three.
        ImportError
            Without matplotlib, which ``astro_galtrans[report]`` installs.
        """
        return draw(self, bands, ax, colorbar, options)


def _psf_of(image):
    """Return the `FieldPSF` of an image where it has one, else its PSF."""
    return image.psf_field if isinstance(image, BandCube) and image.psf_field is not None else image.psf


def _compact(zero_points, bands):
    """Return one number where all bands agree, else a dict, as ``meta["zero_point"]`` is stored."""
    values = [float(value) for value in zero_points]
    return values[0] if len(set(values)) == 1 else dict(zip(bands, values))


def _survey_of(survey, bands):
    """Return the survey with these bands, or raise an error about bands that are missing or out of order."""
    survey = get_survey(survey)
    if survey.band_names == bands:
        return survey
    unknown = [band for band in bands if band not in survey.band_names]
    if unknown:
        raise BandMismatchError(
            f"survey {survey.name} has bands {', '.join(survey.band_names)}, bands has {', '.join(unknown)} besides")
    ordered = tuple(name for name in survey.band_names if name in bands)
    if ordered != bands:
        raise BandMismatchError(
            f"bands must be in the order of survey {survey.name}, {', '.join(ordered)}, got {', '.join(bands)}")
    return survey.select(bands)
