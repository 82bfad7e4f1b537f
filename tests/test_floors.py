"""Imports only go down the layers of the package, and each module can be imported alone."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = "astro_galtrans"
ROOT = Path(importlib.util.find_spec(PACKAGE).origin).parent
FLOORS = [
    {"exceptions"},
    {"_utils"},
    {"surveys"},
    {"images", "spectra"},
    {"storage"},
    {"pairs", "gradients", "archives"},
    {"simulation"},
    {"backbones"},
    {"objectives"},
    {"translation", "photoz"},
    {"training"},
    {"evaluation"},
    {"field"},
    {"demo"},
    {"cli"},
    {"__main__"},
]
FLOOR_OF = {part: floor for floor, parts in enumerate(FLOORS) for part in parts}
# Libraries that only some parts may import, wherever in a module the import stands.
ONLY_IN = {
    "torch": {
        "_utils", "backbones", "objectives", "translation", "photoz", "storage", "training", "evaluation", "cli",
    },
    "lightning": {"_utils", "storage"},
    "nflows": {"objectives"},
    "monai": {"backbones"},
    "galsim": {"simulation"},
    "zarr": {"pairs"},
    "asdf": {"_utils", "storage", "surveys"},
    "astroquery": {"archives"},
    "pyvo": {"archives"},
    "jinja2": {"evaluation"},
    "sklearn": {"evaluation"},
}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join([PACKAGE, *(parts[:-1] if parts[-1] == "__init__" else parts)])


def modules():
    return {module_name(path): path for path in sorted(ROOT.rglob("*.py")) if "tests" not in path.parts}


def imports(path, name):
    """Every module a file imports, also inside functions: ``(line, full name)``."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(), filename=str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parent, *filter(None, [base])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield node.lineno, full if full in MODULES else base


MODULES = modules()


def part(name):
    """The subpackage or top-level module of a module; empty for the package itself."""
    return name.split(".")[1] if "." in name else ""


def test_floors_are_those_of_the_parts():
    assert {part(name) for name in MODULES} - {""} == set(FLOOR_OF)


def test_imports_go_down():
    wrong = [
        f"{name}, line {line}: {target}" for name, path in MODULES.items() for line, target in imports(path, name)
        if target.split(".")[0] == PACKAGE and part(name) and part(target) not in ("", part(name))
        and FLOOR_OF[part(target)] >= FLOOR_OF[part(name)]
    ]
    assert not wrong, "imports from the same floor or above:\n" + "\n".join(wrong)


def test_nothing_imports_the_names_of_the_top_level():
    """Its lazy names would lead from any layer to the ones above."""
    wrong = [
        f"{name}, line {node.lineno}: {alias.name}" for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == PACKAGE and not node.level
        for alias in node.names if alias.name != "__version__" and f"{PACKAGE}.{alias.name}" not in MODULES
    ]
    assert not wrong, "\n".join(wrong)


def test_heavy_libraries_stay_where_they_belong():
    wrong = [
        f"{name}, line {line}: {target}" for name, path in MODULES.items() for line, target in imports(path, name)
        if part(name) not in ONLY_IN.get(target.split(".")[0], {part(name)})
    ]
    assert not wrong, "\n".join(wrong)


def test_flow_library_has_one_importer():
    importers = [
        name for name, path in MODULES.items()
        if any(target.split(".")[0] == "nflows" for _, target in imports(path, name))
    ]
    assert importers == [f"{PACKAGE}.objectives.flow"]


def circle_within(own):
    """The first chain of imports in a subpackage, also those in functions, that returns to its start, or None."""
    arrows = {
        name: sorted({target for _, target in imports(path, name) if part(target) == own and target != name})
        for name, path in MODULES.items() if part(name) == own
    }
    done = set()

    def walk(name, chain):
        if name in chain:
            return [*chain[chain.index(name):], name]
        if name in done:
            return None
        found = next(filter(None, (walk(target, [*chain, name]) for target in arrows.get(name, ()))), None)
        done.add(name)
        return found

    return next(filter(None, (walk(name, []) for name in arrows)), None)


def test_no_import_circle():
    found = {own: circle_within(own) for own in sorted({part(name) for name in MODULES} - {""})}
    found = {own: circle for own, circle in found.items() if circle}
    assert not found, "\n".join(" -> ".join(circle) for circle in found.values())


def run(code, *arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment)


IMPORT_EACH = """
import importlib, os, sys
for library in ("torch", "lightning", "monai", "nflows.transforms", "zarr", "galsim", "photutils.segmentation",
                "astropy.table", "astropy.wcs", "astropy.nddata", "astropy.coordinates", "specutils", "reproject",
                "asdf", "matplotlib.figure", "scipy.special", "scipy.ndimage", "sedpy.observate", "surveycodex",
                "speclite"):
    try:
        importlib.import_module(library)
    except ImportError:
        pass
assert not [name for name in sys.modules if name.startswith("astro_galtrans")]
for name in sys.argv[1:]:
    if os.fork() == 0:
        try:
            importlib.import_module(name)
        except BaseException as error:
            print(name, repr(error), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_each_module_imports_alone():
    """Each in a process of its own, branched off one that has the libraries but nothing of this package."""
    done = run(IMPORT_EACH, *(name for name in MODULES if part(name) != "__main__"))
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize("code", [
    "import astro_galtrans", "import astro_galtrans.storage", "import astro_galtrans.storage.extension",
    "import astro_galtrans.surveys", "import astro_galtrans.images", "import astro_galtrans.cli",
])
def test_light_parts_import_nothing_heavy(code):
    heavy = {"torch", "lightning", "nflows", "monai", "galsim"}
    done = run(f"{code}\nimport sys\nprint(sorted({heavy} & set(sys.modules)))")
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_a_shipped_translator_loads_only_what_it_needs():
    heavy = {"scipy.stats", "lightning", "monai", "galsim", "photutils", "specutils", "matplotlib", "zarr"}
    code = "import sys, astro_galtrans\nastro_galtrans.load('sdss-to-cfhtls')\n"
    done = run(f"{code}print(sorted({heavy} & set(sys.modules)))")
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_parts_import_without_the_extras():
    names = sorted({f"{PACKAGE}.{part(name)}" for name in MODULES if part(name) not in ("", "__main__")})
    missing = "import sys; sys.modules.update(galsim=None, jinja2=None, monai=None, sklearn=None, statmorph=None)\n"
    done = run(missing + "\n".join(f"import {name}" for name in names))
    assert done.returncode == 0, done.stderr[-800:]
