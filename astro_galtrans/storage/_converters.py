"""Converters between objects of this package and ASDF nodes.

ASDF loads this module in every session that opens an ASDF file, so classes are named by strings and imported when an
object is read.
"""

import warnings
from importlib import import_module

import numpy as np
from asdf.extension import Converter

from astro_galtrans.storage._digest import digest, plain

__all__ = ["CONVERTERS", "KEYS", "TAGS", "TAG_BASE", "class_path"]

TAG_BASE = "asdf://astro-galtrans.org/tags/"


def class_path(kind):
    """Return the full name of a class, by which ASDF identifies it."""
    return f"{kind.__module__}.{kind.__qualname__}"


def _require(node, key, kind):
    """Return ``node[key]``, which must have been converted to the class named ``kind``."""
    value = node[key]
    if type(value).__name__ != kind:
        from astro_galtrans.exceptions import FileFormatError

        raise FileFormatError(f"{key} could not be read as a {kind}; a newer astro_galtrans may be needed")
    return value


class _OwnConverter(Converter):
    """Converter of the class ``path`` under a tag of version 1.0.0; ``key`` is its key at the top of a tree."""

    name = ""
    key = ""
    path = ""

    @property
    def types(self):
        return [self.path]

    @property
    def tags(self):
        return [f"{TAG_BASE}{self.name}-1.0.0"]

    def imported(self):
        """Return the class, imported now."""
        module, _, name = self.path.rpartition(".")
        return getattr(import_module(module), name)


class BandConverter(_OwnConverter):
    """`astro_galtrans.surveys.Band`, every field."""

    name, key = "band", "band"
    path = "astro_galtrans.surveys._survey.Band"

    def to_yaml_tree(self, obj, tag, ctx):
        return {
            "name": obj.name, "wavelength": obj.wavelength, "response": obj.response, "zero_point": obj.zero_point,
            "psf_fwhm": obj.psf_fwhm, "sky_noise": obj.sky_noise, "gain": obj.gain,
        }

    def from_yaml_tree(self, node, tag, ctx):
        return self.imported()(**plain(node))


class SurveyConverter(_OwnConverter):
    """`astro_galtrans.surveys.Survey`, every field."""

    name, key = "survey", "survey"
    path = "astro_galtrans.surveys._survey.Survey"

    def to_yaml_tree(self, obj, tag, ctx):
        return {
            "name": obj.name, "bands": list(obj.bands), "pixel_scale": obj.pixel_scale, "unit": obj.unit.to_string(),
            "description": obj.description, **({"keywords": dict(obj.keywords)} if obj.keywords else {}),
        }

    def from_yaml_tree(self, node, tag, ctx):
        for i in range(len(node["bands"])):
            _require(node["bands"], i, "Band")
        return self.imported()(**plain(node))


class RedshiftPDFConverter(_OwnConverter):
    """`astro_galtrans.photoz.RedshiftPDF`: the grid and the densities, NaN where a galaxy is masked."""

    name, key = "redshift_pdf", "pdf"
    path = "astro_galtrans.photoz._pdf.RedshiftPDF"

    def to_yaml_tree(self, obj, tag, ctx):
        arrays = {"grid": obj.grid, "density": obj.density}
        tensor = not isinstance(obj.density, np.ndarray)
        if tensor:
            arrays = {name: value.cpu().numpy() for name, value in arrays.items()}
        return {**arrays, "tensor": tensor, "interpolation": obj.interpolation}

    def from_yaml_tree(self, node, tag, ctx):
        node = plain(node)
        density = node["density"]
        if node["tensor"]:
            import torch

            density = torch.from_numpy(density)
        return self.imported()(node["grid"], density, on_invalid="mask", interpolation=node["interpolation"])


class StateConverter(_OwnConverter):
    """A class with ``to_tree`` and ``from_tree``, whose tree is stored under a checksum of all of it."""

    def __init__(self, name, key, path):
        self.name, self.key, self.path = name, key, path

    def to_yaml_tree(self, obj, tag, ctx):
        state = obj.to_tree()
        return {"sha256": digest(state), "state": state}

    def from_yaml_tree(self, node, tag, ctx):
        from astro_galtrans.exceptions import FileFormatError

        label = self.name.replace("_", " ")
        state = plain(node["state"])
        if digest(state) != node["sha256"]:
            raise FileFormatError(
                f"the {label} was altered after it was written: its weights and options do not have the checksum "
                f"{node['sha256'][:12]}..."
            )
        kind = self.imported()
        try:
            return kind.from_tree(state)
        except (ValueError, TypeError, KeyError) as error:
            raise FileFormatError(
                f"the {label} cannot be built from its file by this astro_galtrans: {error}") from error


class SDSSPSFConverter(_OwnConverter):
    """`astro_galtrans.images.SDSSPSF`: eigen-images, the coefficients of their weights, and the header."""

    name, key = "sdss_psf", "sdss_psf"
    path = "astro_galtrans.images._psf.SDSSPSF"

    def to_yaml_tree(self, obj, tag, ctx):
        bases = [{"band": band, "images": basis.images, "coefficients": basis.coefficients}
                 for band, basis in obj.bases.items()]
        return {"bases": bases, "header": _store_headers(obj.header)}

    def from_yaml_tree(self, node, tag, ctx):
        node = plain(node)
        bases = {basis["band"]: (basis["images"], basis["coefficients"]) for basis in node["bases"]}
        return self.imported()(bases, _restore_headers(node["header"]))


