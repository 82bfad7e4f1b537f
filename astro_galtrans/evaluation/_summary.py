"""Findings of an evaluation in words; every number and every verdict is from its tables."""

import numpy as np

from astro_galtrans.evaluation._run import INPUT, TARGET, display_name

__all__ = [
    "contrast", "differences", "in_words", "limits", "provenance_for_people", "remarks", "summary", "value_in_words",
]

_MEANINGLESS = 4.0  # an interval of the preservation gain wider than 400 % is not informative
_CONSTANT = 0.2  # estimates with a smaller share of the true spread hardly depend on the images
# Key of the description of a translator, and its name for readers.
_TRAITS = {"backbone": "backbone", "objective": "objective", "output": "output space", "residual": "residual path",
           "photometry": "photometry head", "conditioning": "conditioning"}
_TABULATED = {f"config.{key}" for key in _TRAITS}
_MARKS = {"wins": "wins", "loses": "loses", "no difference measured": "even"}


def in_words(text):
    """Return a label of a table for the report: colors with a minus sign at which no line breaks."""
    head, space, last = text.rpartition(" ")
    first, dash, second = last.partition("-")
    if ("color" in text or not head) and dash and 0 < len(first) <= 2 and 0 < len(second) <= 2:
        last = f"{first}\u2060\u2212\u2060{second}"
    return f"{head}{space}{last}"


def value_in_words(value):
    """Return a setting of a translator for the report."""
    words = {None: "\u2013", True: "yes", False: "no"}
    if value is None or isinstance(value, bool):
        return words[value]
    return f"{value:,}" if isinstance(value, int) else str(value)


def summary(evaluation):
    """Return findings as dicts of ``heading``, ``verdict``, ``mark`` (wins, loses or even) and ``sentences``."""
    if "gains" not in evaluation.tables:
        return []
    gains, confidence = evaluation.tables["gains"], f"{100 * evaluation.meta['confidence']:.0f} % interval"
    simulated, findings = evaluation.meta["simulated"], []
    for other in dict.fromkeys(gains["other"]):
        part = gains[gains["other"] == other]
        findings += [_redshift_finding(row, confidence, display_name(TARGET, simulated)) for row in part
                     if row["measure"].startswith("redshift")]
        for what, heading in (("color scatter", "Colors"), ("color-gradient scatter", "Color gradients")):
            rows = [row for row in part if row["measure"].startswith(f"{what} ")]
            if rows:
                findings.append(_color_finding(rows, heading, confidence))
    return findings


def _percent(value):
    return f"{100 * value:.1f} %".replace("-", "\u2212")


def _interval(row, name):
    return f"{_percent(row[f'{name}_low'])} to {_percent(row[f'{name}_high'])}"


def _change(row):
    return f"{_percent(abs(row['reduction']))} {'smaller' if row['reduction'] >= 0 else 'larger'}"


def _redshift_finding(row, confidence, target):
    kind = row["measure"].rpartition(" ")[2]
    sentences = [f"NMAD {row['other_value']:.4f} against {row['first_value']:.4f} of {row['first']}: {_change(row)} "
                 f"(reduction {_interval(row, 'reduction')}, {confidence})."]
    gain, interval = row["preservation_gain"], _interval(row, "preservation_gain")
    if not np.isfinite(gain):
        sentences.append(f"There is no preservation gain: {row['first']} lost nothing against {target} images.")
    elif row["preservation_gain_high"] - row["preservation_gain_low"] > _MEANINGLESS:
        sentences.append(f"The preservation gain is not determined: its interval is {interval}, since {row['first']} "
                         f"lost little against {target} images.")
    else:
        sentences.append(f"Preservation gain {_percent(gain)} ({interval}).")
    return {"heading": f"Redshift, {kind}", "who": row["other"], "verdict": row["verdict"],
            "mark": _MARKS[row["verdict"]], "sentences": sentences}


def _color_finding(rows, heading, confidence):
    """One verdict for all colors: the common one, otherwise counts."""
    by_verdict = {}
    for row in rows:
        by_verdict.setdefault(row["verdict"], []).append(in_words(row["measure"]).rpartition(" ")[2])
    sentences = [f"{verdict.capitalize()} in {', '.join(names)}." for verdict, names in by_verdict.items()]
    best = max(rows, key=lambda row: abs(row["reduction"]) if np.isfinite(row["reduction"]) else -1)
    if np.isfinite(best["reduction"]):
        sentences.append(
            f"Largest change: {in_words(best['measure']).rpartition(' ')[2]}, scatter {_change(best)} than that of "
            f"{best['first']} (reduction {_interval(best, 'reduction')}, {confidence}).")
    verdict = next(iter(by_verdict)) if len(by_verdict) == 1 else "mixed: " + ", ".join(
        f"{name} in {len(by_verdict[name])}" for name in _MARKS if name in by_verdict)
    return {"heading": heading, "who": rows[0]["other"], "verdict": verdict, "mark": _MARKS.get(verdict, "even"),
            "sentences": sentences}


