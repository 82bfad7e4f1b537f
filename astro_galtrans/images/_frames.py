"""Images of one field on their own pixel grids, and cutouts of them on a common grid."""

from __future__ import annotations

from copy import copy, deepcopy
from typing import Literal, TYPE_CHECKING

import numpy as np
from astropy.nddata import CCDData, PartialOverlapError

from astro_galtrans._utils.numerics import as_float
from astro_galtrans._utils.wcs import shifted_wcs
from astro_galtrans.exceptions import BandMismatchError
from astro_galtrans.images import _uncertainty
from astro_galtrans.images._grid import Window, same_grid
from astro_galtrans.images._parts import parse_bands
from astro_galtrans.images._psf import FieldPSF, PSFModel
from astro_galtrans.images._regrid import regrid
from astro_galtrans.images._convert import stack_bands
from astro_galtrans.surveys import get_survey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from astropy.coordinates import SkyCoord
    from astropy.units import Quantity
    from astropy.wcs import WCS

    from astro_galtrans.images._cube import BandCube
    from astro_galtrans.surveys import Survey

__all__ = ["FrameSet"]

# The influence of a pixel on a cubic spline falls by 0.27 a pixel, and is below 1e-4 at this distance.
_MARGIN = 8


class FrameSet:
    """The images of a field in several bands, each on its own pixel grid.

    Surveys that scan the sky, as SDSS did, observe a field in each band with an offset of some pixels. Cutouts need no
    resampling of whole frames: each band is cut with a margin, and only that is resampled to the grid of the reference
    band.

    Parameters
    ----------
    images : dict of str to `~astropy.nddata.CCDData`
        Band name to image, each with a WCS.
    survey : `~astro_galtrans.surveys.Survey` or str, optional
        The survey they are from; the bands are then in its order.
    reference : str, optional
        Band whose grid the others are put on; the default is "r", or the middle band where there is no r.
    psf : PSFModel or FieldPSF, optional
        A point spread function that varies over the field: an object with a method ``image(band, x, y)``, as `SDSSPSF`.
        It replaces those of the images, and each cutout has the PSF of its own middle.

    Attributes
    ----------
    bands : tuple of str
        Band names.
    survey : `~astro_galtrans.surveys.Survey` or None
        The survey.
    reference : str
        The band whose grid is used.
    psf_field : FieldPSF or None
        The point spread function at any place.
    """

    def __init__(
        self, images: Mapping[str, CCDData], survey: Survey | str | None = None, *, reference: str | None = None,
        psf: PSFModel | FieldPSF | None = None,
    ) -> None:
        bands = parse_bands(list(images))
        if survey is not None:
            survey = get_survey(survey).select(bands)
            bands = survey.band_names
        for band in bands:
            if not isinstance(images[band], CCDData) or images[band].data.ndim != 2:
                raise TypeError(f"images[{band!r}] must be a CCDData of two axes, got {type(images[band]).__name__}")
        if reference is None:
            reference = "r" if "r" in bands else bands[len(bands) // 2]
        if reference not in bands:
            raise BandMismatchError(f"reference must be one of {', '.join(bands)}, got {reference!r}")
        self.bands, self.survey, self.reference = bands, survey, reference
        self._images = {band: images[band] for band in bands}
        first = self._images[reference]
        self._aligned = all(
            image.data.shape == first.data.shape and same_grid(image.wcs, first.wcs, first.data.shape)
            for image in self._images.values())
        lacking = [band for band, image in self._images.items() if image.wcs is None]
        if lacking and not self._aligned:
            raise ValueError(f"band {', '.join(lacking)} has no WCS, without which the bands cannot be put on one grid")
        if psf is not None and not isinstance(psf, FieldPSF):
            psf = FieldPSF(psf, {band: image.wcs for band, image in self._images.items()})
        self.psf_field = None if psf is None else psf.select(bands)

    def __getitem__(self, band: str) -> CCDData:
        """Return the image of a band on its own grid."""
        return self._images[band]

    def __contains__(self, band: object) -> bool:
        return band in self._images

    def __len__(self) -> int:
        return len(self.bands)

    def __iter__(self) -> Iterator[str]:
        return iter(self.bands)

    def __repr__(self) -> str:
        ny, nx = self._images[self.reference].data.shape
        survey = "" if self.survey is None else f", survey {self.survey.name}"
        return f"<FrameSet {','.join(self.bands)} {ny} x {nx} pixels of band {self.reference}{survey}>"

    @property
    def wcs(self) -> WCS:
        """WCS of the reference band."""
        return self._images[self.reference].wcs

    @property
    def shape(self) -> tuple[int, ...]:
        """``(ny, nx)`` of the reference band."""
        return self._images[self.reference].data.shape

    def to_cube(self) -> BandCube:
        """Return the whole field on the grid of the reference band.

        Returns
        -------
        BandCube
        """
        if self._aligned:
            return self._stacked(self._images)
        return self._stacked({band: regrid(image, self.wcs, self.shape) for band, image in self._images.items()})

    def cutout(
        self, position: SkyCoord | str | None = None, size: int | tuple[int, int] | Quantity = 64, *,
        mode: Literal["partial", "strict"] = "partial",
    ) -> BandCube:
        """Return the pixels around a position on the sky, on the grid of the reference band.

        Parameters
        ----------
        position, size, mode
            As of `BandCube.cutout`; the strict mode also wants every band to cover the cutout.

        Returns
        -------
        BandCube
        """
        window = Window.around(position, size, self.wcs, self.shape, mode)
        wcs = shifted_wcs(self.wcs, window.x0, window.y0, window.shape)
        parts = {}
        for band, image in self._images.items():
            if band == self.reference or self._aligned:
                parts[band] = _cut(image, window, wcs)
                continue
            near = self._window_on(image, wcs, window.shape)
            if mode == "strict" and not near.inside:
                raise PartialOverlapError(f"the cutout reaches beyond the image of band {band}")
            parts[band] = regrid(_cut(image, near), wcs, window.shape)
        return self._stacked(parts)

    def _stacked(self, images):
        """Return the cube of images on one grid, with the PSF of the field."""
        if self.psf_field is None:
            return stack_bands(images, self.survey)
        bare = {}
        for band, image in images.items():
            bare[band] = copy(image)
            bare[band].psf = None
        cube = stack_bands(bare, self.survey)
        cube.psf = self.psf_field
        return cube

    @staticmethod
    def _window_on(image, wcs, shape):
        """Return the window of an image that another grid covers, with a margin."""
        y, x = np.meshgrid([-0.5, shape[0] - 0.5], [-0.5, shape[1] - 0.5], indexing="ij")
        x, y = image.wcs.world_to_pixel(wcs.pixel_to_world(x.ravel(), y.ravel()))
        x0, y0 = int(np.floor(x.min())) - _MARGIN, int(np.floor(y.min())) - _MARGIN
        size = (int(np.ceil(y.max())) + _MARGIN + 1 - y0, int(np.ceil(x.max())) + _MARGIN + 1 - x0)
        return Window(x0, y0, size, image.data.shape)


def _cut(image, window, wcs=None):
    """Return a window of a single-band image with all its parts, in floating point, as NaN may be needed."""
    mask, spread = image.mask, image.uncertainty
    pixels = as_float(image.data)
    if mask is None and not window.inside:
        mask = np.zeros(image.data.shape, dtype=bool)
    return CCDData(
        window.take(pixels, np.nan), unit=image.unit, meta=deepcopy(image.meta), psf=image.psf,
        wcs=shifted_wcs(image.wcs, window.x0, window.y0, window.shape) if wcs is None else wcs,
        mask=None if mask is None else window.take(mask, True),
        uncertainty=None if spread is None else _uncertainty.like(
            spread, window.take(as_float(spread.array), _uncertainty.EMPTY[type(spread)]), spread.unit))
