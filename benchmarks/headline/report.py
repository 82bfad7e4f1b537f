"""Tables and figures of a benchmark as one HTML file."""

import base64
import io
from html import escape

import matplotlib

from headline.data import write_text
from headline.figures import STYLE, benchmark_figures
from headline.layout import sheets
from headline.tables import benchmark_tables
from headline.words import FIGURES, SECTIONS

__all__ = ["write_benchmark_report"]

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.55 system-ui, sans-serif; color: #2a313b; max-width: 62rem; margin: 0 auto; padding: 1rem; }}
h1 {{ line-height: 1.2; }} h2 {{ margin-top: 2.5rem; }}
figure {{ margin: 1rem 0; }} img {{ max-width: 100%; height: auto; }}
figcaption, caption {{ color: #5b6470; font-size: .92rem; text-align: left; }}
.scroll {{ overflow-x: auto; margin: 1rem 0; }} table {{ border-collapse: collapse; font-size: .88rem; }}
th, td {{ padding: .3rem .6rem; border-bottom: 1px solid #e3e6ea; text-align: left; vertical-align: top; }}
td {{ white-space: nowrap; }} th {{ border-bottom: 2px solid #b9c2cd; }}
details {{ margin: 1rem 0; }} summary {{ cursor: pointer; color: #0b5394; }}
</style>
</head>
<body>
<h1>{title}</h1>
"""
# Tables with more rows are collapsed.
_LONG = 12


def write_benchmark_report(results, path, *, title="Does translation keep the redshift?", sample=None):
    """Write one self-contained HTML file with all tables and figures of a benchmark.

    Parameters
    ----------
    results : `~astropy.table.Table`
        As in `benchmark_tables`.
    path : str or path-like
        File to write.
    title : str, optional
        Heading.
    sample : str, optional
        Use only this sample.

    Raises
    ------
    ValueError
        If the sample is unknown.
    FileNotFoundError
        If the folder of ``path`` does not exist.
    """
    text, figures = sheets(benchmark_tables(results, sample)), benchmark_figures(results, sample)
    parts = [_HEAD.format(title=escape(title)), _about(results)]
    for name, heading, images, own in SECTIONS:
        shown = [_image(key, figures[key]) for key in images if key in figures]
        shown += [_table(sheet) for key in own for sheet in text[key]]
        if shown:
            parts += [f'<h2 id="{name}">{escape(heading)}</h2>', *shown]
    write_text(path, "\n".join([*parts, "</body>", "</html>", ""]))


def _about(results):
    """Return definitions and commands from the metadata of the table."""
    if not len(results):
        return "<p>There are no results yet.</p>"
    definitions = results.meta.get("definitions", {})
    lines = [f"<dt>{escape(str(name))}</dt><dd>{escape(str(value))}</dd>" for name, value in definitions.items()]
    commands = " ".join(f"<code>{escape(str(command))}</code>" for command in results.meta.get("commands", []))
    return (f"<p>{len(results)} rows of results{f', from {commands}' if commands else ''}. Intervals in brackets "
            f"are 95 % bootstrap intervals.</p>\n<dl>{''.join(lines)}</dl>")


def _image(name, figure):
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    caption, alternative = FIGURES[name]
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (f'<figure><img src="data:image/svg+xml;base64,{data}" alt="{escape(alternative)}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>")


def _table(sheet):
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in sheet.header)
    rows = "\n".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in sheet.rows)
    table = (f'<div class="scroll"><table><caption>{escape(sheet.title)}</caption><thead><tr>{head}</tr></thead>'
             f"<tbody>\n{rows}\n</tbody></table></div>")
    if len(sheet.rows) <= _LONG:
        return table
    return f"<details><summary>{escape(sheet.title)} ({len(sheet.rows)} rows)</summary>{table}</details>"
