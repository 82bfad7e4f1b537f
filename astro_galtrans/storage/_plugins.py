"""Load only the plugins of ASDF that a file needs, not those of all installed packages.

All of them take two seconds of CPU at the first file: specutils requires ndcube, whose plugin imports matplotlib, and
asdf-astropy parses the 40 manifests of its history. There is no public way to choose plugins. If ASDF renames the two
attributes that are set here, it loads all of them again.
"""

from functools import cache
from importlib.metadata import entry_points

from asdf.extension import ExtensionProxy, ManifestExtension
from asdf.resource import ResourceMappingProxy

__all__ = ["use_needed_plugins"]

# Packages whose extensions write what this package stores, and all that have their schemas and manifests.
_WRITERS = {"asdf", "asdf-astropy", "astro_galtrans"}
_SCHEMAS = {*_WRITERS, "asdf_standard", "asdf_transform_schemas", "asdf_coordinates_schemas"}
# The tags of asdf-astropy in the file of a translator, without their versions.
_ASTROPY_TAGS = {"tag:stsci.edu:asdf/unit/quantity", "tag:stsci.edu:asdf/unit/unit",
                 "tag:astropy.org:astropy/units/unit", "tag:astropy.org:astropy/table/table",
                 "tag:stsci.edu:asdf/table/column"}
_PLAIN_TAGS = ("tag:stsci.edu:asdf/core/", "asdf://astro-galtrans.org/tags/")


def use_needed_plugins(config, tree):
    """Restrict the configuration of an `asdf.config_context` to the plugins that a file needs, if these are known.

    The history in the tagged tree of the file names packages and extensions.
    """
    used = [(_part(entry, "software", "name"), _part(entry, "extension_uri"))
            for entry in _part(tree, "history", "extensions") or ()]
    packages = {package for package, _ in used}
    if not packages or not packages <= _WRITERS or _is_loaded(config):
        return
    config._resource_mappings = list(_resource_mappings())
    manifests = tuple(str(uri).replace("/extensions/", "/manifests/")
                      for package, uri in used if package == "asdf-astropy")
    plain = all(tag.rpartition("-")[0] in _ASTROPY_TAGS or tag.startswith(_PLAIN_TAGS) for tag in _tags(tree))
    if not plain or any(uri not in config.resource_manager for uri in manifests):
        manifests = None
    config._extensions = list(_extensions(manifests))


def _is_loaded(config):
    """Return whether ASDF has loaded its plugins, or the user has chosen them."""
    return getattr(config, "_extensions", None) is not None or getattr(config, "_resource_mappings", None) is not None


def _part(node, *keys):
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    return node


def _tags(node):
    tag = getattr(node, "_tag", None)
    if tag is not None:
        yield str(tag)
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _tags(child)


def _points(group, packages):
    """Return the entry points of some packages, those of asdf last, so that others precede them as in ASDF."""
    wanted = {name.replace("_", "-") for name in packages}
    # By name, because Python 3.11 lists an entry point once for each folder in which it finds the package.
    points = {point.name: point for point in entry_points(group=group) if point.dist.name.replace("_", "-") in wanted}
    return sorted(points.values(), key=lambda point: (point.dist.name == "asdf", point.dist.name))


def _proxies(proxy, point, elements):
    return [proxy(element, package_name=point.dist.name, package_version=point.dist.version) for element in elements]


@cache
def _resource_mappings():
    return tuple(proxy for point in _points("asdf.resource_mappings", _SCHEMAS)
                 for proxy in _proxies(ResourceMappingProxy, point, point.load()()))


@cache
def _extensions(manifests):
    """Return all extensions of the writers; of asdf-astropy those of the manifests only, if there are any."""
    found = []
    for point in _points("asdf.extensions", _WRITERS):
        if point.dist.name.replace("_", "-") == "asdf-astropy" and manifests is not None:
            elements = _astropy_extensions(manifests)
        else:
            elements = point.load()()
        found += _proxies(ExtensionProxy, point, elements)
    return tuple(found)


def _astropy_extensions(manifests):
    from asdf_astropy.converters.table.table import AstropyTableConverter, ColumnConverter
    from asdf_astropy.converters.unit.quantity import QuantityConverter
    from asdf_astropy.converters.unit.unit import UnitConverter

    converters = [AstropyTableConverter(), ColumnConverter(), QuantityConverter(), UnitConverter()]
    return [ManifestExtension.from_uri(uri, converters=converters) for uri in manifests]
