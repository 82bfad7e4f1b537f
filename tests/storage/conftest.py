import sys
from types import ModuleType

import asdf
import numpy as np
import pytest
from astropy.table import Table

from astro_galtrans.storage import extension
from astro_galtrans.surveys import get_survey


def _stand_in(name):
    """A light class with the tree interface of the translator and the estimator."""

    class StandIn:
        def __init__(self, tree):
            self.tree = tree

        def to_tree(self):
            return self.tree

        @classmethod
        def from_tree(cls, tree):
            return cls(tree)

    StandIn.__name__ = StandIn.__qualname__ = name
    return StandIn


@pytest.fixture
def stand_in(monkeypatch):
    """Put a light stand-in in the place of a class that storage knows; returns the stand-in."""

    def replace(path):
        module, _, name = path.rpartition(".")
        kind = _stand_in(name)
        kind.__module__ = module
        holder = ModuleType(module)
        setattr(holder, name, kind)
        monkeypatch.setitem(sys.modules, module, holder)
        return kind

    # ASDF resolves the name of a type once for each extension object.
    with asdf.config_context() as config:
        (ours,) = extension.get_extensions()
        config.remove_extension(ours.extension_uri)
        config.add_extension(ours)
        yield replace


@pytest.fixture
def state():
    """A tree as a translator gives it, with each kind of content."""
    rng = np.random.default_rng(5)
    return {
        "name": "small",
        "network": {
            "options": {"backbone": "unet", "widths": (8, 16), "residual": True, "dropout": None, "slope": 1e-05},
            "weights": {
                "first.weight": rng.normal(size=(4, 3, 3, 3)).astype(np.float32),
                "first.bias": rng.normal(size=4).astype(np.float16),
                "steps": np.array(7, dtype=np.int64),
                "used": np.array([True, False]),
                "empty": np.zeros((0, 3), np.float32),
                "transposed": np.asfortranarray(rng.normal(size=(3, 5))),
                "strided": rng.normal(size=20)[::2],
            },
        },
        "input_survey": get_survey("SDSS").select("gri"),
        "target_survey": get_survey("CFHTLS"),
        "provenance": {"seed": 2**40, "versions": {"torch": "2.13.0"}, "limits": [float("-inf"), float("nan")]},
        "history": Table({"epoch": [0, 1], "loss": [0.5, np.nan], "note": ["a", "bc"]}),
    }
