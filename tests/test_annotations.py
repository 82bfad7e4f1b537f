"""Everything that users call says which types it takes and returns; ``tox -e types`` checks that it is true."""

import importlib
import inspect

import pytest

SUBPACKAGES = (
    "surveys", "images", "spectra", "pairs", "gradients", "simulation", "translation", "photoz", "storage", "training",
    "evaluation", "field", "archives",
)
SPECIAL = ("__init__", "__call__", "__getitem__", "__len__")


def members(cls):
    """Methods and properties of a class and of its bases in this package."""
    for base in cls.__mro__:
        if not base.__module__.startswith("astro_galtrans."):
            continue
        for name, member in vars(base).items():
            if name.startswith("_") and name not in SPECIAL:
                continue
            member = getattr(member, "fget", getattr(member, "__func__", member))
            if inspect.isfunction(member) and member.__module__.startswith("astro_galtrans."):
                yield f"{base.__name__}.{name}", member


def without_annotation(name, function):
    signature = inspect.signature(function)
    lacking = [parameter.name for parameter in signature.parameters.values()
               if parameter.annotation is inspect.Parameter.empty and parameter.name not in ("self", "cls")]
    if signature.return_annotation is inspect.Signature.empty:
        lacking.append("return")
    return [f"{name}: {part}" for part in lacking]


@pytest.mark.parametrize("subpackage", SUBPACKAGES)
def test_public_names_are_annotated(subpackage):
    if subpackage == "simulation":
        pytest.importorskip("galsim")
    module = importlib.import_module(f"astro_galtrans.{subpackage}")
    lacking = []
    for name in module.__all__:
        thing = getattr(module, name)
        functions = members(thing) if inspect.isclass(thing) else [(name, thing)] if inspect.isfunction(thing) else []
        for qualified, function in functions:
            lacking += without_annotation(qualified, function)
    assert not lacking
