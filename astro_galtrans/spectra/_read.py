"""The spectrum of one object from a file of a survey, by the readers of specutils."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np

from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.spectra._arms import join_arms

if TYPE_CHECKING:
    from os import PathLike

    from specutils import Spectrum

__all__ = ["read_spectrum"]

_ARMS = "DESI"  # formats of specutils that give a list of arms, each with a row a target


def read_spectrum(path: str | PathLike, *, target: int | None = None, format: str | None = None) -> Spectrum:
    """Read the spectrum of one object.

    ``specutils.Spectrum.read`` for all that it reads, and for the files of DESI, of which ``specutils`` makes a list of
    three arms with a row for each target, the one spectrum of a target, see `join_arms`.

    Parameters
    ----------
    path : path-like
        As ``spec-PLATE-MJD-FIBER.fits`` of SDSS, or ``coadd-*.fits`` and ``spectra-*.fits`` of DESI.
    target : int, optional
        The TARGETID of DESI. It may be left out if the file has one target only.
    format : str, optional
        Name of the format, as of specutils, where it cannot be told by the file.

    Returns
    -------
    `specutils.Spectrum`
        One-dimensional. That of DESI has in ``meta`` the row of the target in the table of fibres, ``"fibermap"``, and
        the ``"header"``; the resolution matrices of the arms are left out.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If specutils does not read it.
    ValueError
        If the target is not in the file, if there are several and none is named, or several spectra of the one.

    Examples
    --------
    >>> from astro_galtrans.spectra import read_spectrum
    >>> spectrum = read_spectrum("coadd-main-bright-9968.fits", target=39627640566453451)  # doctest: +SKIP
    >>> image = translator(cube, spectrum=spectrum)  # doctest: +SKIP
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    of_arms = format or _format_of_arms(path)
    if of_arms and of_arms.startswith(_ARMS):
        return _target_of(path, _read(path, of_arms, arms=True), target)
    if target is not None:
        raise ValueError(f"target is for files of DESI, which {path} is not")
    return _read(path, format)


def _format_of_arms(path):
    """Name of the format if the file is one of arms, else None."""
    from astropy.io import registry
    from specutils import SpectrumList

    try:
        found = registry.identify_format("read", SpectrumList, str(path), None, (str(path),), {})
    except Exception:  # a file that is not what its name says: reading it will tell what is wrong
        return None
    return next((name for name in found if name.startswith(_ARMS)), None)


def _read(path, format, arms=False):
    from specutils import Spectrum, SpectrumList

    try:
        with warnings.catch_warnings():
            # the unit of the flux in the files of SDSS
            warnings.filterwarnings("ignore", message=".*contains multiple slashes", category=u.UnitsWarning)
            return (SpectrumList if arms else Spectrum).read(str(path), **({"format": format} if format else {}))
    except Exception as error:  # the readers have errors of many kinds, some of which are pages long
        told = (str(error).splitlines() or [""])[0].partition(", please provide")[0]
        raise FileFormatError(f"{path} is not a spectrum that specutils reads: {told}") from error


def _target_of(path, arms, target):
    """The arms of one target as one spectrum."""
    from specutils import Spectrum

    meta = {key: value for arm in arms for key, value in arm.meta.items()}
    if not arms or "fibermap" not in meta:
        raise FileFormatError(f"{path} has no arms or no table FIBERMAP of targets")
    targets = np.asarray(meta["fibermap"]["TARGETID"])
    rows = np.arange(len(targets)) if target is None else np.flatnonzero(targets == target)
    if len(rows) != 1:
        raise ValueError(
            f"target must be given for {path}, which has {len(targets)} spectra" if target is None else
            f"target {target} has {len(rows)} spectra in {path}, in place of one")
    row = rows[0]
    ones = [Spectrum(flux=arm.flux[row], spectral_axis=arm.spectral_axis, mask=None if arm.mask is None else
                     arm.mask[row], uncertainty=arm.uncertainty[row]) for arm in arms]
    joined = join_arms(ones)
    fibre = meta["fibermap"][int(row)]
    joined.meta.update(header=meta.get("header"), fibermap={name: fibre[name] for name in fibre.colnames})
    return joined
