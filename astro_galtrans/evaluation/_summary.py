"""The findings of an evaluation in words; every number and every verb comes from its tables."""

import numpy as np

from astro_galtrans.evaluation._run import INPUT, TARGET

__all__ = ["differences", "in_words", "limits", "remarks", "summary"]

_MEANINGLESS = 4.0  # an interval of the preservation gain wider than 400 % says nothing
_CONSTANT = 0.2  # estimates whose spread is a smaller share of the true one follow the images hardly at all
# Settings that the report's table of the translators has.
_TABULATED = {"config.backbone", "config.objective", "config.residual", "config.conditioning"}
_CLASS = {"wins": "wins", "loses": "loses", "no difference measured": "even"}


def in_words(text):
    """A label of a table as the report writes it: colours with a minus sign, at which no line breaks."""
    head, _, last = text.rpartition(" ")
    if "color" in text or not head:
        first, dash, second = last.partition("-")
        if dash and 0 < len(first) <= 2 and 0 < len(second) <= 2:
            last = f"{first}\u2060\u2212\u2060{second}"
    return (f"{head} {last}" if head else last).replace("color", "colour")


def summary(evaluation):
    """Findings as dicts of ``heading``, ``verdict``, ``mark`` (wins, loses or even) and ``sentences``."""
    if "gains" not in evaluation.tables:
        return []
    gains, confidence = evaluation.tables["gains"], f"{100 * evaluation.meta['confidence']:.0f} % interval"
    findings = []
    for other in dict.fromkeys(gains["other"]):
        part = gains[gains["other"] == other]
        for row in part:
            if row["measure"].startswith("redshift"):
                findings.append(_redshift_finding(row, confidence))
        for what, heading in (("color scatter", "Colours"), ("color-gradient scatter", "Colour gradients")):
            rows = [row for row in part if row["measure"].startswith(f"{what} ")]
            if rows:
                findings.append(_color_finding(rows, what, heading, confidence))
    return findings


def _percent(value):
    return f"{100 * value:.1f} %".replace("-", "\u2212")


def _interval(row, name):
    return f"{_percent(row[f'{name}_low'])} to {_percent(row[f'{name}_high'])}"


def _redshift_finding(row, confidence):
    kind = row["measure"].rpartition(" ")[2]
    change = "smaller" if row["reduction"] >= 0 else "larger"
    sentences = [
        f"NMAD {row['other_value']:.4f} against {row['first_value']:.4f} of {row['first']}: "
        f"{_percent(abs(row['reduction']))} {change} (reduction {_interval(row, 'reduction')}, {confidence})."]
    span = row["preservation_gain_high"] - row["preservation_gain_low"]
    if np.isfinite(row["preservation_gain"]) and span > _MEANINGLESS:
        sentences.append(
            f"The preservation gain is not determined: its interval is {_interval(row, 'preservation_gain')}, "
            f"since {row['first']} lost little against real target images.")
    elif np.isfinite(row["preservation_gain"]):
        sentences.append(
            f"Preservation gain {_percent(row['preservation_gain'])} ({_interval(row, 'preservation_gain')}).")
    else:
        sentences.append(f"No preservation gain can be given: {row['first']} lost nothing against real target images.")
    return {"heading": f"Redshift, {kind}", "who": row["other"], "verdict": row["verdict"],
            "mark": _CLASS[row["verdict"]], "sentences": sentences}


def _color_finding(rows, what, heading, confidence):
    """One verdict for all colours: that which they share, else a count."""
    by_verdict = {}
    for row in rows:
        by_verdict.setdefault(row["verdict"], []).append(in_words(row["measure"]).rpartition(" ")[2])
    sentences = [f"{verdict.capitalize()} in {', '.join(names)}." for verdict, names in by_verdict.items()]
    best = max(rows, key=lambda row: abs(row["reduction"]) if np.isfinite(row["reduction"]) else -1)
    if np.isfinite(best["reduction"]):
        change = "smaller" if best["reduction"] >= 0 else "larger"
        sentences.append(
            f"Largest change: {in_words(best['measure']).rpartition(' ')[2]}, scatter "
            f"{_percent(abs(best['reduction']))} {change} than that of {best['first']} "
            f"(reduction {_interval(best, 'reduction')}, {confidence}).")
    verdict = next(iter(by_verdict)) if len(by_verdict) == 1 else "mixed: " + ", ".join(
        f"{name} in {len(by_verdict[name])}" for name in _CLASS if name in by_verdict)
    return {"heading": heading, "who": rows[0]["other"], "verdict": verdict,
            "mark": _CLASS[verdict] if verdict in _CLASS else "even", "sentences": sentences}


