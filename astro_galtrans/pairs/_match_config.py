"""The options of `match_pairs`."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import partial
from typing import Literal, TYPE_CHECKING

import astropy.units as u

from astro_galtrans._utils.reprs import changed_fields
from astro_galtrans._utils.validation import check_fields, choice, finite_number, flag, mapping, text, whole_number
from astro_galtrans.pairs._match_quality import FLAGS, current_flag

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from astropy.table import Table
    from astropy.units import Quantity, UnitBase

__all__ = ["MatchConfig"]

_CHOICES = {"resample": ("auto", "always", "never"), "neighbors": ("flag", "mask", None),
            "background": ("measure", "subtract", None)}
_ANGLES = ("match_radius", "search_radius", "max_offset", "max_residual")


@dataclass(frozen=True, repr=False)
class MatchConfig:
    """Options of `~astro_galtrans.pairs.match_pairs`, which takes them as keywords too.

    Parameters
    ----------
    target_size : int, optional
        Side of the target stamps in pixels; by default that of `~astro_galtrans.surveys.matching_size`.
    input_bands, target_bands : str or sequence of str, optional
        Bands to use; by default all that the images have.
    ra, dec, redshift, id : str, optional
        Columns of the catalog, if they are not found under their usual names.
    unit : unit or tuple of two units, optional
        Unit of right ascension and declination; by default that of the columns, or degrees. Text with separators, as
        ``"10:30:00"``, is hours of right ascension and degrees of declination.
    target_catalog : `~astropy.table.Table` or path-like, optional
        Catalog of the target survey. Only galaxies with a counterpart in it are used, one to one
        (`~astro_galtrans.pairs.match_one_to_one`); its columns are kept with the prefix ``target_``.
    match_radius : `~astropy.units.Quantity`, optional
        Largest separation of a counterpart.
    band : str, optional
        Band in which the surveys are compared; by default the one that is most similar in both.
    correct_astrometry : bool, optional
        Whether to correct the offset between the images of a field: the input is cut around the position that the
        galaxies have there. The astrometry of the target is taken as correct.
    search_radius : `~astropy.units.Quantity`, optional
        Largest offset between two images that is searched for.
    max_offset : `~astropy.units.Quantity`, optional
        Largest offset of a field that is corrected. Galaxies in a field with a larger offset have the flag
        ``astrometry``.
    max_residual : `~astropy.units.Quantity`, optional
        Largest separation of a galaxy in the two images after the correction; by default half the FWHM of the wider
        PSF.
    resample : {"auto", "always", "never"}, optional
        Whether to resample a target stamp to the orientation of its input stamp, with the pixel scale of the target.
        "auto" does so if the corners would otherwise differ by more than half a pixel after quarter turns and
        reflections.
    background : {"measure", "subtract"} or None, optional
        Whether to measure the background around each galaxy, and whether to subtract it.
    neighbors : {"flag", "mask"} or None, optional
        Whether to detect other sources in the stamps, and whether to give their pixels weight 0 in both surveys.
    min_snr : float, optional
        Signal-to-noise ratio of the core of a galaxy below which it has the flag ``low_snr`` and its position is not
        compared.
    min_coverage : float, optional
        Smallest fraction of a stamp that must be on its image.
    drop : sequence of str, optional
        Flags, of ``astro_galtrans.pairs.FLAGS``, that exclude a pair.
    input_options, target_options : dict, optional
        Keywords of `~astro_galtrans.images.read_cube` or `~astro_galtrans.images.read_frames`.
    max_open : int, optional
        Number of tiles of each survey that are kept in memory.
    """

    target_size: int | None = None
    input_bands: str | Sequence[str] | None = None
    target_bands: str | Sequence[str] | None = None
    ra: str | None = None
    dec: str | None = None
    unit: str | UnitBase | tuple[str | UnitBase, str | UnitBase] | None = None
    redshift: str | None = None
    id: str | None = None
    target_catalog: Table | str | PathLike | None = None
    match_radius: Quantity = 1 * u.arcsec
    band: str | None = None
    correct_astrometry: bool = True
    search_radius: Quantity = 60 * u.arcsec
    max_offset: Quantity = 3 * u.arcsec
    max_residual: Quantity | None = None
    resample: Literal["auto", "always", "never"] = "auto"
    background: Literal["measure", "subtract"] | None = "measure"
    neighbors: Literal["flag", "mask"] | None = "flag"
    min_snr: float = 5.0
    min_coverage: float = 0.9
    drop: Sequence[str] = ("masked_center", "saturated", "astrometry", "unverified", "misaligned")
    input_options: Mapping[str, object] | None = None
    target_options: Mapping[str, object] | None = None
    max_open: int = 2

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            choice(getattr(self, name), name, allowed)
        if not isinstance(self.drop, (str, Sequence, Set)):
            raise TypeError(f"drop must be a sequence of {', '.join(FLAGS)}, got {self.drop!r}")
        drop = (self.drop,) if isinstance(self.drop, str) else tuple(current_flag(name) for name in self.drop)
        unknown = [name for name in drop if name not in FLAGS or isinstance(self.drop, str)]
        if unknown:
            raise ValueError(f"drop must be a sequence of {', '.join(FLAGS)}, got {', '.join(map(repr, unknown))}")
        object.__setattr__(self, "drop", drop)
        check_fields(self, {
            "target_size": partial(whole_number, least=8), "max_open": partial(whole_number, least=1),
            "correct_astrometry": flag, "min_snr": finite_number, "min_coverage": finite_number,
            "input_options": mapping, "target_options": mapping,
            **dict.fromkeys(("ra", "dec", "redshift", "id", "band"), text)})
        if not 0 <= self.min_coverage <= 1:
            raise ValueError(f"min_coverage must be from 0 to 1, got {self.min_coverage!r}")
        for name in _ANGLES:
            if getattr(self, name) is not None:
                object.__setattr__(self, name, u.Quantity(getattr(self, name)).to(u.arcsec))
        if self.target_catalog is None and self.match_radius != 1 * u.arcsec:
            raise ValueError(f"match_radius has no effect without target_catalog, got {self.match_radius}")

    __repr__ = changed_fields
