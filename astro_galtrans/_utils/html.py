"""HTML that notebooks show for an object: escaped text, tables, and images inside the page."""

import base64
import math
import struct
import zlib
from html import escape

import numpy as np

__all__ = ["details", "heading", "image", "png", "row", "table", "thumbnail"]

_CELL = "text-align:left;padding:1px 10px 1px 0;vertical-align:top;border:none;background:none"


def png(pixels):
    """Return the bytes of a PNG file of an image, uint8 of shape ``(y, x, 3)`` with the first row at the bottom."""
    pixels = np.ascontiguousarray(pixels[::-1], dtype=np.uint8)
    height, width = pixels.shape[:2]
    lines = np.zeros((height, 1 + 3 * width), np.uint8)  # each line begins with the number of its filter, none
    lines[:, 1:] = pixels.reshape(height, -1)
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
              (b"IDAT", zlib.compress(lines.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks)


def image(pixels, title="", height=160):
    """Return an ``img`` element that contains the image."""
    source = base64.b64encode(png(pixels)).decode()
    return (f'<img src="data:image/png;base64,{source}" alt="{escape(title)}" title="{escape(title)}" '
            f'style="height:{int(height)}px;width:auto;margin:2px 6px 2px 0;image-rendering:pixelated">')


def thumbnail(cube, height=160, title=""):
    """Return an ``img`` element of a `~astro_galtrans.images.BandCube`, or an empty text where none can be drawn."""
    step = math.ceil(max(cube.shape[1:]) / 256)
    try:
        pixels = cube.color_image(step=step)
    except ImportError:  # an astropy that needs matplotlib for color images
        return ""
    return image(pixels, title or "color image", height)


def heading(kind, text):
    """Return the first line: the class and a short description."""
    return f"<div><b>{escape(str(kind))}</b> {escape(str(text))}</div>"


def table(rows, header=None):
    """Return a table of texts, each of which is escaped."""
    head = "" if header is None else "<tr>{}</tr>".format(
        "".join(f'<th style="{_CELL}">{escape(str(text))}</th>' for text in header))
    body = "".join("<tr>{}</tr>".format("".join(f'<td style="{_CELL}">{escape(str(text))}</td>' for text in one))
                   for one in rows)
    return f'<table style="border:none;margin:2px 0">{head}{body}</table>'


def details(summary, text):
    """Return a folded text."""
    return f"<details><summary>{escape(summary)}</summary><pre>{escape(text)}</pre></details>"


def row(*parts):
    """Return elements side by side."""
    inside = "".join(f"<div>{part}</div>" for part in parts if part)
    return f'<div style="display:flex;flex-wrap:wrap;gap:14px;align-items:flex-start">{inside}</div>'
