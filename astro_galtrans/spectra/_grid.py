"""Grid of wavelengths that all spectra of a set share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TYPE_CHECKING

import astropy.units as u
import numpy as np

from astro_galtrans._utils.validation import whole_number

if TYPE_CHECKING:
    from astropy.units import Quantity

__all__ = ["FLUX_UNIT", "SpectrumGrid"]

#: Unit of spectra as arrays, that of the SDSS and DESI spectra.
FLUX_UNIT = u.Unit(1e-17 * u.erg / u.s / u.cm**2 / u.AA)


@dataclass(frozen=True)
class SpectrumGrid:
    """Observed wavelengths in vacuum, evenly spaced in their logarithm.

    The default covers SDSS, BOSS and DESI spectra with pixels of 0.1 percent (300 km/s, about 4 pixels of an SDSS
    spectrum): lines stay visible, and 1024 numbers are few compared with those of the images.

    Parameters
    ----------
    first, last : float or `~astropy.units.Quantity`, optional
        Wavelengths of the centers of the first and the last pixel, in Angstrom.
    n_pixels : int, optional
        Number of pixels.

    Examples
    --------
    >>> from astro_galtrans.spectra import SpectrumGrid
    >>> grid = SpectrumGrid(4000, 8000, 3)
    >>> grid.wavelength
    <Quantity [4000.        , 5656.85424949, 8000.        ] Angstrom>
    >>> SpectrumGrid.from_dict(grid.to_dict()) == grid
    True
    """

    first: float = 3600.0
    last: float = 10000.0
    n_pixels: int = 1024

    def __post_init__(self) -> None:
        for name in ("first", "last"):
            value = getattr(self, name)
            try:
                # Grids are compared, and 400 nm in Angstrom is not exactly 4000.
                number = np.round(value.to_value(u.AA), 9) if isinstance(value, u.Quantity) else value
                valid = not isinstance(number, bool) and np.isfinite(number) and number > 0
                number = float(number)
            except (TypeError, ValueError) as error:  # an astropy UnitConversionError is both
                raise TypeError(f"{name} must be a wavelength in Angstrom, got {value!r}") from error
            if not valid:
                raise ValueError(f"{name} must be a wavelength above 0 Angstrom, got {value!r}")
            object.__setattr__(self, name, number)
        if not self.first < self.last:
            raise ValueError(f"first must be below last, got {self.first} and {self.last}")
        object.__setattr__(self, "n_pixels", whole_number(self.n_pixels, "n_pixels", 2))

    @property
    def step(self) -> float:
        """Difference of the natural log of the wavelength between neighbors, a float."""
        return float(np.log(self.last / self.first) / (self.n_pixels - 1))

    @property
    def wavelength(self) -> Quantity:
        """Centers of the pixels, a Quantity of shape ``(n_pixels,)``."""
        return np.geomspace(self.first, self.last, self.n_pixels) * u.AA

    @property
    def edges(self) -> Quantity:
        """Edges of the pixels, a Quantity of shape ``(n_pixels + 1,)``."""
        half = np.exp(self.step / 2)
        return np.geomspace(self.first / half, self.last * half, self.n_pixels + 1) * u.AA

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters as a dict of plain Python values."""
        return {"first": self.first, "last": self.last, "n_pixels": self.n_pixels}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SpectrumGrid:
        """Return the grid of a dict from `to_dict`.

        Parameters
        ----------
        values : dict
            Keys ``first``, ``last`` and ``n_pixels``; others raise a ValueError.

        Returns
        -------
        SpectrumGrid
        """
        if set(values) != {"first", "last", "n_pixels"}:
            raise ValueError(f"values must have keys first, last and n_pixels, got {', '.join(map(str, values))}")
        return cls(**values)
