"""Tables and figures of the pages "Does translation keep the redshift?" from the results of a benchmark.

    python benchmarks/headline --scale small --out DIR
    python benchmarks/headline/make_docs.py DIR/results.ecsv

Writes ``docs/FOLDER/*.inc`` and ``docs/_static/FOLDER_*.png``, the same bytes for the same results. FOLDER is
"headline" for smooth and "headline_realistic" for realistic images. Missing results are replaced by a note; ``--empty``
writes only notes.
"""

import argparse
import csv
import io
import logging
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
if "headline" not in sys.modules:  # as a script: its folder is the package "headline"
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
GIVEN = {"gradient": "image alone", "gradient+redshift": "image and redshift",
         "gradient+spectrum": "image and spectrum"}


def csv_table(sheet):
    """Return a ``csv-table`` directive."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([sheet.header, *sheet.rows] if any(sheet.header) else sheet.rows)
    lines = "".join(f"   {line}\n" for line in text.getvalue().splitlines())
    header = "   :header-rows: 1\n" if any(sheet.header) else ""
    return f".. csv-table:: {sheet.title}\n{header}   :widths: auto\n   :class: table-sm\n\n{lines}"


def figure(name, folder):
    """Return a ``figure`` directive."""
    caption, alternative = FIGURES[name]
    return f".. figure:: /_static/{folder}_{name}.png\n   :alt: {alternative}\n\n   {caption}\n"


def percent_range(values):
    """Return smallest and largest value as text, with the number of comparisons if some have no value."""
    there = [value for value in values if np.isfinite(value)]
    if not there:
        return None
    low, high = (number(100 * pick(there), ".0f") for pick in (min, max))
    share = "" if len(there) == len(values) else f" in {len(there)} of {len(values)} comparisons"
    return (f"{low}\u00a0%" if low == high else f"{low} to {high}\u00a0%") + share


def answer(tables):
    """Return the table and the sentences that summarize the results."""
    best, targets, parts = tables["best"], tables["targets"], []
    samples = list(dict.fromkeys(best["sample"])) if len(best) else []
    rows = [[f"{words} ({backbone_words(best[best['variant'] == variant]['images'][0])})",
             *(cell for sample in samples for cell in _ranges(best, sample, variant))]
            for variant, words in GIVEN.items() if variant in best["variant"]] if samples else []
    if rows:
        header = ["input", *(f"{sample}: {name}" for sample in samples for name in ("preservation gain", "reduction"))]
        parts.append(csv_table(Sheet("Our best translator against the four of the literature", header, rows)))
    objective = tables["objective"]
    gains = {sample: percent_range(objective["gain"][objective["sample"] == sample])
             for sample in (dict.fromkeys(objective["sample"]) if len(objective) else ())}
    gains = [f"{gain} in the {sample} sample" for sample, gain in gains.items() if gain]
    if gains:
        parts.append(f"The objective alone, on the same network, has a preservation gain of {' and '.join(gains)}.\n")
    if len(targets):
        counts = [(int(np.sum(targets["verdict"] == name)), name) for name in ("met", "missed", "not measured")]
        parts.append(f"Of {len(targets)} goals set before any result was seen: "
                     f"{', '.join(f'{count} {name}' for count, name in counts)}.\n")
    return "\n".join(parts) or NOTHING


def _ranges(best, sample, variant):
    """Return preservation gain and reduction over both estimators and all conventional translators but the U-Net."""
    rows = best[(best["sample"] == sample) & (best["variant"] == variant) & (best["conventional"] != "unet")]
    return [(percent_range([*rows[f"{stem}_transfer"], *rows[f"{stem}_retrained"]]) if len(rows) else None) or "\u2013"
            for stem in ("gain", "reduction")]


def setup(results):
    """Return sizes, seeds, machines and versions from the table and its metadata."""
    rows = []
    sizes = results.meta.get("sizes", {})
    words = {"sky": "galaxies and sky", "input_size": "side of the input stamps (pixels)",
             "n_estimator": "galaxies for training the estimators",
             "n_pairs": "of these, training pairs of the translators", "n_validation": "of these, for validation",
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
    what.add_argument("--empty", action="store_true", help="write notes in place of results")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="folder of the documentation")
    parser.add_argument("--folder", help="subfolder and prefix of the names of the figures (default: by the sky)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    results = Table() if options.empty else Table.read(options.results, format="ascii.ecsv")
    realistic = results.meta.get("sizes", {}).get("sky") == "realistic"
    folder = options.folder or ("headline_realistic" if realistic else "headline")
    write_tables(results, benchmark_tables(results), options.docs, folder)
    n_figures = write_figures(results, options.docs, folder)
    log.info("%d rows of results, %d figures: %s", len(results), n_figures, options.docs / folder)


if __name__ == "__main__":
    main()
