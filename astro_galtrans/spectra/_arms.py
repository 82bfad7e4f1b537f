"""One spectrum of the arms of a spectrograph."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np
from astropy.nddata import InverseVariance

from astro_galtrans.spectra._grid import FLUX_UNIT
from astro_galtrans.spectra._resample import rebinned
from astro_galtrans.spectra._values import SpectrumValues, spectrum_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from specutils import Spectrum

__all__ = ["join_arms"]


def join_arms(arms: Sequence[Spectrum]) -> Spectrum:
    """One spectrum of several of the same object that overlap in wavelength, as the arms of a spectrograph.

    The pixels are those of the bluer arm as far as it reaches, and then those of the redder one. Where both see, the
    result is their mean, weighted by the inverse variances; the redder arm is brought onto the pixels of the bluer one
    first, which changes nothing where the pixels are the same, as those of DESI are.

    Parameters
    ----------
    arms : sequence of `specutils.Spectrum`
        One-dimensional, in any order, unit and direction, as of `resample_spectrum`. They are not changed.

    Returns
    -------
    `specutils.Spectrum`
        In order of wavelength (Angstrom), in 1e-17 erg / (s cm2 Angstrom), with an inverse variance, which is 0 where
        a pixel is masked. ``meta`` is that of the first arm that was given.

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

    if isinstance(arms, Spectrum) or not hasattr(arms, "__len__") or not len(arms):
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
    return Spectrum(flux=joined.flux.astype(np.float32) * FLUX_UNIT, spectral_axis=joined.centre * u.AA,
                    uncertainty=InverseVariance(weight.astype(np.float32), unit=FLUX_UNIT**-2), mask=~joined.good,
                    meta=dict(arms[0].meta))


def _joined(blue, red):
    """Two spectra as one, of which ``blue`` begins first."""
    flux, variance = rebinned(red, blue.low, blue.high)
    weights = [np.divide(1, one, out=np.zeros_like(one), where=good)
               for one, good in ((blue.variance, blue.good), (variance, variance > 0))]
    total = weights[0] + weights[1]
    good = total > 0
    mean = np.divide(weights[0] * blue.flux + weights[1] * flux, total, out=np.zeros_like(total), where=good)
    both = SpectrumValues(blue.centre, blue.low, blue.high, mean,
                          np.divide(1, total, out=np.zeros_like(total), where=good), good)
    beyond = red.centre > blue.high[-1]
    parts = {name: np.concatenate([getattr(both, name), getattr(red, name)[beyond]])
             for name in ("centre", "low", "high", "flux", "variance", "good")}
    parts["low"][len(blue.low):] = np.maximum(parts["low"][len(blue.low):], blue.high[-1])  # seen once
    return SpectrumValues(**parts)
