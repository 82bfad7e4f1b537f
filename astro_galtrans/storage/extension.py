"""The entry points through which ASDF finds the schemas, the manifest and the converters of this package."""

from importlib.resources import files

from asdf.extension import ManifestExtension
from asdf.resource import DirectoryResourceMapping

from astro_galtrans.storage._converters import CONVERTERS

__all__ = ["AUTHORITY", "MANIFEST_URI", "get_extensions", "get_resource_mappings"]

AUTHORITY = "asdf://astro-galtrans.org"
MANIFEST_URI = f"{AUTHORITY}/manifests/galtrans-1.0.0"


def get_resource_mappings():
    """Where ASDF reads our schemas and manifest.

    Returns
    -------
    list of collections.abc.Mapping
        From URI to content.
    """
    root = files("astro_galtrans.storage") / "resources"
    return [DirectoryResourceMapping(root / kind, f"{AUTHORITY}/{kind}/") for kind in ("schemas", "manifests")]


def get_extensions():
    """The ASDF extension of this package.

    ASDF calls this in the session of every user who opens any file, so nothing behind it imports torch, and the
    converters name their types as strings.

    Returns
    -------
    list of asdf.extension.Extension
    """
    return [ManifestExtension.from_uri(MANIFEST_URI, converters=CONVERTERS)]
