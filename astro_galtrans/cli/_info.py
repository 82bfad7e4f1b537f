"""Subcommand ``info``: describe files, surveys and translators."""

import re
import textwrap

from astro_galtrans.cli._common import Result, add_reading, bands_of, read_config

__all__ = ["add_info", "info"]

_WIDTH = 90


def _described(value):
    """Return a dict that describes an object; its first key is ``kind``."""
    return _KINDS.get(type(value).__name__, _other)(value)


def _other(value):
    return {"kind": type(value).__name__, "summary": repr(value)}


def _survey(survey):
    bands = {band.name: {
        "wavelength": band.effective_wavelength.to("AA"), "zero_point": float(band.zero_point),
        "psf_fwhm": band.psf_fwhm.to("arcsec"), "sky_noise": float(band.sky_noise)} for band in survey}
    return {"kind": "survey", "name": survey.name, "unit": survey.unit, "pixel_scale": survey.pixel_scale.to("arcsec"),
            "description": survey.description, "bands": bands}


def _side(survey, size=None):
    about = {"survey": survey.name, "bands": list(survey.band_names), "unit": survey.unit,
             "pixel_scale": survey.pixel_scale.to("arcsec")}
    return about if size is None else {**about, "size": [int(side) for side in size]}


def _translator(translator):
    provenance = dict(translator.provenance)
    card, options = provenance.pop("card", None), translator.network.options
    config = provenance.get("config", {})
    sizes = [provenance.get(name) for name in ("input_shape", "target_shape")]
    best = provenance.get("best_epoch")
    best = None if best is None else best + 1  # files count epochs from 0
    return {
        "kind": "translator", "name": translator.name, "hash": translator.hash,
        "input": _side(translator.input_survey, None if sizes[0] is None else sizes[0][-2:]),
        "target": _side(translator.target_survey, None if sizes[1] is None else sizes[1][-2:]),
        "backbone": options["backbone"], "objective": translator.objective_name,
        "conditioning": translator.conditioning or "none",
        "takes_unknown": translator.takes_unknown if translator.conditioning else None,
        "draws_samples": bool(translator.network.generative),
        "parameters": sum(weight.numel() for weight in translator.network.parameters()),
        "training": {
            "pairs": provenance.get("n_pairs"), "validation_pairs": provenance.get("n_validation"),
            "epochs": config.get("epochs"), "best_epoch": best,
            "seed": provenance.get("seed"), "device": provenance.get("device"), "command": provenance.get("command"),
            "versions": provenance.get("versions")},
        "card": None if card is None else _card(card)}


def _card(card):
    """Return title, training data and limitations of a model card, without its tables."""
    paragraphs = [" ".join(part.split()) for part in card.strip().split("\n\n")[1:]]
    kept = [card.strip().splitlines()[0], paragraphs[0]] if paragraphs else [card.strip()]
    for number, text in enumerate(paragraphs):
        if text.startswith("**Trained on"):
            kept.append(text)
        elif text.startswith(("**Limitations", "**Do not trust")):  # the latter in cards of version 0.1
            kept.append(text)
            if number + 1 < len(paragraphs):
                items = re.split(r"(?<=[.;]) - ", paragraphs[number + 1].removeprefix("- "))
                kept += [f"- {item.strip()}" for item in items]
    plain = [text.replace("**", "").replace("``", "").removesuffix("::").strip() for text in kept]
    plain = [text.removesuffix(" Made by") for text in plain]
    return "\n".join(textwrap.fill(text, _WIDTH, subsequent_indent="  " if text[:2] == "- " else "") for text in plain)


def _range(values):
    import numpy as np

    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    if not known.size:
        return {"known": 0}
    return {"known": int(known.size), "lowest": float(known.min()), "median": float(np.median(known)),
            "highest": float(known.max())}


def _pairs(pairs):
    kinds = [name for name in ("input_weight", "target_weight", "input_truth", "target_truth", "input_label",
                               "target_label", "spectrum_flux") if getattr(pairs, name) is not None]
    catalog = pairs.catalog
    return {
        "kind": "pairs", "n": len(pairs), "input": _side(pairs.input_survey, pairs.input_flux.shape[-2:]),
        "target": _side(pairs.target_survey, pairs.target_flux.shape[-2:]), "also": kinds or None,
        "spectrum_grid": None if pairs.spectrum_grid is None else repr(pairs.spectrum_grid),
        "redshift": None if pairs.redshift is None else _range(pairs.redshift),
        "catalog": None if catalog is None else list(catalog.colnames),
        "translated_by": None if catalog is None else catalog.meta.get("galtrans")}


def _cube(cube):
    import numpy as np
    from astropy.coordinates import SkyCoord

    about = {"kind": "cube", "bands": list(cube.bands), "size": list(cube.shape[1:]), "unit": cube.unit,
             "survey": None if cube.survey is None else cube.survey.name, "pixel_scale": cube.pixel_scale}
    if cube.wcs is not None:
        center = cube.wcs.pixel_to_world(*((side - 1) / 2 for side in cube.shape[:0:-1]))
        if isinstance(center, SkyCoord):
            about["center"] = {"ra": center.icrs.ra.to("deg"), "dec": center.icrs.dec.to("deg")}
    good = np.isfinite(cube.data) & (True if cube.mask is None else ~cube.mask)
    return {
        **about, "bad_pixels": f"{1 - good.mean():.2%}",
        "uncertainty": None if cube.uncertainty is None else cube.uncertainty.uncertainty_type,
        "psf_size": None if cube.psf is None else list(cube.psf.shape[1:]),
        "meta": [name for name in cube.meta if name != "galtrans"] or None, "translated_by": cube.meta.get("galtrans")}


