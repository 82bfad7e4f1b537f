"""The entry points through which ASDF finds the schemas, the manifest and the converters of this package."""

from importlib.resources import files

from asdf.extension import ManifestExtension
from asdf.resource import DirectoryResourceMapping

from astro_galtrans.storage._converters import CONVERTERS

__all__ = ["AUTHORITY", "MANIFEST_URI", "get_extensions", "get_resource_mappings"]

AUTHORITY = "asdf://astro-galtrans.org"
MANIFEST_URI = f"{AUTHORITY}/manifests/galtrans-1.0.0"


def get_resource_mappings():
    """Return mappings from URI to content for the schemas and the manifest."""
    root = files("astro_galtrans.storage") / "resources"
    return [DirectoryResourceMapping(root / kind, f"{AUTHORITY}/{kind}/") for kind in ("schemas", "manifests")]


def get_extensions():
    """Return a list of the one ASDF extension of this package.

    ASDF calls this in every session that opens a file, so no module that it needs imports torch.
    """
    return [ManifestExtension.from_uri(MANIFEST_URI, converters=CONVERTERS)]
