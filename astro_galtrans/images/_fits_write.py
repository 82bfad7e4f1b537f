"""Write cubes and their bands as FITS files, which appear complete or not at all."""

import json
import re
import warnings

import numpy as np
from astropy.io import fits

from astro_galtrans.exceptions import GaltransWarning
from astro_galtrans.images import _uncertainty
from astro_galtrans._utils.io import check_new, whole_file
from astro_galtrans._utils.meta import decoded, writable

__all__ = ["BandMeta", "LAYOUT", "band_hdus", "common_cards", "meta_of_table", "uncertainty_kinds", "without_wcs",
           "write_cube", "write_hdus"]

# Version of the layout in the header; readers refuse a newer one instead of guessing.
LAYOUT = 1
# Part of the peak by which a PSF that varies may differ between middle and corners and still be one PSF.
_PSF_VARIATION = 0.02
# As the headers of SDSS have them.
_UNIT_NAMES = {"nmgy": "nanomaggy", "mgy": "maggy"}
# Provenance in the headers of a translated image, by keyword; all of it is in the extension META.
_PROVENANCE = {
    "GTTRANS": ("translator", "translator"), "GTHASH": ("hash", ""),
    "GTVERS": ("astro_galtrans_version", "version of astro_galtrans"), "GTNAME": ("translator", "as GTTRANS"),
    "GTINPUT": ("input_survey", "input survey"), "GTTRAIN": ("objective", "objective"),
    "GTNET": ("backbone", "backbone"), "GTZ": ("redshift", "redshift")}
# Cards of the original files that describe the observation, and hold on every flux scale and pixel grid.
_OBSERVATION = ("OBJECT", "TELESCOP", "INSTRUME", "OBSERVER", "DATE-OBS", "MJD-OBS", "RUN", "CAMCOL", "FRAME")
# Keywords of the storage and the WCS, which astropy writes itself.
_STRUCTURE = re.compile(
    r"SIMPLE|BITPIX|NAXIS\d*|EXTEND|XTENSION|[PG]COUNT|GROUPS|TFIELDS|BSCALE|BZERO|BLANK|BUNIT|EXTNAME|EXTVER|END|"
    r"CHECKSUM|DATASUM|COMMENT|HISTORY|CONTINUE|HIERARCH|LONGSTRN|GTMETA")
_WCS = re.compile(
    r"(WCSAXES|WCSNAME|(CRPIX|CRVAL|CDELT|CTYPE|CUNIT|CROTA|CNAME|CRDER|CSYER)\d+|(CD|PC)\d+_\d+|PC\d{6}|P[VS]\d+_\d+|"
    r"(A|B|AP|BP)_(ORDER|DMAX|\d_\d)|LONPOLE|LATPOLE|RADESYS|RADECSYS|EQUINOX|(CP|CQ|D2IM)(DIS|ERR|EXT)\d*|"
    r"(DP|DQ)\d+.*|AXISCORR)[A-Z]?")
_KEYWORD = re.compile(r"[A-Z0-9_-]{1,8}")
uncertainty_kinds = {kind.__name__: kind for kind in _uncertainty.POWERS}


def write_cube(cube, path, overwrite=False):
    """See `astro_galtrans.images.BandCube.write`."""
    path = check_new(path, overwrite)
    hdus = _image_hdus(cube, _cube_cards(cube), "PSF")
    if cube.psf is not None:
        _warn_of_variation(cube)
    if cube.meta:
        hdus.append(_meta_table(cube.meta))
    hdus[0].header["NEXTEND"] = (len(hdus) - 1, "number of extensions")
    write_hdus(hdus, path)


def _image_hdus(image, cards, psf_name):
    """Return the HDUs of an image: flux, and mask, uncertainty and PSF where it has them.

    Each has its name, its unit and ``cards`` (keyword, value and comment); all but the PSF have the WCS.
    """
    place = fits.Header() if image.wcs is None else _wcs_header(image.wcs, image.data.ndim)
    hdus = fits.HDUList([_image_hdu(fits.PrimaryHDU, image.data, "PRIMARY", image.unit, place, cards)])
    if image.mask is not None:
        hdus.append(_image_hdu(fits.ImageHDU, image.mask.astype(np.uint8), "MASK", None, place, cards))
    uncertainty = image.uncertainty
    if uncertainty is not None:
        kind = ("UTYPE", type(uncertainty).__name__, "kind of uncertainty, as in astropy.nddata")
        hdus.append(_image_hdu(
            fits.ImageHDU, uncertainty.array, "UNCERT", uncertainty.unit, place, [kind, *cards]))
    if image.psf is not None:
        hdus.append(_image_hdu(fits.ImageHDU, image.psf, psf_name, None, fits.Header(), cards))
    return hdus


