"""Bounds on what a file may make its reader allocate, checked before it is read."""

import bz2
import gzip
import io
import lzma
import os
import re
import struct
from importlib.util import find_spec

from astro_galtrans._utils.seal import check_seal, end_of_content
from astro_galtrans.exceptions import FileFormatError

__all__ = ["check_axes", "check_unpacked", "check_yaml", "checked_asdf", "unpacked"]

# Text of a tree, its nested levels, and the values that its aliases may repeat.
_MAX_TEXT, _MAX_DEPTH, _MAX_REPEATED = 2**25, 100, 100_000
# Bytes that any file may unpack to, and those for each of its own bytes.
_ANY_SIZE, _RATIO = 2**28, 1000
_BLOCK = struct.Struct(">I4sQQQ16s")  # flags, compression, allocated, used and unpacked bytes, MD5
_MAGIC = b"\xd3BLK"
_STREAMED = 1
_MOST_AXES = 999  # or columns
_TREE_END = re.compile(rb"\r?\n\.\.\.(\r?\n|$)")
_ITEM = re.compile(r"(?:bool|complex|u?int|float)(\d+)")


def check_unpacked(size, packed, name):
    """Raise FileFormatError if ``packed`` bytes of a file claim to unpack to an implausible ``size``."""
    if size > _ANY_SIZE + _RATIO * packed:
        raise FileFormatError(f"{name} claims {size:,} bytes of data in {packed:,} bytes, it is damaged")


def check_axes(key, value, name):
    """Raise FileFormatError for a card of more axes or columns than FITS allows.

    wcslib would end the process, and astropy count them one by one.
    """
    counted = str(key).upper().startswith("WCSAXES") or str(key).upper() in ("NAXIS", "TFIELDS")
    if counted and not (isinstance(value, int) and 0 <= value <= _MOST_AXES):
        raise FileFormatError(f"{name} has a header with {key} = {value!r}")


def unpacked(content, name):
    """Return the content of a file, decompressed if it is of gzip, bzip2 or xz."""
    for magic, opener in ((b"BZh", bz2.open), (b"\x1f\x8b", gzip.open), (b"\xfd7zXZ", lzma.open)):
        if content.startswith(magic):
            packed = content
            with opener(io.BytesIO(packed)) as stream:
                content = stream.read(_ANY_SIZE + _RATIO * len(packed) + 1)
            check_unpacked(len(content), len(packed), name)
    return content


def check_yaml(text, name):
    """Raise FileFormatError for YAML that is too long, too deep, or repeats too much through its aliases.

    Parameters
    ----------
    text : str or bytes
    name : str
        Of the file, for messages.
    """
    import yaml

    if len(text) > _MAX_TEXT:
        raise FileFormatError(f"{name} has a tree of more than {_MAX_TEXT:,} bytes")
    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    sizes, repeated, stack = {}, 0, []
    try:
        for event in yaml.parse(text, Loader=loader):
            if isinstance(event, yaml.CollectionStartEvent):
                stack.append([event.anchor, 0])
                if len(stack) > _MAX_DEPTH:
                    raise FileFormatError(f"{name} has a tree of more than {_MAX_DEPTH} levels")
                continue
            if isinstance(event, yaml.AliasEvent):
                if event.anchor not in sizes:
                    raise FileFormatError(f"{name} has an alias {event.anchor!r} of no earlier value, or of itself")
                size = sizes[event.anchor]
                repeated += size
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor, size = stack.pop()
                size += 1
                sizes[anchor] = size
            elif isinstance(event, yaml.ScalarEvent):
                size = sizes[event.anchor] = 1
            else:
                continue
            if repeated > _MAX_REPEATED:
                raise FileFormatError(f"{name} repeats more than {_MAX_REPEATED:,} values through aliases")
            if stack:
                stack[-1][1] += size
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{name} is not a YAML file: {' '.join(str(error).split())}") from error


def checked_asdf(stream, name):
    """Return the tagged tree of an ASDF file, checked with the blocks before any of them is read.

    Parameters
    ----------
    stream : binary file
    name : str
        Of the file, for messages.

    Raises
    ------
    FileFormatError
        If the file is truncated, or does not have its checksum; if its tree is beyond the bounds of `check_yaml`; if a
        block is longer than the file, packed by a library that is not installed, or would unpack to an implausible
        size; if an array is larger than its block, or refers to another file.
    """
    import asdf

    stream.seek(0)
    content = stream.read(_MAX_TEXT + 8)
    if not content.startswith(b"#ASDF"):
        raise FileFormatError(f"{name} is " + (
            "a FITS file, not an ASDF file; images are read by read_cube, catalogs by astropy.table.Table.read"
            if content.startswith(b"SIMPLE") else "not an ASDF file"))
    tree_end = _TREE_END.search(content)
    last, _ = end_of_content(stream)
    stream.seek(max(0, last - 16))
    # The end of both the tree and the index of the blocks.
    if tree_end is None or not stream.read(last - stream.tell()).rstrip().endswith(b"..."):
        raise FileFormatError(f"{name} is truncated: its end is missing")
    check_seal(stream, name)
    text = content[:tree_end.end()]
    check_yaml(text, name)
    tree = asdf.util.load_yaml(io.BytesIO(text), tagged=True)
    _check_arrays(tree, _block_sizes(stream, tree_end.end(), name), name)
    stream.seek(0)
    return tree


