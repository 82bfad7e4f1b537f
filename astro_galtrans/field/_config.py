"""Options of the functions that translate many galaxies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, TYPE_CHECKING

from astro_galtrans._utils.torch_state import checked_device
from astro_galtrans._utils.validation import check_fields, finite_number, flag, numbers, real_number, text, whole_number
from astro_galtrans.images import ReadConfig
from astro_galtrans.translation import Sampling, Translator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

__all__ = ["FieldConfig", "TranslationConfig", "check_translation", "translation_keywords"]


@dataclass(frozen=True)
class TranslationConfig:
    """How galaxies are translated; `translate_files` and `translate_pairs` take the fields as keywords too.

    Parameters
    ----------
    n_samples, seed, n_steps : int, optional
        Sampling of a generative translator; see `~astro_galtrans.translation.Translator`.
    allow_missing : bool, optional
        Whether to translate galaxies of which a band, or its center, has no data; see
        `~astro_galtrans.translation.Translator`.
    psf_fwhm : float, `~astropy.units.Quantity`, array_like or dict, optional
        FWHM of the PSF of the input, one for all galaxies or one for each band, for a translator that takes it; see
        `~astro_galtrans.translation.Translator`. By default it is that of the images, where they have a PSF.
    target_psf : float, `~astropy.units.Quantity` or dict, optional
        FWHM of the PSF that the translations are to have, one or one for each band, for a translator that takes it.
    device : str, optional
        Device for the computation; by default that of the translator.
    read_config : ReadConfig, optional
        Options for reading FITS files, as their unit; sets of pairs have none.
    """

    n_samples: int | None = None
    seed: int | None = None
    n_steps: int | None = None
    allow_missing: bool = False
    psf_fwhm: ArrayLike | Mapping[str, Any] | None = None
    target_psf: ArrayLike | Mapping[str, Any] | None = None
    device: str | None = None
    read_config: ReadConfig | None = None

    def __post_init__(self) -> None:
        check_fields(self, {"n_samples": partial(whole_number, least=1), "seed": whole_number,
                            "n_steps": partial(whole_number, least=1), "allow_missing": flag})
        if self.device is not None:
            checked_device(self.device)
        if self.read_config is not None and not isinstance(self.read_config, ReadConfig):
            raise TypeError(f"read_config must be a ReadConfig, got {self.read_config!r}")


@dataclass(frozen=True)
class FieldConfig(TranslationConfig):
    """Options of `translate_field`, which takes the fields as keywords too, and those of `TranslationConfig`.

    Parameters
    ----------
    band : str, optional
        Band in which sources are detected: "r", otherwise the middle one.
    min_magnitude, max_magnitude : float or None, optional
        Limits of the magnitudes of detected galaxies. Brighter sources are listed and not translated, because a star of
        that magnitude is saturated, in SDSS at about r = 14.
    extended_only : bool, optional
        Whether to leave out stars in the detection. Saturated stars are listed and not translated.
    radii : sequence of float, optional
        Radii of the apertures in arcsec.
    min_coverage : float, optional
        Smallest fraction of good pixels of a cutout in all bands. Pixels beyond the edge of the field are bad.
    max_sheet : int, optional
        Largest number of galaxies on the contact sheet, which shows the first of them; 0 for no sheet.
    """

    band: str | None = None
    min_magnitude: float | None = 14.5
    max_magnitude: float | None = 20.5
    extended_only: bool = True
    radii: Sequence[float] = (2.0, 4.0)
    min_coverage: float = 0.5
    max_sheet: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self, {"band": text, "extended_only": flag, "max_sheet": whole_number,
                            "min_coverage": real_number, "radii": numbers})
        for name in ("min_magnitude", "max_magnitude"):
            if getattr(self, name) is not None:
                finite_number(getattr(self, name), name)
        if not self.radii or min(self.radii) == 0:
            raise ValueError(f"radii must be at least one positive number of arcsec, got {self.radii!r}")
        if not 0 <= self.min_coverage <= 1:
            raise ValueError(f"min_coverage must be between 0 and 1, got {self.min_coverage!r}")


def check_translation(translator, config):
    """Raise an error if the translator cannot do what the configuration says."""
    if not isinstance(translator, Translator):
        raise TypeError(f"translator must be a Translator, got {type(translator).__name__}")
    translator.resolve_sampling(Sampling(config.n_samples, config.seed, config.n_steps))
    translator.check_allow_missing(config.allow_missing)
    translator.check_target_psf(config.target_psf)
    translator.observing_arrays(1, psf_fwhm=config.psf_fwhm, target_psf_fwhm=config.target_psf)


def translation_keywords(translator, config, galaxies):
    """Return the keywords for the translation of galaxies with the given numbers."""
    numbers = list(galaxies) if translator.network.generative else None
    sampling = Sampling(config.n_samples, config.seed, config.n_steps, numbers)
    given = {name: getattr(config, name) for name in ("psf_fwhm", "target_psf") if getattr(config, name) is not None}
    return {"sampling": sampling, "allow_missing": config.allow_missing, **given}
