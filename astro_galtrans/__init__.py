"""Translate multi-band galaxy images between surveys without losing the physics in them.

The main names of the package, each loaded with its subpackage when it is first used::

    import astro_galtrans as gt
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError as _NotFound
from importlib.metadata import version as _version
from typing import TYPE_CHECKING

try:
    __version__ = _version("astro_galtrans")
except _NotFound:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = [
    "BandCube", "PairSet", "RedshiftPDF", "TrainConfig", "Translator", "__version__", "distribution_metrics",
    "evaluate", "fit", "get_survey", "load", "match_pairs", "point_metrics", "read_cube", "register_survey", "save",
    "sed_gradients", "simulate_pairs", "split_bands", "stack_bands",
]

if TYPE_CHECKING:
    from astro_galtrans.evaluation import evaluate
    from astro_galtrans.gradients import sed_gradients
    from astro_galtrans.images import BandCube, read_cube, split_bands, stack_bands
    from astro_galtrans.pairs import PairSet, match_pairs
    from astro_galtrans.photoz import RedshiftPDF, distribution_metrics, point_metrics
    from astro_galtrans.simulation import simulate_pairs
    from astro_galtrans.storage import load, save
    from astro_galtrans.surveys import get_survey, register_survey
    from astro_galtrans.training import TrainConfig, fit
    from astro_galtrans.translation import Translator
else:
    _NAMES_OF = {
        "evaluation": ("evaluate",),
        "gradients": ("sed_gradients",),
        "images": ("BandCube", "read_cube", "split_bands", "stack_bands"),
        "pairs": ("PairSet", "match_pairs"),
        "photoz": ("RedshiftPDF", "distribution_metrics", "point_metrics"),
        "simulation": ("simulate_pairs",),
        "storage": ("load", "save"),
        "surveys": ("get_survey", "register_survey"),
        "training": ("TrainConfig", "fit"),
        "translation": ("Translator",),
    }
    _SUBPACKAGE_OF = {name: subpackage for subpackage, names in _NAMES_OF.items() for name in names}

    def __getattr__(name):
        if name not in _SUBPACKAGE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_SUBPACKAGE_OF[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