def limits(evaluation):
    """What real images allow, in sentences, with a warning where the estimator is the limit."""
    if "redshift" not in evaluation.tables:
        return []
    table = {row["images"]: row for row in evaluation.tables["redshift"]}
    sentences = []
    if TARGET in table:
        sentences.append(f"On real target images the estimator reaches an NMAD of {table[TARGET]['nmad']:.4f}.")
    if INPUT in table:
        sentences.append(f"On real input images it reaches {table[INPUT]['nmad']:.4f}, which is what there is to "
                         f"preserve.")
    if TARGET in table and INPUT in table and table[TARGET]["nmad"] >= table[INPUT]["nmad"]:
        sentences.append(
            "Here it reads redshifts no better from the deeper target images than from the input: the estimator and "
            "its training sample set this floor, more than the images do, and may hide differences between "
            "translators.")
    for label, row in table.items():
        ratio = _spread_ratio(evaluation.redshift[label], evaluation.z_spec)
        if ratio < _CONSTANT:
            sentences.append(
                f"On the images of \u201c{label}\u201d the estimator gives almost the same redshift to all galaxies: "
                f"their spread is {_percent(ratio)} of that of the true redshifts. The NMAD of that row "
                f"({row['nmad']:.4f}) is then the spread of the sample and not a measure of what the images hold.")
    left_out = max((int(row["n_left_out"]) for row in table.values()), default=0)
    if left_out:
        sentences.append(f"Up to {left_out} galaxies without a finite redshift or estimate are left out of a row.")
    return sentences


def remarks(evaluation):
    """How samples and finished images were evaluated, in sentences."""
    sentences = []
    for name, entry in evaluation.meta["translators"].items():
        if entry["kind"] == "images":
            sentences.append(f"{name} is a set of finished images: they have no stated uncertainty, and no redshift "
                             "estimator was retrained on such images.")
        n_samples = entry["samples"]
        if n_samples == 1:
            sentences.append(f"{name} draws samples. One was judged for each galaxy: it has noise of its own, as a "
                             "real image has, which counts as error.")
        elif n_samples:
            sentences.append(f"{name} draws samples. The mean of {n_samples} was judged for each galaxy, with their "
                             "spread as its uncertainty; it has less noise than a real image.")
    return sentences


def _spread_ratio(z_phot, z_spec):
    """Interquartile range of the estimates over that of the true redshifts."""
    both = np.isfinite(z_phot) & np.isfinite(z_spec)
    if both.sum() < 4:
        return 1.0
    wide, true = (np.subtract(*np.quantile(values[both], [0.75, 0.25])) for values in (z_phot, z_spec))
    return float(wide / true) if true > 0 else 1.0


def _flat(tree, prefix=""):
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def differences(evaluation):
    """Settings in which the translators differ.

    Returns
    -------
    rows : list of (str, list of str)
        Setting and its value for each translator.
    n_same : int
        Settings that are the same for all.
    """
    about = evaluation.meta["translators"]
    settings = {name: dict(_flat({"provenance": entry["provenance"]})) for name, entry in about.items()}
    settings = {name: {key.removeprefix("provenance."): value for key, value in entry.items()}
                for name, entry in settings.items()}
    keys = dict.fromkeys(key for entry in settings.values() for key in entry)
    rows, n_same = [], 0
    for key in keys:
        if key.endswith("hash") or key in _TABULATED:
            continue  # hashes differ wherever anything does
        values = [_short(entry.get(key)) for entry in settings.values()]
        if len({value for value, entry in zip(values, about.values()) if entry["kind"] == "translator"}) > 1:
            values = [value if entry["kind"] == "translator" else "\u2013"
                      for value, entry in zip(values, about.values())]
            rows.append((key.removeprefix("config."), values))
        else:
            n_same += 1
    return rows, n_same


def _short(value):
    text = "none" if value is None else str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        text = f"{value:,}"
    return text if len(text) <= 60 else f"{text[:12]}\u2026" if " " not in text else f"{text[:59]}\u2026"
