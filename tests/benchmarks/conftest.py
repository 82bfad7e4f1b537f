"""The scripts of ``benchmarks/headline`` as the package ``headline``, imported by their path."""

import importlib.util
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "headline"

if not FOLDER.is_dir() or importlib.util.find_spec("matplotlib") is None:
    collect_ignore_glob = ["test_headline_*.py"]
elif "headline" not in sys.modules:
    spec = importlib.util.spec_from_file_location("headline", FOLDER / "__init__.py",
                                                  submodule_search_locations=[str(FOLDER)])
    sys.modules["headline"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["headline"])