def limits(evaluation):
    """Return sentences on the information in the images, with a warning where the estimator is the limit."""
    if "redshift" not in evaluation.tables:
        return []
    table = {row["images"]: row for row in evaluation.tables["redshift"]}
    source, target = (display_name(kind, evaluation.meta["simulated"]) for kind in (INPUT, TARGET))
    sentences = []
    if INPUT in table:
        sentences.append(f"Information limit: on {source} images the estimator reaches an NMAD of "
                         f"{table[INPUT]['nmad']:.4f}, which is what there is to preserve.")
    if TARGET in table:
        sentences.append(f"On {target} images, which are what a perfect translation would be, it reaches "
                         f"{table[TARGET]['nmad']:.4f}.")
    if TARGET in table and INPUT in table and table[TARGET]["nmad"] >= table[INPUT]["nmad"]:
        sentences.append(
            "Here it reads redshifts no better from target images than from input images: the limit is the estimator "
            "and its training sample, which may hide differences between translators.")
    for label, row in table.items():
        ratio = _spread_ratio(evaluation.redshift[label], evaluation.z_spec)
        if ratio < _CONSTANT:
            sentences.append(
                f"On the images of \u201c{label}\u201d the estimator gives almost the same redshift to all galaxies: "
                f"their spread is {_percent(ratio)} of that of the true redshifts. The NMAD of that row "
                f"({row['nmad']:.4f}) is then the spread of the sample and does not measure the images.")
    left_out = max((int(row["n_left_out"]) for row in table.values()), default=0)
    if left_out:
        sentences.append(f"Up to {left_out} galaxies without a finite redshift or estimate are left out of a row.")
    return sentences


def remarks(evaluation):
    """Return sentences on how samples and finished images were evaluated."""
    sentences = []
    for name, entry in evaluation.meta["translators"].items():
        if entry["kind"] == "images":
            sentences.append(f"{name} is a set of finished images: they have no stated uncertainty, and no redshift "
                             "estimator was retrained on such images.")
        n_samples = entry["samples"]
        if n_samples == 1:
            sentences.append(f"{name} draws samples. One was evaluated for each galaxy: its noise, like that of a "
                             "target image, counts as error.")
        elif n_samples:
            sentences.append(f"{name} draws samples. The mean of {n_samples} was evaluated for each galaxy, with their "
                             "spread as its uncertainty; it has less noise than a target image.")
    return sentences


def _spread_ratio(z_phot, z_spec):
    """Interquartile range of the estimates over that of the true redshifts."""
    both = np.isfinite(z_phot) & np.isfinite(z_spec)
    if both.sum() < 4:
        return 1.0
    wide, true = (np.subtract(*np.quantile(values[both], [0.75, 0.25])) for values in (z_phot, z_spec))
    return float(wide / true) if true > 0 else 1.0


def contrast(evaluation):
    """Return a sentence that names the parts in which the translators differ, empty if they do not."""
    entries = {name: entry for name, entry in evaluation.meta["translators"].items() if entry["kind"] == "translator"}
    parts = []
    for key, label in _TRAITS.items():
        values = [value_in_words(entry[key]) for entry in entries.values()]
        if len(set(values)) > 1:
            parts.append(f"{label}: {' / '.join(values)}")
    if not parts:
        return ""
    together = " Their results differ because of all of these together." if len(parts) > 1 else ""
    return f"The translators ({' / '.join(entries)}) differ in their {'; '.join(parts)}.{together}"


def differences(evaluation):
    """Return further settings in which the translators differ.

    Returns
    -------
    rows : list of (str, list of str)
        Setting and its value for each translator.
    n_same : int
        Number of settings that are the same for all.
    """
    about = evaluation.meta["translators"]
    settings = [dict(_flat(provenance_for_people(entry))) for entry in about.values()]
    is_translator = [entry["kind"] == "translator" for entry in about.values()]
    rows, n_same = [], 0
    for key in dict.fromkeys(key for entry in settings for key in entry):
        if key.endswith("hash") or key in _TABULATED:
            continue  # hashes differ wherever anything does
        values = [_short(entry.get(key)) if known else "\u2013" for entry, known in zip(settings, is_translator)]
        if len({value for value, known in zip(values, is_translator) if known}) > 1:
            rows.append((key.removeprefix("config."), values))
        else:
            n_same += 1
    return rows, n_same


def provenance_for_people(entry):
    """Return the provenance of a translator with epochs counted from 1; files count from 0."""
    provenance = entry["provenance"]
    if provenance.get("best_epoch") is None:
        return provenance
    return {**provenance, "best_epoch": provenance["best_epoch"] + 1}


def _flat(tree, prefix=""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _short(value):
    text = "none" if value is None else str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        text = f"{value:,}"
    return text if len(text) <= 60 else f"{text[:12]}\u2026" if " " not in text else f"{text[:59]}\u2026"
