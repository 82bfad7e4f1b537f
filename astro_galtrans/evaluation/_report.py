"""The report: one HTML file that holds everything it shows."""

import base64
import io

import numpy as np

from astro_galtrans._utils.optional import optional
from astro_galtrans.evaluation._figures import STYLE
from astro_galtrans._utils.io import check_folder, write_whole
from astro_galtrans.evaluation._summary import differences, in_words, limits, remarks, summary
from astro_galtrans.evaluation._texts import COLUMNS, FIGURES, SECTIONS, TABLES

__all__ = ["write_report"]

_PICTURES = ("gallery", "weights")
_NOISE = {
    False: " Translated images have no noise of the sky, and neither has what they are compared with; real target "
           "images show what noise does to each measure.",
    True: " Noise of a target image was added to the translated ones, as that which they are compared with has noise; "
          "it gives scatter to a perfect translation, too.",
}


def write_report(evaluation, path, *, title, extra, overwrite=True):
    """Fill the template with the figures, tables and findings of an evaluation and write it atomically."""
    jinja2 = optional("jinja2")
    if check_folder(path).exists() and not overwrite:
        raise FileExistsError(f"{path} exists already; overwrite=True replaces it")
    figures = {name: _figure(name, figure) for name, figure in evaluation.figures().items()}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("astro_galtrans.evaluation"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True)
    rows, n_same = differences(evaluation)
    names = list(evaluation.names)
    html = environment.get_template("report.html.j2").render(
        title=title, evaluation=evaluation, meta=evaluation.meta, names=evaluation.names,
        names_in_words=" and ".join(filter(None, [", ".join(names[:-1]), names[-1]])), findings=summary(evaluation),
        limits=limits(evaluation), remarks=remarks(evaluation), translators=_translators(evaluation),
        sections=_sections(evaluation, figures), different=rows, n_same=n_same,
        settings=_settings(evaluation, extra), failed={k: v for k, v in evaluation.failed.items() if v},
        conditioned=[name for name, entry in evaluation.meta["translators"].items() if entry["conditioning"]])
    write_whole(path, html.encode("utf-8"))


def _translators(evaluation):
    """The table of the translators: what they are and what they were given."""
    columns = {"translator": None, "backbone": "backbone", "objective": "objective", "parameters": "parameters",
               "residual path": "residual", "given beside the image": "conditioning", "samples": "samples"}
    words = {None: "\u2013", True: "yes", False: "no"}
    rows = []
    for name, entry in evaluation.meta["translators"].items():
        values = [name, *(entry[key] for key in columns.values() if key)]
        texts = [words[value] if value is None or isinstance(value, bool) else
                 f"{value:,}" if isinstance(value, int) else value for value in values]
        rows.append([{"text": text, "number": label in ("parameters", "samples")}
                     for label, text in zip(columns, texts)])
    headers = [{"label": label, "number": label in ("parameters", "samples")} for label in columns]
    return {"headers": headers, "rows": rows, "caption": "What was evaluated. Samples are the images that a generative "
            "translator drew of each galaxy; the others have one translation for each image."}


def _figure(name, figure):
    """A figure as a data URI: pictures as PNG, charts as SVG, which stays sharp at every size."""
    matplotlib = optional("matplotlib")
    kind = "png" if name in _PICTURES or name not in FIGURES else "svg"
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else {"Software": None})
    mime = "image/png" if kind == "png" else "image/svg+xml"
    width, height = figure.get_size_inches()
    return {"uri": f"data:{mime};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}",
            "width": int(round(width * 96)), "height": int(round(height * 96)), **FIGURES.get(name, {})}


def _sections(evaluation, figures):
    """The sections for which there is a figure or a table, with their texts filled in."""
    words = {"input": evaluation.meta["input_survey"], "target": evaluation.meta["target_survey"],
             "reference": evaluation.meta["reference"], "confidence": f"{100 * evaluation.meta['confidence']:.0f} %",
             "first": evaluation.names[0], "n_morphology": evaluation.meta["n_morphology"],
             "morphology_noise": _NOISE[evaluation.meta["noise_added"]]}
    sections = []
    for section in SECTIONS:
        shown = [{**figures[name], "name": name, "caption": figures[name]["caption"].format(**words),
                  "alt": figures[name]["alt"].format(**words)} for name in section["figures"] if name in figures]
        tables = [{**_table(evaluation.tables[name], evaluation.meta["n_test"]), "name": name,
                   "caption": TABLES[name].format(**words)}
                  for name in section["tables"] if name in evaluation.tables and len(evaluation.tables[name])]
        if shown or tables:
            sections.append({**section, "text": section["text"].format(**words), "figures": shown, "tables": tables})
    return sections


def _table(table, n_test):
    headers, rows = [], []
    hidden = {"image", "estimator"} if "images" in table.colnames else {"first"}
    named = {}
    if "other" in table.colnames and len(set(table["other"])) == 1:
        hidden.add("other")
        named = {"first_value": f"error of {table['first'][0]}", "other_value": f"error of {table['other'][0]}"}
    if "n" in table.colnames and set(table["n"]) == {n_test} and "images" not in table.colnames:
        hidden.add("n")  # all galaxies: said at the top of the page
    columns = [name for name in table.colnames if name not in hidden and not name.endswith(("_low", "_high"))]
    columns = [name for name in columns if table[name].dtype.kind != "f" or np.isfinite(table[name]).any()]
    for name in columns:
        label, _ = COLUMNS.get(_stem(name), (name.replace("_", " "), ".4g"))
        label = named.get(name, label).replace("{}", _radius(name))
        unit = f" ({table[name].unit})" if table[name].unit is not None else ""
        headers.append({"label": label + unit, "number": table[name].dtype.kind in "fiu"})
    for row in table:
        rows.append([{"text": _cell(row, name), "number": table[name].dtype.kind in "fiu"} for name in columns])
    return {"headers": headers, "rows": rows, "long": len(rows) > 24}


def _stem(name):
    return name.rpartition("_")[0] if name.startswith("aperture_") else name


def _radius(name):
    return name.rpartition("_")[2]


def _cell(row, name):
    """A value, with its interval where the table has one."""
    value = row[name]
    if isinstance(value, str):
        return value.replace("_", " ") if name == "measure" and "_" in value else in_words(value)
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
    surveys = f"{meta['input_survey']} to {meta['target_survey']}, bands {' '.join(meta['bands'])}"
    n_training = "none" if meta["n_training"] is None else f"{meta['n_training']:,}"
    rows = [
        ("Input and target survey", surveys),
        ("Test galaxies", f"{meta['n_test']:,}"),
        ("Training galaxies of the redshift estimators", n_training),
        ("Images are compared with", meta["reference"]),
        ("Seed", str(meta["seed"])),
        ("Bootstrap", f"{meta['n_bootstrap']:,} resamples of the galaxies, {100 * meta['confidence']:.0f} % intervals"),
        ("Device", str(meta["device"] or "default (CPU unless the translator lies elsewhere)")),
        ("Versions", ", ".join(f"{name} {number}" for name, number in meta["versions"].items())),
        ("Time", meta["time"]),
    ]
    for key, value in extra.items():
        if isinstance(value, dict):
            rows += [(f"{_words(key)}: {name}", str(item)) for name, item in value.items()]
        else:
            rows.append((_words(key), str(value)))
    return rows


def _words(key):
    words = str(key).replace("_", " ")
    return words[:1].upper() + words[1:]
