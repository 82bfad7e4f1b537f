"""Spectrum of one object from a survey file, with the readers of specutils."""

from __future__ import annotations

import warnings
from collections.abc import Sized
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.nddata import InverseVariance

from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.spectra._grid import FLUX_UNIT
from astro_galtrans.spectra._resample import SpectrumValues, rebinned, spectrum_values

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from specutils import Spectrum

__all__ = ["join_arms", "read_spectrum"]

_ARMS = "DESI"  # start of the names of formats that give a list of arms, each with a row per target


def read_spectrum(path: str | PathLike, *, target: int | None = None, format: str | None = None) -> Spectrum:
    """Read the spectrum of one object.

    DESI files, which specutils reads as a list of three arms with a row for each target, give the joined spectrum of
    one target (`join_arms`). All other files are read with ``specutils.Spectrum.read``.

    Parameters
    ----------
    path : path-like
        File such as ``spec-PLATE-MJD-FIBER.fits`` of SDSS, or ``coadd-*.fits`` and ``spectra-*.fits`` of DESI.
    target : int, optional
        TARGETID of DESI. It may be left out if the file has only one target.
    format : str, optional
        Name of the format in specutils, if it cannot be identified from the file.

    Returns
    -------
    `specutils.Spectrum`
        One-dimensional spectrum. The ``meta`` of a DESI spectrum has the row of the target in the table of fibers,
        ``"fibermap"``, and the ``"header"``; the resolution matrices of the arms are left out.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If specutils cannot read it.
    ValueError
        If the target is not in the file or not unique, or no target is given for a file with several.

    Examples
    --------
    >>> from astro_galtrans.spectra import read_spectrum
    >>> spectrum = read_spectrum("coadd-main-bright-9968.fits", target=39627640566453451)  # doctest: +SKIP
    >>> image = translator(cube, spectrum=spectrum)  # doctest: +SKIP
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    arms_format = format or _format_of_arms(path)
    if arms_format and arms_format.startswith(_ARMS):
        return _target_of(path, _read(path, arms_format, arms=True), target)
    if target is not None:
        raise ValueError(f"target must be given for files of DESI only, got {target} for {path}")
    return _read(path, format)


def _format_of_arms(path):
    """Return the name of the format of a file of arms, else None."""
    from astropy.io import registry
    from specutils import SpectrumList

    try:
        found = registry.identify_format("read", SpectrumList, str(path), None, (str(path),), {})
    except Exception:  # an identifier fails on a file that does not match its name; the reader reports what is wrong
        return None
    return next((name for name in found if name.startswith(_ARMS)), None)


def _read(path, format, arms=False):
    from specutils import Spectrum, SpectrumList

    try:
        with warnings.catch_warnings():
            # The unit of the flux in SDSS files has several slashes.
            warnings.filterwarnings("ignore", message=".*contains multiple slashes", category=u.UnitsWarning)
            return (SpectrumList if arms else Spectrum).read(str(path), **({"format": format} if format else {}))
    except Exception as error:  # the readers raise errors of many kinds, some of which are pages long
        reason = (str(error).splitlines() or [""])[0].partition(", please provide")[0]
        raise FileFormatError(f"{path} is not a spectrum that specutils reads: {reason}") from error


def _target_of(path, arms, target):
    """Return the joined spectrum of one target."""
    from specutils import Spectrum

    meta = {key: value for arm in arms for key, value in arm.meta.items()}
    if not arms or "fibermap" not in meta:
        raise FileFormatError(f"{path} has no arms or no table FIBERMAP of targets")
    targets = np.asarray(meta["fibermap"]["TARGETID"])
    rows = np.arange(len(targets)) if target is None else np.flatnonzero(targets == target)
    if len(rows) != 1:
        raise ValueError(
            f"target must be given for {path}, which has {len(targets)} spectra" if target is None else
            f"target must have one spectrum in {path}, {target} has {len(rows)}")
    row = rows[0]
    ones = [Spectrum(flux=arm.flux[row], spectral_axis=arm.spectral_axis, mask=None if arm.mask is None else
                     arm.mask[row], uncertainty=arm.uncertainty[row]) for arm in arms]
    joined = join_arms(ones)
    fiber = meta["fibermap"][int(row)]
    joined.meta.update(header=meta.get("header"), fibermap={name: fiber[name] for name in fiber.colnames})
    return joined


def join_arms(arms: Sequence[Spectrum]) -> Spectrum:
    """Join spectra of one object that overlap in wavelength, as from the arms of a spectrograph.

    The pixels are those of the bluer arm up to its end, and then those of the redder one. Where both have pixels, the
    result is their mean, weighted by the inverse variances; the redder arm is first rebinned to the pixels of the bluer
    one, which changes nothing if the pixels are the same, as those of DESI.

    Parameters
    ----------
    arms : sequence of `specutils.Spectrum`
        One-dimensional spectra in any order, unit and direction, as of `resample_spectrum`. They are not changed.

    Returns
    -------
    `specutils.Spectrum`
        Spectrum in order of wavelength (Angstrom), in 1e-17 erg / (s cm2 Angstrom), with an inverse variance, which is
        0 where a pixel is masked. ``meta`` is that of the first arm that was given.

    Raises
    ------
    TypeError, ValueError
        As `resample_spectrum`, with the number of the arm.

    Examples
    --------
    >>> import numpy as np, astropy.units as u
    >>> from astropy.nddata import StdDevUncertainty
    >>> from specutils import Spectrum
    >>> from astro_galtrans.spectra import join_arms
    >>> unit = 1e-17 * u.erg / u.s / u.cm**2 / u.AA
    >>> blue, red = (Spectrum(flux=np.full(5, value) * unit, spectral_axis=np.arange(first, first + 5) * u.AA,
    ...                       uncertainty=StdDevUncertainty(np.full(5, 1.0)))
    ...              for value, first in ((2.0, 5000), (4.0, 5003)))
    >>> join_arms([blue, red]).flux.value
    array([2., 2., 2., 3., 3., 4., 4., 4.], dtype=float32)
    """
    from specutils import Spectrum

    if isinstance(arms, Spectrum) or not isinstance(arms, Sized) or not len(arms):
        raise TypeError(f"arms must be a sequence of at least one Spectrum, got {type(arms).__name__}")
    values = []
    for number, arm in enumerate(arms):
        try:
            values.append(spectrum_values(arm))
        except (TypeError, ValueError) as error:
            raise type(error)(f"arms[{number}]: {error}") from error
    joined = reduce(_joined, sorted(values, key=lambda one: one.low[0]))
    with np.errstate(divide="ignore"):
        weight = np.where(joined.good, 1 / joined.variance, 0)
    return Spectrum(flux=joined.flux.astype(np.float32) * FLUX_UNIT, spectral_axis=joined.center * u.AA,
                    uncertainty=InverseVariance(weight.astype(np.float32), unit=FLUX_UNIT**-2), mask=~joined.good,
                    meta=dict(arms[0].meta))


def _joined(blue, red):
    """Return two spectra as one, of which ``blue`` begins first."""
    flux, variance = rebinned(red, blue.low, blue.high)
    weights = [np.divide(1, one, out=np.zeros_like(one), where=good)
               for one, good in ((blue.variance, blue.good), (variance, variance > 0))]
    total = weights[0] + weights[1]
    good = total > 0
    mean = np.divide(weights[0] * blue.flux + weights[1] * flux, total, out=np.zeros_like(total), where=good)
    both = SpectrumValues(blue.center, blue.low, blue.high, mean,
                          np.divide(1, total, out=np.zeros_like(total), where=good), good)
    beyond = red.center > blue.high[-1]
    parts = {name: np.concatenate([getattr(both, name), getattr(red, name)[beyond]])
             for name in ("center", "low", "high", "flux", "variance", "good")}
    parts["low"][len(blue.low):] = np.maximum(parts["low"][len(blue.low):], blue.high[-1])
    return SpectrumValues(**parts)