def _image_hdu(kind, data, name, unit, place, cards):
    header = place.copy()
    header["EXTNAME"] = name
    header["BUNIT"] = (_fits_unit(unit), "" if unit is not None else "1 where bad" if name == "MASK" else "of sum 1")
    for keyword, value, comment in cards:
        header[keyword] = (value, comment)
    return kind(data, header=header)


def _warn_of_variation(cube):
    """Warn where the one PSF per band in a file is not enough."""
    if cube.psf_field is None:
        return
    variation = cube.psf_field.variation(cube.wcs, cube.shape[1:])
    if variation > _PSF_VARIATION:
        warnings.warn(
            f"the PSF varies over the image by {variation:.0%} of its peak; the file holds that of the middle only",
            GaltransWarning, stacklevel=4)


def write_hdus(hdus, path):
    """Write a FITS file that appears complete or not at all."""
    with whole_file(path) as temporary:
        hdus.writeto(temporary, checksum=True)


def _fits_unit(unit):
    """Return a unit in the spelling of the FITS standard, of SDSS for nanomaggies, or else of astropy; "" for None."""
    if unit is None:
        return ""
    try:
        return unit.to_string("fits")
    except ValueError:  # not among the units of the standard, or with a scale that is not a power of 10
        pass
    parts = [_UNIT_NAMES.get(base.name, base.name) + ("" if power == 1 else str(power))
             for base, power in zip(unit.bases, unit.powers)]
    if unit.scale != 1 or any("/" in part for part in parts):
        return unit.to_string()
    return " ".join(parts)


def _cube_cards(cube):
    cards = [("GALTRANS", LAYOUT, "layout version of an astro_galtrans cube"),
             ("BANDS", ",".join(cube.bands), "bands along axis 3")]
    cards += [(f"BAND{number}", band, "") for number, band in enumerate(cube.bands, start=1)]
    if len(cube.bands) > 1 and cube.zero_points is not None:
        cards += [(f"MAGZP{number}", float(value), f"AB magnitude of one unit of flux in {band}")
                  for number, (band, value) in enumerate(zip(cube.bands, cube.zero_points), start=1)]
    return cards + common_cards(cube, cube.bands)


def common_cards(cube, bands):
    """Return the cards (keyword, value, comment) of all HDUs that hold these bands of a cube."""
    cards = [("BAND", bands[0], ""), ("FILTER", bands[0], "")] if len(bands) == 1 else []
    if cube.survey is not None:
        cards.append(("SURVEY", cube.survey.name, "survey whose bands, unit and pixels these are"))
    if cube.zero_points is not None:
        values = {float(cube.zero_points[cube.bands.index(band)]) for band in bands}
        if len(values) == 1:
            cards.append(("MAGZERO", values.pop(), "AB magnitude of one unit of flux"))
    made = cube.meta.get("galtrans")
    if not isinstance(made, dict) or "translator" not in made:
        return cards + _observed(cube, bands)
    return cards + [(keyword, made[name], comment) for keyword, (name, comment) in _PROVENANCE.items()
                    if _is_card_value(made.get(name))]


def _observed(cube, bands):
    """Return the cards of telescope, instrument, date and so on that are the same in the headers of all bands."""
    headers = []
    for band in bands:
        own = cube.meta.get("band_meta", {}).get(band, {})
        headers.append(own if isinstance(own, fits.Header) else own.get("header", cube.meta.get("header")))
    if not all(isinstance(header, fits.Header) for header in headers):
        return []
    found = {keyword: [header.get(keyword) for header in headers] for keyword in _OBSERVATION}
    return [(keyword, values[0], headers[0].comments[keyword]) for keyword, values in found.items()
            if _is_card_value(values[0]) and all(value == values[0] for value in values)]


def _is_card_value(value):
    """Return whether a card of FITS can hold a value without a change."""
    if isinstance(value, str):
        return value.isascii() and value.isprintable() and value == value.rstrip()
    if isinstance(value, (bool, np.bool_)):
        return True
    if isinstance(value, (int, np.integer)):
        return -2**63 <= value < 2**63
    return isinstance(value, (float, np.floating)) and bool(np.isfinite(value))