class FieldPSFConverter(_OwnConverter):
    """`astro_galtrans.images.FieldPSF`: its model, as any object that ASDF can store, and the WCS of each band."""

    name, key = "field_psf", "field_psf"
    path = "astro_galtrans.images._psf.FieldPSF"

    def to_yaml_tree(self, obj, tag, ctx):
        # ASDF would sort a mapping by name.
        return {"bands": list(obj.bands), "wcs": [obj.wcs[band] for band in obj.bands], "model": obj.model}

    def from_yaml_tree(self, node, tag, ctx):
        node = plain(node)
        return self.imported()(node["model"], dict(zip(node["bands"], node["wcs"])))


class BandCubeConverter(_OwnConverter):
    """`astro_galtrans.images.BandCube`.

    The uncertainty is stored by its kind, because ASDF has no converter of an inverse variance; a FITS header in
    ``meta`` is stored as its cards.
    """

    name, key = "band_cube", "cube"
    path = "astro_galtrans.images._cube.BandCube"

    def to_yaml_tree(self, obj, tag, ctx):
        from astro_galtrans._utils.meta import writable

        node = {
            "data": np.asarray(obj.data), "unit": None if obj.unit is None else obj.unit.to_string(),
            "bands": list(obj.bands), "survey": obj.survey, "wcs": None if obj.wcs is None else obj.wcs.low_level_wcs,
            "mask": None if obj.mask is None else np.asarray(obj.mask), "uncertainty": None,
            "psf": _stored_psf(obj), "meta": writable(obj.meta, arrays=True, refuse=True),
        }
        if obj.uncertainty is not None:
            unit = obj.uncertainty.unit
            node["uncertainty"] = {
                "kind": obj.uncertainty.uncertainty_type, "array": np.asarray(obj.uncertainty.array),
                "unit": None if unit is None else unit.to_string(),
            }
        return node

    def from_yaml_tree(self, node, tag, ctx):
        from astro_galtrans._utils.meta import decoded

        if node["survey"] is not None:
            _require(node, "survey", "Survey")
        arguments = plain(node)
        uncertainty = arguments["uncertainty"]
        if uncertainty is not None:
            arguments["uncertainty"] = _uncertainty(**uncertainty)
        arguments["meta"] = decoded(arguments["meta"])
        return self.imported()(arguments.pop("data"), **arguments)


def _stored_psf(cube):
    """Return the PSF of a field if ASDF can store its model, else the image of the PSF in the middle."""
    field = cube.psf_field
    if field is not None:
        import asdf

        if asdf.AsdfFile().extension_manager.handles_type(type(field.model)):
            return field
        variation = field.variation(cube.wcs, cube.shape[1:])
        if variation > _PSF_VARIATION:
            from astro_galtrans.exceptions import GaltransWarning

            warnings.warn(
                f"the PSF varies over the image by {variation:.0%} of its peak, and ASDF cannot store its model, a "
                f"{type(field.model).__name__}; the file contains that of the middle only",
                GaltransWarning, stacklevel=2)
    return None if cube.psf is None else np.asarray(cube.psf)


def _uncertainty(kind, array, unit):
    from astropy.nddata import InverseVariance, StdDevUncertainty, UnknownUncertainty, VarianceUncertainty

    kinds = {"std": StdDevUncertainty, "var": VarianceUncertainty, "ivar": InverseVariance,
             "unknown": UnknownUncertainty}
    return kinds[kind](array, unit=unit)


def _store_headers(value):
    from astropy.io.fits import Header

    if isinstance(value, Header):
        return {_HEADER_KEY: value.tostring(sep="\n", endcard=False, padding=False)}
    if isinstance(value, dict):
        return {key: _store_headers(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_store_headers(item) for item in value]
    return value


def _restore_headers(value):
    if isinstance(value, dict):
        if list(value) == [_HEADER_KEY]:
            from astropy.io.fits import Header

            return Header.fromstring(value[_HEADER_KEY], sep="\n")
        return {key: _restore_headers(item) for key, item in value.items()}
    return [_restore_headers(item) for item in value] if isinstance(value, list) else value


_HEADER_KEY = "fits_header_cards"
_PSF_VARIATION = 0.02  # of the peak, as in the FITS files of a cube
CONVERTERS = [
    BandConverter(), SurveyConverter(), BandCubeConverter(), RedshiftPDFConverter(), SDSSPSFConverter(),
    FieldPSFConverter(),
    StateConverter("translator", "translator", "astro_galtrans.translation._translator.Translator"),
    StateConverter("redshift_estimator", "estimator", "astro_galtrans.photoz._estimator.RedshiftEstimator"),
    StateConverter("catalog_estimator", "catalog_estimator", "astro_galtrans.photoz._catalog.CatalogEstimator"),
    StateConverter("pit_calibration", "calibration", "astro_galtrans.photoz._calibration.PITCalibration"),
]
KEYS = {converter.path: converter.key for converter in CONVERTERS}
TAGS = frozenset(tag for converter in CONVERTERS for tag in converter.tags)