def _block_sizes(stream, end, name):
    """Return the unpacked bytes of each block."""
    total = os.fstat(stream.fileno()).st_size
    stream.seek(end)
    # Blocks may follow padding.
    place = end
    for piece in iter(lambda: stream.read(2**20), b""):
        found = piece.find(_MAGIC[:1])
        if found >= 0:
            place += found
            break
        place += len(piece)
    sizes, all_packed, all_unpacked = [], 0, 0
    while True:
        stream.seek(place)
        head = stream.read(6 + _BLOCK.size)
        if not head.startswith(_MAGIC):
            break
        if len(head) < 6 + _BLOCK.size:
            raise FileFormatError(f"{name} is truncated: the header of a block is cut off")
        flags, kind, allocated, used, size, _ = _BLOCK.unpack(head[6:])
        start = place + 6 + struct.unpack(">H", head[4:6])[0]
        if flags & _STREAMED:
            sizes.append(total - start)
            break
        if used > allocated or start + allocated > total:
            raise FileFormatError(f"{name} is truncated or damaged: a block claims {allocated:,} bytes at {start:,}, "
                                  f"and the file has {total:,}")
        label = kind.strip(b"\0").decode("latin-1")
        if label == "lz4" and find_spec("lz4") is None:
            raise FileFormatError(f"{name} has a block compressed by lz4, which is not installed: pip install lz4")
        if not label and size != used:
            raise FileFormatError(f"{name} is damaged: a block of {used:,} bytes claims {size:,}")
        all_packed, all_unpacked = all_packed + used, all_unpacked + size
        check_unpacked(all_unpacked, all_packed, name)
        sizes.append(size)
        place = start + allocated
    return sizes


def _check_arrays(node, sizes, name):
    if isinstance(node, dict):
        if "$ref" in node:
            raise FileFormatError(f"{name} refers to another place, {node['$ref']!r}, which is not followed")
        if str(getattr(node, "_tag", "")).startswith("tag:stsci.edu:asdf/core/ndarray-"):
            _check_array(node, sizes, name)
            if isinstance(node.get("data"), list):
                return  # numbers, as long as the text
        for child in node.values():
            _check_arrays(child, sizes, name)
    elif isinstance(node, list):
        if len(node) > 1 and isinstance(node[0], str):  # a card of a header
            check_axes(node[0], node[1], name)
        for child in node:
            _check_arrays(child, sizes, name)


def _check_array(node, sizes, name):
    source, shape = node.get("source"), node.get("shape", [])
    if source is None:
        return
    if not isinstance(source, int) or not -len(sizes) <= source < len(sizes):
        raise FileFormatError(f"{name} has an array in {source!r}, and must have all in its {len(sizes)} own blocks")
    size = _item_size(node.get("datatype"))
    for side in shape if isinstance(shape, list) else [shape]:
        if side != "*":  # as many as there are
            if not isinstance(side, int) or side < 0:
                raise FileFormatError(f"{name} has an array of shape {shape!r}")
            size *= side
    if size > sizes[source]:
        raise FileFormatError(f"{name} has an array of {size:,} bytes in a block of {sizes[source]:,}")


def _item_size(datatype):
    """Return the bytes of one element of an array, 1 for a type that ASDF itself refuses."""
    if isinstance(datatype, str):
        match = _ITEM.fullmatch(datatype)
        return max(int(match[1]) // 8, 1) if match else 1
    if isinstance(datatype, dict):
        return _item_size(datatype.get("datatype")) * max(_product(datatype.get("shape", [])), 1)
    if isinstance(datatype, list) and len(datatype) == 2 and isinstance(datatype[1], int):
        return max(datatype[1], 1) * (4 if datatype[0] == "ucs4" else 1)
    return sum(map(_item_size, datatype)) if isinstance(datatype, list) else 1


def _product(shape):
    size = 1
    for side in shape if isinstance(shape, list) else []:
        size *= side if isinstance(side, int) else 1
    return size