def _wcs_header(wcs, naxis):
    """Return the header of the celestial WCS with its distortion, for images of two axes or cubes (band, y, x)."""
    if any(getattr(wcs, name) is not None for name in ("cpdis1", "cpdis2", "det2im1", "det2im2")):
        raise ValueError(
            "a WCS with lookup-table distortion cannot be written to a header; regrid() the image to a plain one")
    header = wcs.to_header(relax=True)
    # to_header rounds to 12 digits, which would shift the cube.
    pc, cdelt = wcs.wcs.get_pc(), wcs.wcs.get_cdelt()
    for i in range(2):
        header[f"CRPIX{i + 1}"], header[f"CRVAL{i + 1}"] = float(wcs.wcs.crpix[i]), float(wcs.wcs.crval[i])
        header[f"CDELT{i + 1}"] = float(cdelt[i])
        for j in range(2):
            header[f"PC{i + 1}_{j + 1}"] = float(pc[i, j])
    header["WCSAXES"] = naxis
    if naxis == 3:
        header["CTYPE3"], header["CRPIX3"], header["CRVAL3"], header["CDELT3"] = "BAND", 1.0, 1.0, 1.0
    return header


def _meta_table(meta):
    """Return the extension META: each key of ``meta`` with its value as JSON."""
    texts = _encoded_meta(meta)
    columns = []
    for name, column in (("KEY", list(map(_ascii, texts))), ("JSON", list(texts.values()))):
        columns.append(fits.Column(name=name, format=f"{max(map(len, column), default=1)}A", array=column))
    return fits.BinTableHDU.from_columns(columns, name="META")


def _ascii(key):
    """Return a key in ASCII, escaped as in JSON: FITS columns hold no other characters, and no spaces at the end."""
    text = json.dumps(key)[1:-1]
    stripped = text.rstrip(" ")
    return stripped + r"\u0020" * (len(text) - len(stripped))


def _encoded_meta(meta, stacklevel=5):
    """Return the JSON text of each value of ``meta``; a warning names values that JSON cannot hold."""
    return {key: json.dumps(value) for key, value in writable(dict(meta), stacklevel=stacklevel).items()}


def meta_of_table(part):
    """Return the meta in a table that `_meta_table` made; None for another table."""
    if part is None or "JSON" not in part.columns:
        return None
    found = {}
    for row in part.data:
        key = str(row["KEY"])
        try:
            key = json.loads(f'"{key}"')
        except json.JSONDecodeError:  # a backslash or a quote in a file of the first version
            pass
        found[key] = decoded(json.loads(row["JSON"]))
    return found


class BandMeta(dict):
    """The meta of a band that was taken out of a cube: a dict that `~astropy.nddata.CCDData` can write.

    `~astropy.nddata.CCDData.to_hdu` makes a card of each of ``meta.items()`` and fails on a dict, a list or a long key.
    The items of this dict are therefore the cards of a header: values that fit a card, the cards of the band, and all
    the rest as one JSON text under ``GTMETA``. Otherwise it is a dict of the original values; ``dict(meta)`` is a plain
    one.

    Parameters
    ----------
    values : dict
        The meta.
    cards : dict of str to tuple
        Value and comment of the cards of the band: its name, survey, zero point, translator.
    """

    def __init__(self, values, cards):
        super().__init__(values)
        self.cards = cards

    def __reduce__(self):
        return BandMeta, (dict(self), self.cards)

    def copy(self):
        """Return a shallow copy."""
        return BandMeta(self, self.cards)

    def items(self):
        """Return keyword and value, or value and comment, of the cards of a FITS header."""
        found, rest = dict(self.cards), {}
        for key, value in dict(self).items():
            keyword = str(key).upper()
            fits_card = isinstance(key, str) and _KEYWORD.fullmatch(keyword) and _is_card_value(value)
            free = keyword not in found or keyword in self.cards and self.cards[keyword][0] == value
            if fits_card and free and not _STRUCTURE.fullmatch(keyword) and not _WCS.fullmatch(keyword):
                found[keyword] = value
            else:
                rest[key] = value
        texts = _encoded_meta(rest)
        if texts:
            found["LONGSTRN"] = ("OGIP 1.0", "long strings go on in CONTINUE cards")
            found["GTMETA"] = "{" + ", ".join(f"{json.dumps(key)}: {text}" for key, text in texts.items()) + "}"
        return found.items()

    @staticmethod
    def rest_of(header):
        """Return the values in ``GTMETA`` of a header; an empty dict without it."""
        return {key: decoded(value) for key, value in json.loads(header.get("GTMETA", "{}")).items()}


def without_wcs(header):
    """Return a copy of a header without the cards of its WCS."""
    return fits.Header([card for card in header.cards if not _WCS.fullmatch(card.keyword)], copy=True)


def band_hdus(cube, band):
    """Return the HDUs of the file of one band."""
    image = cube[band]
    hdus = _image_hdus(image, common_cards(cube, [band]), "PSFIMAGE")
    hdus.append(_meta_table(dict(image.meta)))
    return hdus
