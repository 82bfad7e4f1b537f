"""Which HDU of a file is what: images, noise of three kinds, masks and point spread functions.

The role of an HDU is told by its name (EXTNAME, HDUNAME), by keywords of some tools (EXTTYPE, IMTYPE, DES_EXT, HDUCLAS2
and HDUCLAS3, UTYPE) and, in files of one image, by the name of the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any, TYPE_CHECKING

from astro_galtrans.exceptions import BandMismatchError, FileFormatError
from astro_galtrans.images._headers import Keywords, band_of_header, known_band

if TYPE_CHECKING:
    from astro_galtrans.images._fits_read import FitsFile, Part

__all__ = ["MASKS", "NOISE", "PLAIN_BANDS", "Planes", "chosen_images", "companion", "cube_bands", "described",
           "plane_of", "planes_of", "role_of", "squeezed"]

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
# In names of files these may stand behind a name without a break, as in G265911sigma.fits.
_BEHIND = re.compile("(SIGMA|RMS|NOISE|ERROR|VARIANCE|INVVAR|IVAR|WEIGHT)$")
NOISE = ("sigma", "variance", "inverse variance")
MASKS = ("mask", "good pixels")
# Names of bands that mean the same in every survey: a plane that says another one of them is of another image.
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
    """The words of a name, with a number behind one that tells a role apart: SCI2 is SCI and 2."""
    words = []
    for word in re.split(r"[^A-Z0-9]+", name.upper()):
        bare = word.rstrip("0123456789")
        words += [bare, word[len(bare):]] if word not in _ROLES and bare != word and bare in _ROLES else [word]
    return [word for word in words if word]


def _role_of_name(name):
    found = {_ROLES[word] for word in _words(name) if word in _ROLES}
    return next((role for role in _ORDER if role in found), None)


def role_of(part: Part) -> str | None:
    """Return what an image HDU is: an entry of `NOISE`, WHT, mask, psf, image or other; None where nothing tells."""
    for key in ("UTYPE", "HDUCLAS3", "HDUCLAS2", "EXTTYPE", "IMTYPE", "IMAGETYP", "DES_EXT"):
        told = _KEYWORDS[key].get(str(part.header.get(key, "")).strip().upper())
        if told is not None:
            return told
    named = _role_of_name(part.name)
    # files of HSC and LSST have the bit planes of their mask in the primary header too, which may be that of the image
    if named in (None, "image") and part.name not in ("IMAGE", "SCI") and part.data.dtype.kind in "iub" and any(
            key.startswith("MP_") for key in part.header):
        return "mask"
    return named


@dataclass(frozen=True)
class Planes:
    """An image of a file and what belongs to it.

    Parameters
    ----------
    file : FitsFile
        Where they are.
    image : Part
        The image, of two axes or a cube of three.
    band : str or None
        Band that its own header or name tells.
    companions : tuple of Part
        Noise, masks and PSFs that go with it; several where it is a cube, or for the user to choose from.
    unread : tuple of Part
        Planes that go with it and are not read: of another shape, or the weights of drizzle.
    names : tuple of str
        Names of the bands, by which companions of one band are told.
    """

    file: FitsFile
    image: Part
    band: str | None = None
    companions: tuple = ()
    unread: tuple = ()
    names: tuple = ()

    @cached_property
    def keys(self) -> Keywords:
        """The keywords of the image, with those that it inherits."""
        return Keywords(self.file.label, self.image.header, self.file.primary, self.file.warned)

    def noise(self, band: str | None) -> Part | None:
        """Return the noise of a band, of the first kind that there is; None without.

        Raises
        ------
        FileFormatError
            If there are several of the same kind.
        """
        for role in NOISE:
            found = self._of_band(role, band)
            if found:
                return self._only(found, band, "weight")
        return None

    def psf(self, band: str | None) -> Part | None:
        """Return the image of the PSF of a band, or None; an error if there are several."""
        found = self._of_band("psf", band)
        return self._only(found, band, "psf") if found else None

    def masks(self, band: str | None) -> list[Part]:
        """Return all masks of a band."""
        return [part for role in MASKS for part in self._of_band(role, band)]

    @property
    def has_mask(self) -> bool:
        """Whether there is a mask for any band."""
        return any(role_of(part) in MASKS for part in self.companions)

    def _of_band(self, role, band):
        """The companions of a role that may be of a band: those that say so, else those that say nothing else."""
        there = [part for part in self.companions if role_of(part) == role]
        told = {part.index: _own_band(part, self.names) for part in there}
        own = [part for part in there if band is not None and told[part.index] == band]
        return own or [part for part in there if not _is_of_another(told[part.index], band, self.band, self.names)]

    def _only(self, found, band, argument):
        if len(found) > 1:
            raise FileFormatError(
                f"{self.file} has several HDUs that may be the {role_of(found[0])} of its image {self.image}: "
                f"{described(found)}. Choose with {argument}={{{band!r}: '{self.file}[{found[0].index}]'}}")
        return found[0]


def _is_of_another(told, band, own, names):
    """Whether the band that a plane tells is surely not that of an image."""
    if told is None or band is None or told in (band, own):
        return False
    return (told in names and band in names) or (told.lower() in PLAIN_BANDS and band.lower() in PLAIN_BANDS)


def squeezed(array: Any) -> Any:
    """Return an image without leading axes of length 1, and without any that make more than three."""
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    while array.ndim > 3 and 1 in array.shape[:-2]:
        array = array.squeeze(axis=array.shape.index(1))
    return array


def described(parts: Any) -> str:
    """Return a list of HDUs with what they are, for messages."""
    texts = []
    for part in parts:
        role, band = role_of(part) if part.is_image else None, part.header.get("FILTER")
        texts.append(f"{part}" + (f" of filter {band}" if band else "") + (
            f": {role}" if role not in (None, "image") else ""))
    return "; ".join(texts)


def _candidates(file):
    """The HDUs that may be an image, those that say so first."""
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
    """The band that the header of an HDU tells, or its name."""
    told = band_of_header(part.header, names)
    if told is not None:
        return told
    words = [word for word in _words(part.name) if word not in _ROLES]
    found = list(dict.fromkeys(band for band in (known_band(word, names) for word in words) if band in names))
    if not names:
        found = [word.lower() for word in words if word in ("U", "G", "R", "I", "Z")]
        found = found or [word for word in words if word in ("Y", "J", "H", "K", "KS", "VIS")]
    return found[0] if len(found) == 1 else None


def planes_of(file: FitsFile, names: tuple[str, ...] = ()) -> list[Planes]:
    """Return the images of a file, each with the noise, mask and PSF that belong to it.

    Parameters
    ----------
    file : FitsFile
        Where they are.
    names : tuple of str, optional
        Names of the survey's bands.

    Raises
    ------
    FileFormatError
        If there is no image.
    """
    images = _candidates(file)
    if not images:
        there = [part for part in file.parts if part.is_image]
        raise FileFormatError(f"{file} has no image of two axes" + (
            f" among its HDUs: {described(there)}" if there else ""))
    return [_with_companions(file, image, images, names) for image in images]


def _with_companions(file, image, images, names):
    data = squeezed(image.data)
    band = _own_band(image, names)
    if band is None and len(images) == 1 and data.ndim == 2:
        band = band_of_header(Keywords(file.label, image.header, file.primary), names)
    if band is None and data.ndim == 2:
        told = cube_bands(Keywords(file.label, image.header, file.primary), 1)
        band = None if told is None else known_band(told[0], names)
    if data.ndim == 3 and not names:
        told = cube_bands(Keywords(file.label, image.header, file.primary), len(data)) or ()
        names = tuple(known_band(one) for one in told)
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
    """Whether a plane goes with an image, of several: by band or name, by version, else by its place in the file."""
    if len(images) == 1:
        return True
    for key in (lambda one: _own_band(one, names), lambda one: _rest(one.name), lambda one: one.version):
        own, known = key(part), [key(one) for one in images]
        if own in known and known.count(own) < len(images):
            return own == key(image) and (known.count(own) == 1 or _nearest(part, [
                one for one in images if key(one) == own]) is image)
    if role_of(part) in MASKS and not images[0].index < part.index < images[-1].index and not any(
            role_of(one) in MASKS for one in file.parts if one.is_image and one is not part):
        # one mask before or behind all images is that of all
        return True
    return _nearest(part, images) is image


def _rest(name):
    """A name without the words that tell a role."""
    return tuple(word for word in _words(name) if word not in _ROLES) or None


def _nearest(part, images):
    """The image before a plane, or the first."""
    before = [one for one in images if one.index < part.index]
    return before[-1] if before else images[0]


def plane_of(part: Part, band: str | None, place: tuple[int, int] | None, what: str) -> Any:
    """Return the image of a band that an HDU holds: the HDU itself, or a plane of its cube.

    Parameters
    ----------
    part : Part
        The HDU.
    band : str or None
        Band of the image that it goes with.
    place : tuple of int, or None
        Number of that image in its cube, and number of images there; None for an image of two axes.
    what : str
        What it is, for messages.
    """
    data = squeezed(part.data)
    if data.ndim == 2:
        return data
    told = cube_bands(part.header, len(data)) if data.ndim == 3 else None
    if told is not None and band is not None:
        names = [known_band(one, (band,)) for one in told]
        if band not in names:
            raise BandMismatchError(f"{what} is a cube of bands {', '.join(names)}, not {band}")
        return data[names.index(band)]
    if place is None or data.ndim != 3 or len(data) != place[1]:
        raise FileFormatError(
            f"{what} has shape {data.shape} and must be an image (y, x), or a cube with the bands of its image")
    return data[place[0]]


def cube_bands(header: Any, n_planes: int) -> tuple[str, ...] | None:
    """Return the bands of a cube that its header names in BANDS, or in BAND0, BAND1 ...; None where it does not."""
    told = header.get("BANDS")
    if isinstance(told, str) and told.strip():
        names = tuple(name.strip() for name in re.split(r"[,\s]+", told.strip()) if name.strip())
        if len(names) != n_planes and len(told.strip()) == n_planes:
            names = tuple(told.strip())
        if len(names) == n_planes:
            return names
    for first in (0, 1):
        for key in ("BAND", "FILTER"):
            names = tuple(str(header.get(f"{key}{index}") or "").strip() for index in range(first, first + n_planes))
            if all(names):
                return names
    return None


def chosen_images(
    file: FitsFile, band: str | None, hdu: Any, names: tuple[str, ...], wanted: tuple[str, ...] | None = None,
) -> list[Planes]:
    """Return the image of a band, or the images of all bands of a file that is given without one.

    Parameters
    ----------
    file : FitsFile
        Where they are.
    band : str or None
        Band that is asked for.
    hdu : int, str, tuple or None
        The HDU that is asked for; the path may name one too.
    names : tuple of str
        Names of the survey's bands.
    wanted : tuple of str, optional
        Of a file that is given without a band, the bands that are needed.

    Raises
    ------
    FileFormatError
        If it cannot be told which HDU is meant, or the one that is named is no image.
    """
    if hdu is not None and file.selected is not None:
        raise ValueError(f"hdu is given for {file}[{file.selected}], which names the HDU itself")
    hdu = file.selected if hdu is None else hdu
    if hdu is not None:
        return [_selected(file, hdu, names)]
    images = planes_of(file, names)
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


def _ambiguous(file, images, what):
    return FileFormatError(
        f"{file} has several images, and it cannot be told which is that of {what}: "
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


def companion(file: FitsFile, roles: tuple[str, ...], band: str | None, what: str) -> tuple[Part, str | None]:
    """Return the HDU of a file of noise, masks or PSFs, and its role where something tells it.

    Parameters
    ----------
    file : FitsFile
        The file.
    roles : tuple of str
        Roles that are looked for.
    band : str or None
        Band of the image.
    what : str
        Argument, for messages.
    """
    if file.selected is not None:
        part = file.select(file.selected, what)
        if not part.is_image:
            raise FileFormatError(f"{file} has no image in HDU {part}, which {what} names")
        return part, role_of(part)
    there = [part for part in file.parts if part.is_image]
    found = [part for part in there if role_of(part) in roles]
    if len(found) > 1 and band is not None:
        found = [part for part in found if _own_band(part, (band,)) == band] or found
    if len(found) > 1:
        # of several kinds of noise the first kind is taken, as in the file of an image
        first = min(roles.index(role_of(part)) for part in found)
        found = [part for part in found if role_of(part) == roles[first]]
    if not found:
        found = [part for part in there if role_of(part) in (None, "image")]
        if len(found) > 1 and band is not None:
            found = [part for part in found if _own_band(part, (band,)) == band] or found
    if not found:
        raise FileFormatError(f"{file} has no image of two axes" + (f": {described(there)}" if there else ""))
    if len(found) > 1:
        raise FileFormatError(f"{file} has several HDUs that {what} may mean: {described(found)}; name one as "
                              "file.fits[2]")
    role = role_of(found[0])
    if role in (None, "image"):
        name = PurePath(file.label).name.upper().split(".FIT")[0]
        behind = _BEHIND.search(name)
        named = _role_of_name(name) or (None if behind is None else _ROLES[behind[0]])
        role = named if named in roles else None
    return found[0], role
