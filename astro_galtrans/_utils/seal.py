"""Checksum at the end of an ASDF file: a comment, which ASDF does not read and leaves out when it writes."""

import hashlib
import os

from astro_galtrans.exceptions import FileFormatError

__all__ = ["check_seal", "end_of_content", "write_seal"]

_WORD = b"#ASTRO_GALTRANS_SHA256 "
_LENGTH = len(_WORD) + 64 + 1
_PIECE = 2**20


def write_seal(path):
    """Append the SHA-256 of a file to it."""
    with open(path, "r+b") as stream:
        digest = _digest(stream, os.fstat(stream.fileno()).st_size)
        stream.seek(0, os.SEEK_END)
        stream.write(_WORD + digest + b"\n")


def end_of_content(stream):
    """Return the number of bytes before the checksum, and the checksum or None."""
    size = os.fstat(stream.fileno()).st_size
    stream.seek(max(0, size - _LENGTH))
    last = stream.read()
    if last.startswith(_WORD) and last.endswith(b"\n"):
        return size - _LENGTH, last[len(_WORD):-1]
    return size, None


def check_seal(stream, name):
    """Raise FileFormatError if a file has a checksum, and it is that of another content."""
    end, stored = end_of_content(stream)
    if stored is not None and _digest(stream, end) != stored:
        raise FileFormatError(f"{name} was altered after it was written: it does not have its SHA-256")


def _digest(stream, end):
    sha = hashlib.sha256()
    stream.seek(0)
    for start in range(0, end, _PIECE):
        sha.update(stream.read(min(_PIECE, end - start)))
    return sha.hexdigest().encode()
