"""The WCS of a window of an image."""

from copy import deepcopy

import numpy as np
from astropy.wcs import DistortionLookupTable, Sip

__all__ = ["shifted_wcs"]


def shifted_wcs(wcs, x0, y0, shape=None):
    """Return the WCS of a window of ``shape`` with the first pixel ``(x0, y0)``, with all distortion terms shifted."""
    if wcs is None:
        return None
    origin = np.array([x0, y0], dtype=float)
    cut = deepcopy(wcs)
    cut.wcs.crpix = cut.wcs.crpix - origin
    if shape is not None:
        cut.array_shape = shape
    if cut.sip is not None:
        cut.sip = Sip(cut.sip.a, cut.sip.b, cut.sip.ap, cut.sip.bp, cut.sip.crpix - origin)
    for name in ("cpdis1", "cpdis2", "det2im1", "det2im2"):
        table = getattr(cut, name)
        if table is not None:
            setattr(cut, name, DistortionLookupTable(
                np.asarray(table.data, dtype=np.float32), tuple(table.crpix), tuple(table.crval - origin),
                tuple(table.cdelt)))
    return cut
