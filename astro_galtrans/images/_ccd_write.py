"""Writing the bands of a cube as FITS images that everybody's tools read."""

from __future__ import annotations

import json
import re
from astropy.io import fits

from astro_galtrans.images._fits_write import (
    _meta_table, common_cards, encoded_meta, image_hdus, is_card_value,
)
from astro_galtrans._utils.meta import decoded

__all__ = ["BandMeta", "band_hdus", "without_wcs"]

# Keywords that say how the data are stored or where they are on the sky; astropy writes them itself.
_STRUCTURE = re.compile(
    r"SIMPLE|BITPIX|NAXIS\d*|EXTEND|XTENSION|[PG]COUNT|GROUPS|TFIELDS|BSCALE|BZERO|BLANK|BUNIT|EXTNAME|EXTVER|END|"
    r"CHECKSUM|DATASUM|COMMENT|HISTORY|CONTINUE|HIERARCH|LONGSTRN|GTMETA")
_WCS = re.compile(
    r"(WCSAXES|WCSNAME|(CRPIX|CRVAL|CDELT|CTYPE|CUNIT|CROTA|CNAME|CRDER|CSYER)\d+|(CD|PC)\d+_\d+|PC\d{6}|P[VS]\d+_\d+|"
    r"(A|B|AP|BP)_(ORDER|DMAX|\d_\d)|LONPOLE|LATPOLE|RADESYS|RADECSYS|EQUINOX|(CP|CQ|D2IM)(DIS|ERR|EXT)\d*|"
    r"(DP|DQ)\d+.*|AXISCORR)[A-Z]?")
_KEYWORD = re.compile(r"[A-Z0-9_-]{1,8}")


class BandMeta(dict):
    """The meta of a band that was taken out of a cube: a dict that `~astropy.nddata.CCDData` can write.

    CCDData makes a card of each item of its meta and fails on a dict, a list or a long key. The items of this dict
    are therefore what a header takes: values that fit a card, the cards of the band, and all the rest as one JSON text
    under ``GTMETA``. In every other respect it is a plain dict of the values as they are, and ``dict(meta)`` makes one.

    Parameters
    ----------
    values : dict
        The meta.
    cards : dict of str to tuple
        Value and comment of the cards that the cube knows of the band: its name, survey, zero point, translator.
    """

    def __init__(self, values, cards):
        super().__init__(values)
        self.cards = cards

    def __reduce__(self):
        return BandMeta, (dict(self), self.cards)

    def copy(self):
        """A shallow copy."""
        return BandMeta(self, self.cards)

    def items(self):
        """Keyword and value, or value and comment, of the cards of a FITS header."""
        found, rest = dict(self.cards), {}
        for key, value in dict(self).items():
            keyword = str(key).upper()
            fits_card = isinstance(key, str) and _KEYWORD.fullmatch(keyword) and is_card_value(value)
            free = keyword not in found or keyword in self.cards and self.cards[keyword][0] == value
            if fits_card and free and not _STRUCTURE.fullmatch(keyword) and not _WCS.fullmatch(keyword):
                found[keyword] = value
            else:
                rest[key] = value
        texts = encoded_meta(rest)
        if texts:
            found["LONGSTRN"] = ("OGIP 1.0", "long strings go on in CONTINUE cards")
            found["GTMETA"] = "{" + ", ".join(f"{json.dumps(key)}: {text}" for key, text in texts.items()) + "}"
        return found.items()

    @staticmethod
    def rest_of(header):
        """What was written under ``GTMETA``; an empty dict without it."""
        return {key: decoded(value) for key, value in json.loads(header.get("GTMETA", "{}")).items()}


def without_wcs(header):
    """A copy of a header without the cards of its WCS, which an image with a WCS of its own must not have too."""
    return fits.Header([card for card in header.cards if not _WCS.fullmatch(card.keyword)], copy=True)


def band_hdus(cube, band):
    """Return the HDUs of the file of one band."""
    image = cube[band]
    hdus = image_hdus(image, common_cards(cube, [band]), "PSFIMAGE")
    hdus.append(_meta_table(dict(image.meta)))
    return hdus
