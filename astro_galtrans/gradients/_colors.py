"""The colour of each pixel."""

from __future__ import annotations

from typing import Literal, TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.nddata import CCDData, StdDevUncertainty

from astro_galtrans._utils.numerics import numpy_defaults
from astro_galtrans.gradients import _psf
from astro_galtrans.gradients._flux import band_index, flux_arrays
from astro_galtrans.gradients._radial import _two_bands, positive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astropy.nddata import NDData

    from astro_galtrans.images import BandCube
    from astro_galtrans.surveys import Survey

__all__ = ["MAGNITUDE", "color_map"]

MAGNITUDE = 2.5 / np.log(10)


@numpy_defaults()
def color_map(
    image: BandCube | NDData | CCDData | Mapping[str, CCDData], bands: Sequence[str] = ("g", "r"), *,
    significance: float = 3.0, match_psf: bool | Literal["kernel", "gaussian"] = True,
    survey: Survey | str | None = None,
) -> CCDData:
    """Colour of every pixel.

    Parameters
    ----------
    image : BandCube, `~astropy.nddata.NDData` or dict of `~astropy.nddata.CCDData`
        The image, ``(band, y, x)``, its background subtracted.
    bands : tuple of str, optional
        The colour is the first minus the second, in AB magnitudes.
    significance : float, optional
        A pixel is masked unless the flux of both bands is above this many of its standard deviations, after the PSF
        matching. 0 asks only that both are positive, as does an image of which the noise is not known.
    match_psf : bool or {"kernel", "gaussian"}, optional
        Whether the sharper band is smoothed to the PSF of the other first, or the method of `match_psf` by which it
        is. With neither ``image.psf`` nor a survey nothing is smoothed.
    survey : Survey or str, optional
        Where the image does not say it itself.

    Returns
    -------
    `~astropy.nddata.CCDData`
        In mag, with the WCS of the image, a mask, and a standard deviation to first order where the noise is known.
        The colour is NaN where a flux is not positive. ``meta`` holds ``bands``, ``significance`` and ``psf_match``.

    Examples
    --------
    >>> import numpy as np
    >>> from astro_galtrans.gradients import color_map
    >>> from astro_galtrans.images import BandCube
    >>> data = np.ones((5, 16, 16)) * np.array([1, 10, 20, 20, 20])[:, None, None]
    >>> cube = BandCube(data, unit="nmgy", wcs=None, bands="ugriz", survey="SDSS")
    >>> print(f"{color_map(cube).data[8, 8]:.3f}")
    0.753
    """
    arrays = flux_arrays(image, survey)
    index = [band_index(arrays.cube, name) for name in _two_bands(bands)]
    if not 0 <= significance < np.inf:
        raise ValueError(f"significance must be finite and not negative, got {significance!r}")
    flux, sigma, done = psf_matched(arrays, index, match_psf)
    magnitude = -MAGNITUDE * np.log(positive(flux))
    with np.errstate(invalid="ignore"):
        good = (flux > (0.0 if sigma is None else significance * sigma)).all(axis=0) & (flux > 0).all(axis=0)
    uncertainty = None
    if sigma is not None:
        uncertainty = StdDevUncertainty(MAGNITUDE * np.hypot(*(sigma / positive(flux))))
    meta = {**arrays.cube.meta, "bands": tuple(bands), "significance": float(significance), "psf_match": done}
    return CCDData(magnitude[0] - magnitude[1], unit=u.mag, mask=~good, uncertainty=uncertainty, wcs=arrays.cube.wcs,
                   meta=meta)


def psf_matched(arrays, index, match_psf):
    """Flux and standard deviation of some bands, NaN where bad, matched in PSF if that is wanted, and what was done."""
    if match_psf is True or isinstance(match_psf, str):
        flux, sigma, _, done = _psf.matched(arrays, index, method=None if match_psf is True else match_psf)
        return flux, sigma, done
    if match_psf is not False:
        raise ValueError(f"match_psf must be True, False, 'kernel' or 'gaussian', got {match_psf!r}")
    bad = ~arrays.good[index]
    flux = np.where(bad, np.nan, arrays.flux[index])
    sigma = None if arrays.sigma is None else np.where(bad, np.nan, arrays.sigma[index])
    return flux, sigma, {"to": None, "method": None, "smoothed": ()}
