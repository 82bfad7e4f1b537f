"""The WCS of a translated image: another pixel size around the same sky position."""

import numpy as np
from astropy.wcs import WCS

__all__ = ["rescaled_wcs"]


def _tangent_plane(lon, lat, lon0, lat0):
    """Gnomonic projection about (lon0, lat0), in degrees (Calabretta & Greisen 2002, A&A 395, 1077, sect. 5.1.3)."""
    lon, lat, lon0, lat0 = (np.radians(x) for x in (lon, lat, lon0, lat0))
    cosine = np.sin(lat0) * np.sin(lat) + np.cos(lat0) * np.cos(lat) * np.cos(lon - lon0)
    x = np.cos(lat) * np.sin(lon - lon0) / cosine
    y = (np.cos(lat0) * np.sin(lat) - np.sin(lat0) * np.cos(lat) * np.cos(lon - lon0)) / cosine
    return np.degrees(x), np.degrees(y)


def rescaled_wcs(wcs, shape, new_shape, step):
    """WCS of a grid with the same centre and axes as another and pixels ``step`` times as large.

    Whatever distortion the input WCS has is replaced by the best linear map over the cutout, about its centre.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS`
        Celestial WCS of the input image.
    shape, new_shape : tuple of int
        Rows and columns of the input and of the new grid.
    step : float
        Side of a new pixel in input pixels.

    Returns
    -------
    `~astropy.wcs.WCS`
        Tangent projection with its reference at the centre of the image.
    """
    if wcs.naxis != 2 or not wcs.has_celestial:
        raise ValueError(f"wcs must be a two-dimensional celestial WCS, got {wcs.naxis} axes {list(wcs.wcs.ctype)}")
    centre = (np.array(shape[::-1]) - 1) / 2
    # A 3 x 3 grid of places over the cutout; the middle one is the centre.
    offset = np.stack(np.meshgrid(*(c * np.array([-1.0, 0.0, 1.0]) for c in np.maximum(centre, 0.5)))).reshape(2, -1)
    world = wcs.all_pix2world(*(offset + centre[:, None]), 0)
    lon, lat = world[wcs.wcs.lng], world[wcs.wcs.lat]
    if not np.all(np.isfinite(world)):
        raise ValueError("wcs gives no sky position for part of the image")
    plane = np.stack(_tangent_plane(lon, lat, lon[4], lat[4]))
    plane = plane - plane[:, 4:5]
    new = WCS(naxis=2)
    new.wcs.ctype = [f"{prefix:-<4}-TAN" for prefix in (wcs.wcs.lngtyp.strip(), wcs.wcs.lattyp.strip())]
    new.wcs.cunit = ["deg", "deg"]
    new.wcs.crval = [lon[4], lat[4]]
    new.wcs.lonpole = 180.0  # as the tangent plane above has it, also at a pole, where the default is another
    new.wcs.crpix = (np.array(new_shape[::-1]) + 1) / 2
    new.wcs.cd = plane @ np.linalg.pinv(offset) * step
    new.wcs.radesys = wcs.wcs.radesys
    if np.isfinite(wcs.wcs.equinox):
        new.wcs.equinox = wcs.wcs.equinox
    new.wcs.set()
    return new
