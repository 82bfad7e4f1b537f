"""One band of a cube, as a CCDData that can be written."""

import re

import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData

from astro_galtrans.images._fits_write import _meta_table

__all__ = ["BandImage", "provenance_cards"]

# What a header has of the provenance of a translated image; all of it is in the extension META.
_PROVENANCE = {"translator": "GTNAME", "hash": "GTHASH", "input_survey": "GTINPUT", "objective": "GTTRAIN",
               "backbone": "GTNET", "astro_galtrans_version": "GTVERS", "redshift": "GTZ"}
_CARD = re.compile(r"[A-Za-z0-9_-]{1,8}")


def provenance_cards(meta):
    """What a FITS header can have of ``meta["galtrans"]``, a list of keyword, value and comment."""
    made = meta.get("galtrans")
    if not isinstance(made, dict):
        return []
    return [(key, made[name], name.replace("_", " ") if name != "hash" else "") for name, key in _PROVENANCE.items()
            if isinstance(made.get(name), (str, int, float))]


class BandImage(CCDData):
    """A `~astropy.nddata.CCDData` whose file has all of ``meta``, also what no FITS card can hold.

    What fits a card is in the primary header, everything is in the table of the extension META, as JSON. ``write`` of
    a plain CCDData refuses a dictionary among its meta data, as the provenance of a translated image is.
    """

    def to_hdu(self, *args, **kwargs):
        """As `~astropy.nddata.CCDData.to_hdu`, with the extension META."""
        header = fits.Header(provenance_cards(self.meta))
        for key, value in self.meta.items():
            number = isinstance(value, (bool, int, float, np.number)) and np.isfinite(value)
            if _CARD.fullmatch(str(key)) and (number or (isinstance(value, str) and value.isascii())):
                header[key] = value
        plain = CCDData(self.data, unit=self.unit, wcs=self.wcs, mask=self.mask, uncertainty=self.uncertainty,
                        flags=self.flags, psf=self.psf, meta=header)
        hdus = plain.to_hdu(*args, **kwargs)
        if self.meta:
            hdus.append(_meta_table(self.meta))
        return hdus
