"""The report: one self-contained HTML file."""

import base64
import io

import numpy as np

from astro_galtrans._utils.io import check_folder, check_new, write_whole
from astro_galtrans._utils.optional import optional
from astro_galtrans.evaluation._figures import STYLE
from astro_galtrans.evaluation._run import display_name
from astro_galtrans.evaluation._summary import (
    contrast, differences, in_words, limits, provenance_for_people, remarks, summary, value_in_words,
)
from astro_galtrans.evaluation._texts import COLUMNS, FIGURES, SECTIONS, TABLES

__all__ = ["write_report"]

_IMAGES = ("gallery", "weights")
_NOISE = {
    False: " Translated images have no noise of the sky, and neither has the reference; {real} target images show what "
           "noise does to each measure.",
    True: " Noise of a target image was added to the translated images, since the reference has noise; it gives "
          "scatter to a perfect translation, too.",
}
# Columns of the table of the translators: label, and key of their description.
_TRANSLATORS = {
    "translator": None, "backbone": "backbone", "objective": "objective", "output space": "output",
    "residual path": "residual", "photometry head": "photometry", "conditioned on": "conditioning",
    "parameters": "parameters", "samples": "samples",
}


def write_report(evaluation, path, *, title, extra, overwrite=True):
    """Fill the template with the figures, tables and findings of an evaluation and write it."""
    jinja2 = optional("jinja2")
    check_new(check_folder(path), overwrite)
    figures = {name: _figure(name, figure) for name, figure in evaluation.figures().items()}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("astro_galtrans.evaluation"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True)
    rows, n_same = differences(evaluation)
    names, words, translators = evaluation.names, _words_of(evaluation), evaluation.meta["translators"]
    html = environment.get_template("report.html.j2").render(
        title=title, meta=evaluation.meta, names=names, real=words["real"], reference=words["reference"],
        names_in_words=" and ".join(filter(None, [", ".join(names[:-1]), names[-1]])), findings=summary(evaluation),
        contrast=contrast(evaluation), limits=limits(evaluation), remarks=remarks(evaluation),
        table=_translators(translators), sections=_sections(evaluation, figures, words), different=rows,
        n_same=n_same, provenance={name: provenance_for_people(entry) for name, entry in translators.items()},
        settings=_settings(evaluation, extra),
        failed={name: count for name, count in evaluation.failed.items() if count},
        conditioned=[name for name, entry in translators.items() if entry["conditioning"]])
    write_whole(path, html.encode("utf-8"))


def _words_of(evaluation):
    """Words that the texts of the report leave open."""
    meta = evaluation.meta
    real = "simulated" if meta["simulated"] else "real"
    return {"real": real, "Real": real.capitalize(), "input": meta["input_survey"], "target": meta["target_survey"],
            "reference": reference_name(meta), "confidence": f"{100 * meta['confidence']:.0f} %",
            "first": evaluation.names[0], "n_morphology": meta["n_morphology"],
            "morphology_noise": _NOISE[meta["noise_added"]].format(real=real)}


def reference_name(meta):
    """Return the name of the reference images for readers."""
    return meta["reference"].replace("real", "simulated") if meta["simulated"] else meta["reference"]


def _translators(translators):
    """The table of the translators and their conditioning."""
    rows = []
    for name, entry in translators.items():
        texts = [name if key is None else value_in_words(entry[key]) for key in _TRANSLATORS.values()]
        rows.append([{"text": text, "number": label in ("parameters", "samples")}
                     for label, text in zip(_TRANSLATORS, texts)])
    headers = [{"label": label, "number": label in ("parameters", "samples")} for label in _TRANSLATORS]
    return {"headers": headers, "rows": rows, "caption": "Samples are the images that a generative translator drew of "
            "each galaxy; the others have one translation for each image."}


def _figure(name, figure):
    """A figure as a data URI: images as PNG, charts as SVG."""
    matplotlib = optional("matplotlib")
    kind = "png" if name in _IMAGES or name not in FIGURES else "svg"
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else {"Software": None})
    mime = "image/png" if kind == "png" else "image/svg+xml"
    width, height = (int(round(side * 96)) for side in figure.get_size_inches())
    return {"uri": f"data:{mime};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}", "width": width,
            "height": height, "wide": name in _IMAGES, **FIGURES.get(name, {})}


