"""Telling a file of a newer version of this package from one that can be read."""

from astro_galtrans.exceptions import FileFormatError
from astro_galtrans.storage._converters import TAG_BASE, TAGS

__all__ = ["refuse_newer_tags"]


def refuse_newer_tags(path, node):
    """Raise if a tagged tree holds a tag of this package that it does not know.

    ASDF itself would warn and hand back a bare dict.

    Parameters
    ----------
    path : str or path-like
        The file, for the message.
    node : object
        Tagged tree, as ``asdf.util.load_yaml(path, tagged=True)`` returns it.

    Raises
    ------
    FileFormatError
        With the advice to upgrade.
    """
    tag = str(getattr(node, "_tag", None) or "")
    if tag.startswith(TAG_BASE) and tag not in TAGS:
        kind, _, version = tag.removeprefix(TAG_BASE).rpartition("-")
        known = [known.rpartition("-")[2] for known in TAGS if known.startswith(f"{TAG_BASE}{kind}-")]
        raise FileFormatError(
            f"{path} holds a {kind} of format version {version}, and this astro_galtrans "
            f"{'knows version ' + ', '.join(known) if known else 'does not know this kind'}; "
            "upgrade astro_galtrans to read it"
        )
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        refuse_newer_tags(path, child)
