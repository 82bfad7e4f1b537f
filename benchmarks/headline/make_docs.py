"""Tables and figures of the page "Does translation keep the redshift?" from the results of a benchmark.

    python benchmarks/headline --scale small --out DIR
    python benchmarks/headline/make_docs.py DIR/results.ecsv

Writes ``docs/headline/*.inc`` and ``docs/_static/headline_*.png``, the same bytes for the same results. What was not
measured is said so; with ``--empty`` that is everything.
"""

import argparse
import csv
import io
import logging
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
if "headline" not in sys.modules:  # as a script: the modules beside it are the package "headline"
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np  # noqa: E402
from astropy.table import Table  # noqa: E402

from headline import benchmark_figures, benchmark_tables  # noqa: E402
from headline.data import write_bytes  # noqa: E402
from headline.layout import Sheet, number, sheets  # noqa: E402
from headline.words import FIGURES, backbone_words  # noqa: E402

log = logging.getLogger("make_docs")
ROOT = Path(__file__).resolve().parents[2]
NOTHING = ".. note::\n\n   No results yet.\n"
MARK = ".. Written by benchmarks/headline/make_docs.py from the results; not to be edited.\n\n"
GIVEN = {"gradient": "with the image alone", "gradient+redshift": "with a spectroscopic redshift in the input",
         "gradient+spectrum": "with a spectrum in the input"}


def csv_table(sheet):
    """A ``csv-table`` directive."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([sheet.header, *sheet.rows] if any(sheet.header) else sheet.rows)
    lines = "".join(f"   {line}\n" for line in text.getvalue().splitlines())
    header = "   :header-rows: 1\n" if any(sheet.header) else ""
    return f".. csv-table:: {sheet.title}\n{header}   :widths: auto\n   :class: table-sm\n\n{lines}"


def figure(name, folder):
    """A ``figure`` directive."""
    caption, alternative = FIGURES[name]
    return f".. figure:: /_static/{folder}_{name}.png\n   :alt: {alternative}\n\n   {caption}\n"


def percent_range(values):
    """From the least to the largest, and of how many of the comparisons where some have no value."""
    there = [value for value in values if np.isfinite(value)]
    if not there:
        return None
    low, high = (number(100 * pick(there), ".0f") for pick in (min, max))
    share = "" if len(there) == len(values) else f" in {len(there)} of {len(values)} comparisons"
    return (f"{low}\u00a0%" if low == high else f"{low} to {high}\u00a0%") + share


def answer(tables):
    """What the tables say, in sentences."""
    lines, best, targets = [], tables["best"], tables["targets"]
    for sample in dict.fromkeys(best["sample"]) if len(best) else ():
        parts = []
        for variant, words in GIVEN.items():
            rows = best[(best["sample"] == sample) & (best["variant"] == variant) & (best["conventional"] != "unet")]
            gains, reductions = (percent_range([*rows[f"{stem}_transfer"], *rows[f"{stem}_retrained"]])
                                 if len(rows) else None for stem in ("gain", "reduction"))
            if gains:
                parts.append(f"{words} (the {backbone_words(rows['images'][0])}) {gains}; NMAD smaller by {reductions}")
        if parts:
            lines.append(f"- In the {sample} sample, of what the four conventional translators of the literature lose, "
                         "our best translator wins back\n\n" + "\n".join(f"  - {part}" for part in parts) + "\n")
    for sample in dict.fromkeys(tables["objective"]["sample"]) if len(tables["objective"]) else ():
        rows = tables["objective"][tables["objective"]["sample"] == sample]
        gain = percent_range(rows["gain"])
        if gain:
            lines.append(f"- The objective alone, on the same network, wins back {gain} in the {sample} sample.")
    if len(targets):
        counts = [(int(np.sum(targets["verdict"] == name)), name) for name in ("met", "missed", "not measured")]
        lines.append(f"- Of {len(targets)} goals set before any result was seen: "
                     f"{', '.join(f'{count} {name}' for count, name in counts)}.")
    return "\n".join(lines) + "\n" if lines else NOTHING


def setup(results):
    """Sizes, seeds, machines and versions, from the table and what it says of itself."""
    rows = []
    sizes = results.meta.get("sizes", {})
    words = {"input_size": "side of the input stamps (pixels)", "n_judge": "galaxies that the judges are trained on",
             "n_pairs": "of these training pairs of the translators", "n_validation": "of these for validation",
             "n_retraining": "pairs for a retrained estimator", "n_test": "test galaxies", "epochs": "epochs",
             "batch_size": "pairs in a step", "precision": "precision", "sampling_steps": "steps of a diffusion sample",
             "n_draws": "bootstrap draws"}
    rows += [[text, f"{sizes[key]:,}" if isinstance(sizes[key], int) else str(sizes[key])]
             for key, text in words.items() if key in sizes]
    rows += [[f"seeds of the simulation, {sample}", ", ".join(map(str, seeds))]
             for sample, seeds in results.meta.get("seeds", {}).items()]
    named = {"processor": "processor", "device": "device", "threads": "threads", "version_astro_galtrans": "version",
             "version_torch": "torch"}
    for column, text in named.items():
        if column in results.colnames:
            values = dict.fromkeys(str(value) for value in results[column] if str(value) not in ("", "-", "--", "0"))
            rows.append([text, ", ".join(values)])
    if "seconds" in results.colnames:
        once = {(row["sample"], row["run"]): float(row["seconds"]) for row in results if np.isfinite(row["seconds"])}
        rows += [["trainings", f"{len(once):,}"], ["hours of training", f"{sum(once.values()) / 3600:.1f}"]]
    return [row for row in rows if row[1]]


def write_tables(results, tables, docs, folder):
    where = docs / folder
    where.mkdir(parents=True, exist_ok=True)
    rows = setup(results)
    made = {**sheets(tables), "setup": [Sheet("sizes", ["", ""], rows)] if rows else []}
    for name, own in made.items():
        text = "\n".join(map(csv_table, own)) if own else NOTHING
        write_bytes(where / f"{name}.inc", (MARK + text).encode())
    write_bytes(where / "answer.inc", (MARK + answer(tables)).encode())


def write_figures(results, docs, folder):
    made = benchmark_figures(results)
    (docs / "_static").mkdir(exist_ok=True)
    for name in FIGURES:
        path = docs / "_static" / f"{folder}_{name}.png"
        if name in made:
            buffer = io.BytesIO()
            made[name].savefig(buffer, format="png", dpi=110, metadata={"Software": None})
            write_bytes(path, buffer.getvalue())
        else:
            path.unlink(missing_ok=True)
        text = figure(name, folder) if name in made else NOTHING
        write_bytes(docs / folder / f"figure_{name}.inc", (MARK + text).encode())
    return len(made)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("results", nargs="?", help="table of results, results.ecsv")
    what.add_argument("--empty", action="store_true", help="as if there were no results")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="folder of the documentation")
    parser.add_argument("--folder", default="headline", help="folder in it, and beginning of the figures' names")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    results = Table() if options.empty else Table.read(options.results, format="ascii.ecsv")
    write_tables(results, benchmark_tables(results), options.docs, options.folder)
    n_figures = write_figures(results, options.docs, options.folder)
    log.info("%d rows of results, %d figures: %s", len(results), n_figures, options.docs / options.folder)


if __name__ == "__main__":
    main()