def _sections(evaluation, figures, words):
    """The sections that have a figure or a table, with their texts filled in."""
    sections = []
    for section in SECTIONS:
        shown = [{**figures[name], "name": name, "caption": figures[name]["caption"].format(**words),
                  "alt": figures[name]["alt"].format(**words)} for name in section["figures"] if name in figures]
        tables = [{**_table(evaluation.tables[name], evaluation.meta), "name": name,
                   "caption": TABLES[name].format(**words)}
                  for name in section["tables"] if name in evaluation.tables and len(evaluation.tables[name])]
        if shown or tables:
            sections.append({**section, "text": section["text"].format(**words), "figures": shown, "tables": tables})
    return sections


def _table(table, meta):
    hidden = {"image", "estimator"} if "images" in table.colnames else {"first"}
    named = {}
    if "other" in table.colnames and len(set(table["other"])) == 1:
        hidden.add("other")
        named = {"first_value": f"error of {table['first'][0]}", "other_value": f"error of {table['other'][0]}"}
    if "n" in table.colnames and set(table["n"]) == {meta["n_test"]} and "images" not in table.colnames:
        hidden.add("n")  # the top of the page has the number of galaxies
    columns = [name for name in table.colnames if name not in hidden and not name.endswith(("_low", "_high"))]
    columns = [name for name in columns if table[name].dtype.kind != "f" or np.isfinite(table[name]).any()]
    headers, is_number = [], {name: table[name].dtype.kind in "fiu" for name in columns}
    for name in columns:
        label, _ = COLUMNS.get(_stem(name), (name.replace("_", " "), ".4g"))
        label = named.get(name, label).replace("{}", name.rpartition("_")[2])
        unit = f" ({table[name].unit})" if table[name].unit is not None else ""
        headers.append({"label": label + unit, "number": is_number[name]})
    rows = [[{"text": _cell(row, name, meta["simulated"]), "number": is_number[name]} for name in columns]
            for row in table]
    return {"headers": headers, "rows": rows, "long": len(rows) > 24}


def _stem(name):
    return name.rpartition("_")[0] if name.startswith("aperture_") else name


def _cell(row, name, simulated):
    """A value, with its interval where the table has one."""
    value = row[name]
    if isinstance(value, str):
        return value.replace("_", " ") if name == "measure" and "_" in value else in_words(
            display_name(value, simulated))
    _, pattern = COLUMNS.get(_stem(name), ("", ".4g"))
    text = _number(value, pattern)
    if f"{name}_low" in row.colnames and np.isfinite([value, row[f"{name}_low"]]).all():
        text += f" [{_number(row[f'{name}_low'], pattern)}, {_number(row[f'{name}_high'], pattern)}]"
    return text


def _number(value, pattern):
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    if not np.isfinite(value):
        return "\u2013"
    text = format(float(value), pattern)
    if not text.strip("+-0.% "):
        text = text.lstrip("+-")  # a rounded zero has no sign
    return text.replace("-", "\u2212")


def _settings(evaluation, extra):
    """Rows of the section on how the run was made."""
    meta = evaluation.meta
    rows = [
        ("Galaxies", "simulated" if meta["simulated"] else "as given"),
        ("Input and target survey",
         f"{meta['input_survey']} to {meta['target_survey']}, bands {' '.join(meta['bands'])}"),
        ("Test galaxies", f"{meta['n_test']:,}"),
        ("Training galaxies of the redshift estimators",
         "none" if meta["n_training"] is None else f"{meta['n_training']:,}"),
        ("Images are compared with", reference_name(meta)),
        ("Seed", str(meta["seed"])),
        ("Bootstrap", f"{meta['n_bootstrap']:,} resamples of the galaxies, {100 * meta['confidence']:.0f} % intervals"),
        ("Device", str(meta["device"] or "default (that of the translator)")),
        ("Versions", ", ".join(f"{name} {number}" for name, number in meta["versions"].items())),
        ("Time", meta["time"]),
    ]
    for key, value in extra.items():
        label = str(key).replace("_", " ")
        label = label[:1].upper() + label[1:]
        if isinstance(value, dict):
            rows += [(f"{label}: {name}", str(item)) for name, item in value.items()]
        else:
            rows.append((label, str(value)))
    return rows
