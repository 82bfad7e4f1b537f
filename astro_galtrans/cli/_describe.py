"""What the objects of the package are, as plain values under plain names."""

import re
import textwrap

import astropy.units as u
import numpy as np

__all__ = ["described"]

_WIDTH = 90


def described(value):
    """A dict that tells what an object is; its first key is ``kind``."""
    return _KINDS.get(type(value).__name__, _other)(value)


def _other(value):
    return {"kind": type(value).__name__, "summary": repr(value)}


def _survey(survey):
    bands = {band.name: {
        "wavelength": band.effective_wavelength.to(u.AA), "zero_point": float(band.zero_point),
        "psf_fwhm": band.psf_fwhm.to(u.arcsec), "sky_noise": float(band.sky_noise)} for band in survey}
    return {"kind": "survey", "name": survey.name, "unit": survey.unit, "pixel_scale": survey.pixel_scale.to(u.arcsec),
            "description": survey.description, "bands": bands}


def _side(survey, size=None):
    told = {"survey": survey.name, "bands": list(survey.band_names), "unit": survey.unit,
            "pixel_scale": survey.pixel_scale.to(u.arcsec)}
    return told if size is None else {**told, "size": [int(side) for side in size]}


def _translator(translator):
    provenance = dict(translator.provenance)
    card, options = provenance.pop("card", None), translator.network.options
    config = provenance.get("config", {})
    sizes = [provenance.get(name) for name in ("input_shape", "target_shape")]
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
            "epochs": config.get("epochs"), "best_epoch": _counted_from_one(provenance.get("best_epoch")),
            "seed": provenance.get("seed"), "device": provenance.get("device"), "command": provenance.get("command"),
            "versions": provenance.get("versions")},
        "card": None if card is None else _card(card)}


def _counted_from_one(epoch):
    return None if epoch is None else epoch + 1


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
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    if not known.size:
        return {"known": 0}
    return {"known": int(known.size), "lowest": float(known.min()), "median": float(np.median(known)),
            "highest": float(known.max())}


def _pairs(pairs):
    kinds = [name for name in ("input_weight", "target_weight", "input_truth", "target_truth", "spectrum_flux")
             if getattr(pairs, name) is not None]
    catalog = pairs.catalog
    return {
        "kind": "pairs", "n": len(pairs), "input": _side(pairs.input_survey, pairs.input_flux.shape[-2:]),
        "target": _side(pairs.target_survey, pairs.target_flux.shape[-2:]), "also": kinds or None,
        "spectrum_grid": None if pairs.spectrum_grid is None else repr(pairs.spectrum_grid),
        "redshift": None if pairs.redshift is None else _range(pairs.redshift),
        "catalog": None if catalog is None else list(catalog.colnames),
        "translated_by": None if catalog is None else catalog.meta.get("galtrans")}


def _cube(cube):
    told = {"kind": "cube", "bands": list(cube.bands), "size": list(cube.shape[1:]), "unit": cube.unit,
            "survey": None if cube.survey is None else cube.survey.name, "pixel_scale": cube.pixel_scale}
    if cube.wcs is not None:
        centre = cube.wcs.pixel_to_world(*((side - 1) / 2 for side in cube.shape[:0:-1]))
        if hasattr(centre, "icrs"):
            told["centre"] = {"ra": centre.icrs.ra.to(u.deg), "dec": centre.icrs.dec.to(u.deg)}
    good = np.isfinite(cube.data) & (True if cube.mask is None else ~cube.mask)
    return {
        **told, "bad_pixels": f"{1 - good.mean():.2%}",
        "uncertainty": None if cube.uncertainty is None else cube.uncertainty.uncertainty_type,
        "psf_size": None if cube.psf is None else list(cube.psf.shape[1:]),
        "meta": [name for name in cube.meta if name != "galtrans"] or None, "translated_by": cube.meta.get("galtrans")}


def _pdf(pdf):
    grid = np.asarray(pdf.grid.cpu() if hasattr(pdf.grid, "cpu") else pdf.grid)
    return {"kind": "redshift densities", **pdf.counts, "interpolation": pdf.interpolation, "n_grid": int(grid.size),
            "lowest": float(grid[0]), "highest": float(grid[-1])}


def _estimator(estimator):
    told = {name: getattr(estimator, name) for name in ("survey", "bands", "unit", "image_shape", "column_names")
            if hasattr(estimator, name)}
    told = {name: list(value) if isinstance(value, tuple) else getattr(value, "name", value)
            for name, value in told.items()}
    return {"kind": "redshift estimator", **told, "summary": repr(estimator)}


_KINDS = {
    "Survey": _survey, "Translator": _translator, "PairSet": _pairs, "BandCube": _cube, "RedshiftPDF": _pdf,
    "RedshiftEstimator": _estimator, "CatalogEstimator": _estimator,
}
