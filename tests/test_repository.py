"""The files of the repository agree with each other: news fragments, the workflow and the environments of tox."""

import configparser
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


def test_news_fragments_have_a_kind_that_towncrier_knows():
    with open(ROOT / "pyproject.toml", "rb") as stream:
        kinds = {kind["directory"] for kind in tomllib.load(stream)["tool"]["towncrier"]["type"]}
    names = [path.name for path in (ROOT / "docs" / "changes").iterdir() if path.name != "README.md"]
    pattern = re.compile(rf"(\d+|\+[\w-]+)\.({'|'.join(kinds)})(\.\d+)?\.rst")
    assert [name for name in names if not pattern.fullmatch(name)] == []


def test_workflow_runs_environments_that_tox_has():
    path = ROOT / ".github" / "workflows" / "tests.yml"
    if not path.is_file():
        pytest.skip("the sdist has no workflow")
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    named = {step["run"].partition("tox -e ")[2] for job in jobs.values() for step in job["steps"] if "run" in step}
    named |= set(jobs["checks"]["strategy"]["matrix"]["environment"])
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    known = set(re.findall(r"[\w-]+", tox["tox"]["env_list"]))
    assert {name for name in named if name and "{" not in name} <= known
    matrix = jobs["tests"]["strategy"]["matrix"]
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos"} and len(matrix["python"]) == 3
