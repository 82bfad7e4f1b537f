"""Scripts of ``benchmarks`` and ``examples``: public names only, which exist, and each benchmark can be imported."""

import ast
import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from astro_galtrans.backbones import contract

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))
SCRIPTS = sorted([*(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "examples").rglob("*.py")])


def private_names(tree):
    """Names of ``astro_galtrans`` that a module imports, or takes from what it imported, and that start with _."""
    imported, found = set(), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [(alias.name, alias.asname or alias.name.partition(".")[0]) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [(f"{node.module}.{alias.name}", alias.asname or alias.name) for alias in node.names]
        else:
            continue
        for name, local in names:
            parts = name.split(".")
            if parts[0] == "astro_galtrans":
                imported.add(local)
                if any(_private(part) for part in parts):
                    found.append(name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _private(node.attr):
            value = node.value
            while isinstance(value, ast.Attribute):
                value = value.value
            if isinstance(value, ast.Name) and value.id in imported:
                found.append(ast.unparse(node))
    return found


def _private(name):
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize("code, expected", [
    ("from astro_galtrans.training._build import build_module", ["astro_galtrans.training._build.build_module"]),
    ("from astro_galtrans.translation import _translator", ["astro_galtrans.translation._translator"]),
    ("import astro_galtrans.pairs._match as match", ["astro_galtrans.pairs._match"]),
    ("def f():\n    import astro_galtrans as gt\n    gt.pairs._match.run()", ["gt.pairs._match"]),
    ("import numpy as np\nfrom astro_galtrans import __version__\nnp._private()\nself._own()", []),
])
def test_private_names_are_found(code, expected):
    assert private_names(ast.parse(code)) == expected


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_scripts_use_public_names_only(path):
    assert private_names(ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imported_names_exist(path):
    """Running the examples, which the build of the documentation does, would take minutes."""
    missing = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "astro_galtrans":
            if node.module == "astro_galtrans.simulation":
                pytest.importorskip("galsim")
            module = importlib.import_module(node.module)
            missing += [f"{node.module}.{alias.name}" for alias in node.names if not hasattr(module, alias.name)]
    assert missing == []


def test_headline_command_starts():
    pytest.importorskip("matplotlib")
    command = [sys.executable, str(ROOT / "benchmarks" / "headline"), "--scale", "tiny", "--out", "none", "--list"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "unet/conventional/seed0" in done.stdout, done.stderr


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_benchmarks_can_be_imported(path, monkeypatch):
    for module in ("galsim", "matplotlib", "monai", "sklearn"):
        pytest.importorskip(module)
    monkeypatch.setattr(contract, "_registry", dict(contract._registry))  # some register backbones of their own
    monkeypatch.syspath_prepend(path.parent)
    before = set(sys.modules)
    try:
        spec = importlib.util.spec_from_file_location(f"benchmark_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        for name in set(sys.modules) - before:
            if name in {other.stem for other in BENCHMARKS}:
                del sys.modules[name]
    assert callable(module.main) if "__main__" in path.read_text(encoding="utf-8") else module.__doc__
