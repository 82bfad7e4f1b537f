"""The page on storage names the tags of the manifest."""

import re
from pathlib import Path

import pytest

from astro_galtrans.storage import extension

PAGE = Path(__file__).parents[2] / "docs" / "storage.rst"


@pytest.mark.skipif(not PAGE.exists(), reason="the pages of the documentation are not beside the tests")
def test_page_has_every_tag_and_no_other():
    page = set(re.findall(r"``/tags/([a-z_]+-[0-9.]+)``", PAGE.read_text()))
    (mapping,) = [m for m in extension.get_resource_mappings() if extension.MANIFEST_URI in m]
    found = rb"tag_uri: asdf://astro-galtrans.org/tags/([a-z_]+-[0-9.]+)"
    manifest = set(re.findall(found, mapping[extension.MANIFEST_URI]))
    assert page == {tag.decode() for tag in manifest}
