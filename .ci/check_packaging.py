"""Build the wheel and the sdist, look into both, and install every extra alone beside the wheel."""

import email
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

IN_SDIST = ("LICENSE.rst", "README.rst", "CHANGES.rst", "CITATION.cff", "CONTRIBUTING.rst", "CODE_OF_CONDUCT.rst",
            "pyproject.toml", "setup.cfg", "tox.ini", "conftest.py", "tests/test_floors.py",
            "docs/conf.py", "docs/index.rst", "astro_galtrans/py.typed")
IN_WHEEL = ("astro_galtrans/py.typed", "astro_galtrans/data/sdss-to-cfhtls.asdf",
            "astro_galtrans/surveys/descriptions/kids.yaml", "astro_galtrans/simulation/observed_galaxies.ecsv",
            "astro_galtrans/storage/resources/manifests/galtrans-1.0.0.yaml")
# What each extra brings, and a statement with which the package uses it.
PROMISES = {
    "simulation": ("galsim, kcorrect", "from astro_galtrans.simulation import simulate_pairs; "
                                       "simulate_pairs(1, seed=0, input_size=16, workers=1)"),
    "report": ("matplotlib, jinja2", "import astro_galtrans.evaluation"),
    "morphology": ("statmorph", "import astro_galtrans.evaluation"),
    "populations": ("sklearn", "import astro_galtrans.evaluation"),
    "backbones": ("monai, einops", "from astro_galtrans.backbones import backbone_class; backbone_class('swin')"),
    "tables": ("h5py, pyarrow", "import astro_galtrans.photoz"),
    "archives": ("astroquery, pyvo", "import astro_galtrans.archives"),
    "completion": ("shtab", "import astro_galtrans.cli"),
    "qp": ("qp", "from astro_galtrans.photoz import RedshiftPDF; "
                 "RedshiftPDF([0, 1, 2], [[0, 1, 0]]).to_qp()"),
}


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, **options)


def build(root, out):
    run(sys.executable, "-m", "build", "--outdir", out, root, stdout=subprocess.DEVNULL)
    run(sys.executable, "-m", "twine", "check", "--strict", *out.iterdir())
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


def lacking(wanted, names):
    return [name for name in wanted if name not in names]


def check_contents(wheel, sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    missing = lacking(IN_SDIST, names)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        folder = next(name.partition("/")[0] for name in names if ".dist-info/" in name)
        metadata = email.message_from_bytes(archive.read(f"{folder}/METADATA"))
        entries = archive.read(f"{folder}/entry_points.txt").decode()
    missing += lacking((*IN_WHEEL, f"{folder}/licenses/LICENSE.rst"), names)
    missing += [f"entry point {name}" for name in ("galtrans", "asdf.extensions", "asdf.resource_mappings")
                if name not in entries]
    stray = [name for name in names if name.split("/")[0] not in ("astro_galtrans", folder)]
    if missing or stray or metadata["License-Expression"] != "BSD-3-Clause":
        raise SystemExit(f"missing: {missing}, stray: {stray}, license: {metadata['License-Expression']}")


def environment(path, wheel=None, beside=None):
    """A virtual environment; it sees what ``beside`` has, and pip takes that for installed."""
    run(sys.executable, "-m", "venv", path)
    python = path / "bin" / "python"
    if beside is not None:
        site = next(path.glob("lib/python*/site-packages"))
        (site / "beside.pth").write_text(f"{next(beside.glob('lib/python*/site-packages'))}\n")
    if wheel is not None:
        run(python, "-m", "pip", "install", "--quiet", wheel)
    return python


def check_extras(root, wheel, folder, chosen):
    with open(root / "pyproject.toml", "rb") as stream:
        extras = tomllib.load(stream)["project"]["optional-dependencies"]
    known = set(PROMISES) | {"all", "test", "docs"}
    if set(extras) != known:
        raise SystemExit(f"pyproject.toml has extras {sorted(extras)}, this script knows {sorted(known)}")
    base = folder / "base"
    environment(base, wheel)
    for name in chosen or PROMISES:
        modules, statement = PROMISES[name]
        python = environment(folder / name, beside=base)
        run(python, "-m", "pip", "install", "--quiet", *(re.sub(r"\s", "", line) for line in extras[name]))
        run(python, "-W", "ignore", "-c", f"import {modules}\n{statement}", cwd=folder,
            env={**os.environ, "MPLBACKEND": "agg"})
        sys.stdout.write(f"extra {name}: installs alone, imports {modules}\n")
        sys.stdout.flush()


def main(root, *chosen):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel, sdist = build(root, folder / "dist")
        check_contents(wheel, sdist)
        sys.stdout.write(f"{wheel.name} and {sdist.name} are complete\n")
        sys.stdout.flush()
        if "none" not in chosen:
            check_extras(Path(root), wheel, folder, chosen)


if __name__ == "__main__":
    main(*sys.argv[1:])
