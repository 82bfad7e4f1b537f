"""Roles of the HDUs of a file: images, noise of three kinds, masks and point spread functions.

The role of an HDU follows from its name (EXTNAME, HDUNAME), from keywords of some tools (EXTTYPE, IMTYPE, DES_EXT,
HDUCLAS2 and HDUCLAS3, UTYPE) and, in files of one image, from the name of the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath

from astro_galtrans.exceptions import BandMismatchError, FileFormatError
from astro_galtrans.images._fits_read import FitsFile, Part
from astro_galtrans.images._headers import Keywords, band_of_header, known_band

__all__ = ["MASKS", "NOISE", "PLAIN_BANDS", "Planes", "chosen_images", "companion", "cube_bands", "described",
           "plane_of", "role_of", "squeezed"]

_WORDS = {
    "sigma": "ERR ERROR ERRORS SIGMA SIG STD STDEV STDDEV RMS NOISE UNCERT UNC UNCERTAINTY ERRMAP FLUXERR",
    "variance": "VAR VARIANCE VARIANCES VARMAP",
    "inverse variance": "IVAR INVVAR INVVARIANCE INVVARS WGT WEIGHT WEIGHTS WEIGHTMAP",
    "WHT": "WHT",
    "good pixels": "GOOD GOODPIX GOODPIXELS GOODMASK GPM VALID",
    "mask": "MASK MSK DQ FLAG FLAGS MASKBITS BPM BADPIX QUALITY MASKS",
    "psf": "PSF PSFIMAGE PSFIM PSFIMG",
    "image": "SCI SCIENCE IMAGE IMG FLUX DATA COADD PRIMARY SIGNAL",
    "other": "SKY BKG BKGD BACKGROUND MODEL MODELS RESIDUAL RESIDUALS EXP EXPOSURE EXPTIME COVERAGE NEXP SEG SEGM "
             "SEGMENTATION SEGMAP SEGIM OBJMASK CHI2 CON CTX CONTEXT DEPTH GALDEPTH PSFDEPTH NOBS BLOBS BLOBMODEL "
             "WCSDVARR D2IMARR AREA WMAP WAVELENGTH META CONFIDENCE POISSON RNOISE FLAT",
}
_ROLES = {word: role for role, words in _WORDS.items() for word in words.split()}
# The first of these among the words of a name decides: PSF_VAR is no PSF, SCI_ERR no image, VAR_POISSON no variance.
_ORDER = ("other", "sigma", "variance", "inverse variance", "WHT", "good pixels", "mask", "psf", "image")
# In names of files these may follow a name without a break, as in G265911sigma.fits.
_BEHIND = re.compile("(SIGMA|RMS|NOISE|ERROR|VARIANCE|INVVAR|IVAR|WEIGHT)$")
NOISE = ("sigma", "variance", "inverse variance")
MASKS = ("mask", "good pixels")
# Names of bands that mean the same in every survey: a plane with another one of them is of another image.
PLAIN_BANDS = ("u", "g", "r", "i", "z", "y", "i2")
_KEYWORDS = {
    "EXTTYPE": {"IMAGE": "image", "MASK": "mask", "VARIANCE": "variance"},
    "IMTYPE": {"IMAGE": "image", "INVVAR": "inverse variance", "MASKBITS": "mask", "MODEL": "other", "CHI2": "other",
               "DEPTH": "other", "GALDEPTH": "other", "NEXP": "other", "BLOBMODEL": "other"},
    "IMAGETYP": {"IMAGE": "image", "INVVAR": "inverse variance", "MASKBITS": "mask"},
    "DES_EXT": {"IMAGE": "image", "MASK": "mask", "WEIGHT": "inverse variance"},
    "HDUCLAS2": {"DATA": "image", "QUALITY": "mask"},
    "HDUCLAS3": {"MSE": "variance", "RMSE": "sigma", "INVMSE": "inverse variance", "INVRMSE": "other"},
    "UTYPE": {"STDDEVUNCERTAINTY": "sigma", "VARIANCEUNCERTAINTY": "variance", "INVERSEVARIANCE": "inverse variance"},
}


def _words(name):
    """Return the words of a name; a number at the end of a role is a word: SCI2 is SCI and 2."""
    words = []
    for word in re.split(r"[^A-Z0-9]+", name.upper()):
        bare = word.rstrip("0123456789")
        words += [bare, word[len(bare):]] if word not in _ROLES and bare != word and bare in _ROLES else [word]
    return [word for word in words if word]


def _role_of_name(name):
    found = {_ROLES[word] for word in _words(name) if word in _ROLES}
    return next((role for role in _ORDER if role in found), None)


def role_of(part):
    """Return the role of an image HDU: one of `NOISE`, WHT, one of `MASKS`, psf, image or other; None if unknown."""
    for key in ("UTYPE", "HDUCLAS3", "HDUCLAS2", "EXTTYPE", "IMTYPE", "IMAGETYP", "DES_EXT"):
        role = _KEYWORDS[key].get(str(part.header.get(key, "")).strip().upper())
        if role is not None:
            return role
    named = _role_of_name(part.name)
    # Files of HSC and LSST have MP_* in the primary header too, which may be that of the image.
    if named in (None, "image") and part.name not in ("IMAGE", "SCI") and part.data.dtype.kind in "iub" and any(
            key.startswith("MP_") for key in part.header):
        return "mask"
    return named


@dataclass(frozen=True)
class Planes:
    """An image of a file and its companions."""

    file: FitsFile
    image: Part
    """Image of two axes, or a cube of three."""
    band: str | None = None
    """Band in its own header or name."""
    companions: tuple[Part, ...] = ()
    """Noise, masks and PSFs; several where the image is a cube, or for the user to choose from."""
    unread: tuple[Part, ...] = ()
    """Planes that are not read: of another shape, or the weights of drizzle."""
    names: tuple[str, ...] = ()
    """Names of the bands, which companions of one band have in theirs."""

    @cached_property
    def keys(self):
        """The keywords of the image, with those that it inherits."""
        return Keywords(self.file.label, self.image.header, self.file.primary, self.file.warned)

    def noise(self, band):
        """Return the noise of a band, of the first kind that there is; None without."""
        for role in NOISE:
            found = self._of_band(role, band)
            if found:
                return self._only(found, band, "weight")
        return None

    def psf(self, band):
        """Return the image of the PSF of a band, or None."""
        found = self._of_band("psf", band)
        return self._only(found, band, "psf") if found else None

    def masks(self, band):
        """Return all masks of a band."""
        return [part for role in MASKS for part in self._of_band(role, band)]

    @property
    def has_mask(self):
        """Whether there is a mask for any band."""
        return any(role_of(part) in MASKS for part in self.companions)

    def _of_band(self, role, band):
        """Return the companions of a role with the name of a band, else those without the name of another band."""
        parts = [part for part in self.companions if role_of(part) == role]
        bands = {part.index: _own_band(part, self.names) for part in parts}
        own = [part for part in parts if band is not None and bands[part.index] == band]
        return own or [part for part in parts if not _is_of_another(bands[part.index], band, self.band, self.names)]

    def _only(self, found, band, argument):
        if len(found) > 1:
            raise FileFormatError(
                f"{self.file} has several HDUs that may be the {role_of(found[0])} of its image {self.image}: "
                f"{described(found)}. Choose with {argument}={{{band!r}: '{self.file}[{found[0].index}]'}}")
        return found[0]


def _is_of_another(plane_band, band, own, names):
    """Return whether the band of a plane is certainly not that of an image."""
    if plane_band is None or band is None or plane_band in (band, own):
        return False
    return (plane_band in names and band in names) or (
        plane_band.lower() in PLAIN_BANDS and band.lower() in PLAIN_BANDS)


def squeezed(array):
    """Return an image without leading axes of length 1, and of more than three axes without others of length 1."""
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    while array.ndim > 3 and 1 in array.shape[:-2]:
        array = array.squeeze(axis=array.shape.index(1))
    return array


def described(parts):
    """Return a list of HDUs with their bands and roles, for messages."""
    texts = []
    for part in parts:
        role, band = role_of(part) if part.is_image else None, part.header.get("FILTER")
        texts.append(f"{part}" + (f" of filter {band}" if band else "") + (
            f": {role}" if role not in (None, "image") else ""))
    return "; ".join(texts)


def _candidates(file):
    """Return the HDUs that may be an image, those with this role first."""
    images, unknown = [], []
    for part in file.parts:
        if not part.is_image or min(part.data.shape) == 0:
            continue
        role = role_of(part)
        if role == "image" or (role is None and part.index == 0):
            images.append(part)
        elif role is None:
            unknown.append(part)
    bands = [part for part in unknown if band_of_header(part.header) is not None]
    return images + bands if images or bands else unknown


def _own_band(part, names):
    """Return the band in the header of an HDU, or in its name."""
    band = band_of_header(part.header, names)
    if band is not None:
        return band
    words = [word for word in _words(part.name) if word not in _ROLES]
    found = list(dict.fromkeys(band for band in (known_band(word, names) for word in words) if band in names))
    if not names:
        found = [word.lower() for word in words if word in ("U", "G", "R", "I", "Z")]
        found = found or [word for word in words if word in ("Y", "J", "H", "K", "KS", "VIS")]
    return found[0] if len(found) == 1 else None


def _planes_of(file, names=()):
    """Return the images of a file, each with its companions."""
    images = _candidates(file)
    if not images:
        parts = [part for part in file.parts if part.is_image]
        raise FileFormatError(f"{file} has no image of two axes" + (
            f" among its HDUs: {described(parts)}" if parts else ""))
    return [_with_companions(file, image, images, names) for image in images]


def _with_companions(file, image, images, names):
    data = squeezed(image.data)
    band = _own_band(image, names)
    if band is None and len(images) == 1 and data.ndim == 2:
        band = band_of_header(Keywords(file.label, image.header, file.primary), names)
    if band is None and data.ndim == 2:
        own = cube_bands(Keywords(file.label, image.header, file.primary), 1)
        band = None if own is None else known_band(own[0], names)
    if data.ndim == 3 and not names:
        own = cube_bands(Keywords(file.label, image.header, file.primary), len(data)) or ()
        names = tuple(known_band(one) for one in own)
    found, unread = [], []
    for part in file.parts:
        role = role_of(part) if part.is_image and part is not image else None
        if role in (None, "image", "other") or not _belongs(file, part, image, images, names):
            continue
        readable = role == "psf" or (role != "WHT" and _fits_on(squeezed(part.data).shape, data.shape))
        (found if readable else unread).append(part)
    return Planes(file, image, band, tuple(found), tuple(unread), names)


def _fits_on(shape, image):
    return shape in (image, image[-2:])


def _belongs(file, part, image, images, names):
    """Return whether a plane belongs to one of several images: by band, name, version, or place in the file."""
    if len(images) == 1:
        return True
    for key in (lambda one: _own_band(one, names), lambda one: _rest(one.name), lambda one: one.version):
        own, known = key(part), [key(one) for one in images]
        if own in known and known.count(own) < len(images):
            return own == key(image) and (known.count(own) == 1 or _nearest(part, [
                one for one in images if key(one) == own]) is image)
    if role_of(part) in MASKS and not images[0].index < part.index < images[-1].index and not any(
            role_of(one) in MASKS for one in file.parts if one.is_image and one is not part):
        # One mask before or after all images is that of all.
        return True
    return _nearest(part, images) is image


def _rest(name):
    """Return the words of a name that are no role."""
    return tuple(word for word in _words(name) if word not in _ROLES) or None


def _nearest(part, images):
    """Return the image before a plane, or the first."""
    before = [one for one in images if one.index < part.index]
    return before[-1] if before else images[0]


def plane_of(part, band, place, label):
    """Return the image of a band in an HDU: the HDU itself, or a plane of its cube.

    ``place`` is the number of the image in its own cube, and the number of images there; None for an image of two axes.
    """
    data = squeezed(part.data)
    if data.ndim == 2:
        return data
    own = cube_bands(part.header, len(data)) if data.ndim == 3 else None
    if own is not None and band is not None:
        names = [known_band(one, (band,)) for one in own]
        if band not in names:
            raise BandMismatchError(f"{label} is a cube of bands {', '.join(names)}, not {band}")
        return data[names.index(band)]
    if place is None or data.ndim != 3 or len(data) != place[1]:
        raise FileFormatError(
            f"{label} has shape {data.shape} and must be an image (y, x), or a cube with the bands of its image")
    return data[place[0]]


def cube_bands(header, n_planes):
    """Return the bands of a cube in BANDS, or in BAND0, BAND1 ..., of its header; None without."""
    text = header.get("BANDS")
    if isinstance(text, str) and text.strip():
        names = tuple(name for name in re.split(r"[,\s]+", text.strip()) if name)
        if len(names) != n_planes and len(text.strip()) == n_planes:
            names = tuple(text.strip())
        if len(names) == n_planes:
            return names
    for first in (0, 1):
        for key in ("BAND", "FILTER"):
            names = tuple(str(header.get(f"{key}{index}") or "").strip() for index in range(first, first + n_planes))
            if all(names):
                return names
    return None


def chosen_images(file, band, hdu, names, wanted=None):
    """Return a list of `Planes`: the image of a band or of an HDU, or else of all bands or those that are ``wanted``.

    ``names`` are those of the survey's bands.
    """
    if hdu is not None and file.selected is not None:
        raise ValueError(f"hdu is given for {file}[{file.selected}], which names the HDU itself")
    hdu = file.selected if hdu is None else hdu
    if hdu is not None:
        return [_selected(file, hdu, names)]
    images = _planes_of(file, names)
    if len(images) == 1:
        return images
    if band is not None:
        found = [one for one in images if one.band == band]
        if len(found) == 1:
            return found
        raise _ambiguous(file, images, f"band {band}")
    if wanted is not None:
        images = [one for one in images if one.band in wanted]
        missing = [name for name in wanted if name not in [one.band for one in images]]
        if missing:
            raise BandMismatchError(f"{file} has no image of band {', '.join(missing)}: {described(file.parts)}")
    bands = [one.band for one in images]
    if None in bands or len(set(bands)) < len(bands):
        raise _ambiguous(file, images, "each band")
    return images


def _ambiguous(file, images, which):
    return FileFormatError(
        f"{file} has several images, and it is ambiguous which is that of {which}: "
        f"{described([one.image for one in images])}. Choose with hdu=, or with the path as file.fits[2]")


def _selected(file, hdu, names):
    part = file.select(hdu)
    if not part.is_image:
        raise FileFormatError(f"{file} has no image in HDU {part}")
    role = role_of(part)
    if role in (*NOISE, *MASKS, "WHT", "psf"):
        raise FileFormatError(f"{file} has no image in HDU {part}: it is a {role}; there are {described(file.parts)}")
    others = [one for one in _candidates(file) if one is not part]
    return _with_companions(file, part, [part, *others] if others else [part], names)


def companion(file, roles, band, argument):
    """Return the HDU of a file of noise, masks or PSFs, and its role where that is known.

    Of several HDUs it is that of the band, and then the first of the roles.
    """
    if file.selected is not None:
        part = file.select(file.selected, argument)
        if not part.is_image:
            raise FileFormatError(f"{file} has no image in HDU {part}, which {argument} names")
        return part, role_of(part)
    parts = [part for part in file.parts if part.is_image]
    found = _those_of_band([part for part in parts if role_of(part) in roles], band)
    if len(found) > 1:
        first = min(roles.index(role_of(part)) for part in found)
        found = [part for part in found if role_of(part) == roles[first]]
    if not found:
        found = _those_of_band([part for part in parts if role_of(part) in (None, "image")], band)
    if not found:
        raise FileFormatError(f"{file} has no image of two axes" + (f": {described(parts)}" if parts else ""))
    if len(found) > 1:
        raise FileFormatError(f"{file} has several HDUs that {argument} may mean: {described(found)}; name one as "
                              "file.fits[2]")
    role = role_of(found[0])
    return found[0], _role_of_file(file, roles) if role in (None, "image") else role


def _those_of_band(parts, band):
    if len(parts) < 2 or band is None:
        return parts
    return [part for part in parts if _own_band(part, (band,)) == band] or parts


def _role_of_file(file, roles):
    """Return the role in the name of a file, or None."""
    name = PurePath(file.label).name.upper().split(".FIT")[0]
    end = _BEHIND.search(name)
    role = _role_of_name(name) or (None if end is None else _ROLES[end[0]])
    return role if role in roles else None
