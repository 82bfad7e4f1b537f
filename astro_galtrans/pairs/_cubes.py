"""One pair as images with a place on the sky."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TYPE_CHECKING

import numpy as np
from astropy.nddata import InverseVariance

from astro_galtrans._utils.masked import floats
from astro_galtrans.images import BandCube
from astro_galtrans.pairs._display import pair_html, plot_pair
from astro_galtrans.pairs._match_stamps import grid_wcs
from astro_galtrans.spectra import to_spectrum

if TYPE_CHECKING:
    from specutils import Spectrum

__all__ = ["GalaxyPair", "galaxy_pair"]


@dataclass(frozen=True, repr=False)
class GalaxyPair:
    """One galaxy in two surveys.

    Parameters
    ----------
    input, target : `~astro_galtrans.images.BandCube`
        The images.
    redshift : float or None
        Spectroscopic or true redshift; None where not known.
    id : int or str
        Name of the galaxy.
    redshift_error : float or None, optional
        Standard deviation of the redshift; None where not known.
    spectrum : `specutils.Spectrum` or None, optional
        On the grid of the set of pairs; None where the galaxy has none.
    """

    input: BandCube
    target: BandCube
    redshift: float | None
    id: Any
    redshift_error: float | None = None
    spectrum: Spectrum | None = None

    def __repr__(self) -> str:
        redshift = "" if self.redshift is None else f", redshift {self.redshift:.4g}"
        spectrum = "" if self.spectrum is None else ", with a spectrum"
        return f"<GalaxyPair {self.id}: {self.input!r} -> {self.target!r}{redshift}{spectrum}>"

    _repr_html_ = pair_html
    plot = plot_pair


def _centred_grid(survey, shape):
    """North up and east left, with the position at the centre of the array."""
    scale = survey.pixel_scale.to_value("arcsec")
    return np.array([(shape[-1] - 1) / 2, (shape[-2] - 1) / 2, -scale, 0, 0, scale])


def _grid(pairs, row, side, survey, shape):
    """The pixel grid of an image: that of the catalogue, or a centred one."""
    name = f"{side}_grid"
    if pairs.catalog is not None and name in pairs.catalog.colnames and np.shape(pairs.catalog[name]) == (
            len(pairs), 6):
        return np.asarray(pairs.catalog[name][row], dtype=float)
    return _centred_grid(survey, shape)


def _position(pairs, row):
    """ICRS position in degrees, and whether it is known."""
    catalog = pairs.catalog
    if catalog is None or not {"ra", "dec"} <= set(catalog.colnames):
        return 0.0, 0.0, False
    values = [float(floats(catalog[name][row], name)) for name in ("ra", "dec")]
    if not np.all(np.isfinite(values)) or abs(values[1]) > 90:
        return 0.0, 0.0, False
    return *values, True


def galaxy_pair(pairs, row):
    """Row ``row`` of a `PairSet` as a `GalaxyPair` of cubes."""
    ra, dec, known = _position(pairs, row)
    batch = pairs.read(row)
    name = pairs.ids[row].item()
    cubes = []
    for side, survey in (("input", pairs.input_survey), ("target", pairs.target_survey)):
        flux, weight = batch[f"{side}_flux"][0], batch[f"{side}_weight"]
        mask = uncertainty = None
        if weight is not None:
            mask, uncertainty = weight[0] == 0, InverseVariance(weight[0])
        psf = batch[f"{side}_psf"]
        psf = psf[0] if psf is not None and psf.any() else None
        meta = {"id": name}
        if not known:
            meta["position"] = "not known; the WCS is centred on ra 0, dec 0"
        cubes.append(BandCube(flux, unit=survey.unit, survey=survey, bands=survey.band_names, mask=mask,
                              wcs=grid_wcs(ra, dec, _grid(pairs, row, side, survey, flux.shape)),
                              uncertainty=uncertainty, psf=psf, meta=meta))
    redshift, redshift_error = (
        None if batch[name] is None or np.isnan(batch[name][0]) else float(batch[name][0])
        for name in ("redshift", "redshift_error"))
    spectrum = None
    if pairs.spectrum_grid is not None:
        spectrum = to_spectrum(batch["spectrum_flux"][0], batch["spectrum_weight"][0], pairs.spectrum_grid)
    return GalaxyPair(*cubes, redshift=redshift, id=name, redshift_error=redshift_error, spectrum=spectrum)
