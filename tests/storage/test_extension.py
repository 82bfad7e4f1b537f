import subprocess
import sys
from importlib.resources import files

import asdf
import pytest
import yaml

from astro_galtrans.storage import extension
from astro_galtrans.storage._converters import CONVERTERS, KEYS

ROOT = files("astro_galtrans.storage") / "resources"
SCHEMAS = sorted((ROOT / "schemas").iterdir())
MANIFEST = yaml.safe_load((ROOT / "manifests" / "galtrans-1.0.0.yaml").read_text())
OPTIONAL = {"survey-1.0.0.yaml": {"keywords"}}
TAGS = {entry["tag_uri"]: entry["schema_uri"] for entry in MANIFEST["tags"]}


def test_manifest_id_is_its_uri():
    assert MANIFEST["id"] == extension.MANIFEST_URI
    (mapping,) = [m for m in extension.get_resource_mappings() if extension.MANIFEST_URI in m]
    assert yaml.safe_load(mapping[extension.MANIFEST_URI])["id"] == extension.MANIFEST_URI


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_schema_id_is_its_uri_and_it_is_a_schema(path):
    schema = yaml.safe_load(path.read_text())
    assert schema["id"] == f"{extension.AUTHORITY}/schemas/{path.name.removesuffix('.yaml')}"
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) | OPTIONAL.get(path.name, set()) == set(schema["properties"])
    asdf.schema.check_schema(asdf.schema.load_schema(schema["id"], resolve_references=True))


def test_every_tag_has_a_converter_and_a_schema_and_the_reverse():
    assert sorted(TAGS) == sorted(tag for converter in CONVERTERS for tag in converter.tags)
    assert sorted(TAGS.values()) == [f"{extension.AUTHORITY}/schemas/{path.name[:-5]}" for path in SCHEMAS]


def test_extension_is_registered():
    manager = asdf.AsdfFile().extension_manager
    assert all(manager.handles_tag(tag) for tag in TAGS)


@pytest.mark.parametrize("path", KEYS)
def test_type_exists_where_its_converter_looks(path):
    module, _, name = path.rpartition(".")
    kind = getattr(pytest.importorskip(module), name)
    assert asdf.AsdfFile().extension_manager.handles_type(kind)


def test_documentation_lists_every_tag(request):
    page = request.config.rootpath / "docs" / "storage.rst"
    if not page.exists():
        pytest.skip("the documentation is not part of this checkout")
    text = page.read_text()
    assert all(f"``{tag.removeprefix(extension.AUTHORITY)}``" in text for tag in TAGS)


def test_files_of_others_open_without_our_heavy_imports(tmp_path):
    asdf.AsdfFile({"answer": 42}).write_to(tmp_path / "other.asdf")
    code = (
        "import sys, asdf\n"
        f"with asdf.open({str(tmp_path / 'other.asdf')!r}) as file:\n"
        "    assert file['answer'] == 42\n"
        "heavy = {'torch', 'lightning', 'nflows', 'monai', 'zarr'} & set(sys.modules)\n"
        "sys.exit(f'imported {sorted(heavy)}' if heavy or 'astro_galtrans.storage' not in sys.modules else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "astro_galtrans" not in done.stderr  # where ASDF says that a plugin could not be loaded