def _pdf(pdf):
    import numpy as np

    grid = np.asarray(pdf.grid)
    return {"kind": "redshift densities", **pdf.counts, "interpolation": pdf.interpolation, "n_grid": int(grid.size),
            "lowest": float(grid[0]), "highest": float(grid[-1])}


def _estimator(estimator):
    return {"kind": "redshift estimator", "survey": estimator.survey, "bands": list(estimator.bands),
            "unit": estimator.unit, "image_shape": list(estimator.image_shape),
            "column_names": estimator.column_names, "summary": repr(estimator)}


def _catalog_estimator(estimator):
    return {"kind": "redshift estimator", "column_names": estimator.column_names, "summary": repr(estimator)}


_KINDS = {
    "Survey": _survey, "Translator": _translator, "PairSet": _pairs, "BandCube": _cube, "RedshiftPDF": _pdf,
    "RedshiftEstimator": _estimator, "CatalogEstimator": _catalog_estimator,
}


_FITS = (b"SIMPLE  =", b"BZh", b"\x1f\x8b")


def add_info(parser):
    """Add the arguments of the subcommand."""
    parser.add_argument("what", nargs="*", metavar="WHAT", help="translators, cubes, the bands of one cube as "
                        "g=my-g.fits r=my-r.fits, pairs, redshift estimators and densities, files of surveys, or names "
                        "of surveys or of translators that come with the package (default: list surveys and "
                        "translators)")
    add_reading(parser.add_argument_group("FITS files"))


def info(options):
    """Run the subcommand."""
    if not options.what:
        return _registered()
    config, bands = read_config(options), bands_of(options.what)
    if bands is None:
        found = [_found(name, config) for name in options.what]
    else:
        from astro_galtrans.images import read_cube

        found = [{"path": " ".join(options.what), **_described(read_cube(bands, config=config))}]
    lines = []
    for one in found:
        lines += ([""] if lines else []) + _lines(one)
    return Result(lines, {"found": found})


def _registered():
    """Surveys and translators that are known by name."""
    from astro_galtrans.storage import shipped_translators
    from astro_galtrans.surveys import available_surveys, get_survey

    surveys = {name: get_survey(name) for name in available_surveys()}
    translators = shipped_translators()
    width = max(map(len, (*surveys, *translators)))
    lines = ["surveys:"]
    lines += [f"  {name:{width}}  {','.join(survey.band_names)}; {survey.pixel_scale.to_value('arcsec'):.3g} arcsec a "
              f"pixel, {survey.unit}" for name, survey in surveys.items()]
    lines += ["translators:", *(f"  {name:{width}}  {text}" for name, text in translators.items())]
    return Result(lines, {
        "surveys": [{"name": name, "bands": survey.band_names, "pixel_scale": survey.pixel_scale.to("arcsec"),
                     "unit": survey.unit, "description": survey.description} for name, survey in surveys.items()],
        "translators": [{"name": name, "description": text} for name, text in translators.items()]})


def _found(name, config):
    """Description of a file or of a name, a dict."""
    from astro_galtrans.images import split_path

    path = split_path(name)[0]
    if path.is_dir():
        from astro_galtrans.pairs import PairSet

        return {"path": name, **_described(PairSet.open(path))}
    if not path.exists():
        return _by_name(name)
    if path.suffix.lower() in (".yaml", ".yml"):
        from astro_galtrans.surveys import get_survey

        return {"path": name, **_described(get_survey(path))}
    with open(path, "rb") as file:
        start = file.read(9)
    if start.startswith(_FITS):
        from astro_galtrans.exceptions import FileFormatError
        from astro_galtrans.images import read_cube

        try:
            cube = read_cube(name, config=config)
        except FileFormatError as error:
            if "no image" not in str(error):
                raise
            raise FileFormatError(f"{error}; a table of redshift densities is for galtrans photoz") from error
        return {"path": name, **_described(cube)}
    if not start.startswith(b"#ASDF"):
        raise ValueError(f"{name} is neither ASDF, FITS, YAML nor a set of pairs")
    from astro_galtrans.storage import load

    held = load(path)
    if not isinstance(held, dict):
        return {"path": name, **_described(held)}
    return {"path": name, "kind": "several objects", **{key: _described(value) for key, value in held.items()}}


def _by_name(name):
    from astro_galtrans.storage import load, shipped_translators
    from astro_galtrans.surveys import available_surveys, get_survey, same_name

    if name in shipped_translators():
        return _described(load(name))
    if any(same_name(name, known) for known in available_surveys()):
        return _described(get_survey(name))
    raise FileNotFoundError(f"there is no file {name}, nor a survey or translator of this name; "
                            f"known are {', '.join([*available_surveys(), *shipped_translators()])}")


def _lines(data, indent=""):
    """A description as aligned lines; nested values go below their name."""
    data = {key.replace("_", " "): value for key, value in data.items() if value is not None and value != ""}
    width = max((len(key) for key, value in data.items() if not isinstance(value, dict)), default=0) + 1
    lines = []
    for key, value in data.items():
        if key == "versions":
            value = [f"{package} {version}" for package, version in value.items()]
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", *_lines(value, f"{indent}  ")] if value else []
            continue
        first, *rest = _text(value).splitlines() or [""]
        lines.append(f"{indent}{f'{key}:':{width}} {first}".rstrip())
        lines += [f"{indent}{' ' * width} {line}".rstrip() for line in rest]
    return lines


def _text(value):
    from astropy.units import Quantity

    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value)
    if isinstance(value, Quantity):
        return f"{value.value:.6g} {value.unit}"
    return str(value)
