"""One pair as images with a place on the sky."""

import numpy as np
from astropy.nddata import InverseVariance
from astropy.wcs import WCS

from astro_galtrans.images import BandCube
from astro_galtrans.pairs._pairset import GalaxyPair

__all__ = ["galaxy_pair"]


def _centred_wcs(ra, dec, survey, shape):
    """TAN projection, north up and east left, with a position at the centre of the array."""
    scale = survey.pixel_scale.to_value("deg")
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.cunit = "deg", "deg"
    wcs.wcs.crval = ra, dec
    wcs.wcs.crpix = (shape[-1] + 1) / 2, (shape[-2] + 1) / 2
    wcs.wcs.cdelt = -scale, scale
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.set()
    return wcs


def _position(pairs, row):
    """ICRS position in degrees, and whether it is known."""
    catalog = pairs.catalog
    if catalog is None or not {"ra", "dec"} <= set(catalog.colnames):
        return 0.0, 0.0, False
    values = [float(np.ma.filled(np.ma.asarray(catalog[name][row], dtype=float), np.nan)) for name in ("ra", "dec")]
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
        meta = {"id": name}
        if not known:
            meta["position"] = "not known; the WCS is centred on ra 0, dec 0"
        cubes.append(BandCube(flux, unit=survey.unit, wcs=_centred_wcs(ra, dec, survey, flux.shape), survey=survey,
                              bands=survey.band_names, mask=mask, uncertainty=uncertainty, meta=meta))
    redshift = None if pairs.redshift is None or np.isnan(pairs.redshift[row]) else float(pairs.redshift[row])
    return GalaxyPair(*cubes, redshift=redshift, id=name)
