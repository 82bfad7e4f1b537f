"""Tables of fluxes in apertures, of peaks, and of colour gradients by type of galaxy."""

import astropy.units as u
import numpy as np

from astro_galtrans._utils.masked import floats
from astro_galtrans.evaluation._measure import color_pairs
from astro_galtrans.evaluation._robust import median, nmad
from astro_galtrans.evaluation._run import INPUT
from astro_galtrans.evaluation._tables import as_table

__all__ = ["apertures", "color_gradients_by_type", "color_profiles_by_type", "galaxy_types", "peaks"]

_LIMIT = 0.5  # share of the light that is in the bulge


def apertures(make, snr_min):
    """Relative error of aperture fluxes, of the galaxies whose reference is ``snr_min`` times the target's noise.

    Parameters
    ----------
    make : Tabulator
    snr_min : float

    Returns
    -------
    Table
    """
    reference, noise = make.get("reference", "aperture"), make.get("reference", "aperture_noise")
    with np.errstate(divide="ignore", invalid="ignore"):
        good = (reference / noise > snr_min) & (noise > 0)
    rows = []
    for image in _all_images(make):
        survey = make.survey_of(image)
        for band, name in enumerate(make.target_survey.band_names):
            if name not in survey.band_names:
                continue
            own = make.get(image, "aperture")[:, survey.band_names.index(name)]
            scale = 10**(0.4 * (make.target_survey.bands[band].zero_point - survey[name].zero_point))
            for index, radius in enumerate(make.aperture_radii):
                used = good[:, band, index]
                error = scale * own[used, index] / reference[used, band, index] - 1
                rows.append({"image": image, "band": name, "radius": radius * u.arcsec, "snr_min": float(snr_min),
                             **_errors(make, error)})
    return as_table(rows)


def peaks(make):
    """Error of the peak flux in each band and of the colours of the peaks, in magnitudes."""
    rows = []
    for image in _all_images(make):
        errors = make.peak_errors(image)
        for pair in color_pairs(make.target_survey):
            if set(pair) <= set(errors):
                errors["-".join(pair)] = errors[pair[0]] - errors[pair[1]]
        rows += [{"image": image, "what": what, **_errors(make, error, u.mag)} for what, error in errors.items()]
    return as_table(rows)


def _all_images(make):
    return [INPUT, *make.images("resampled input")]


def _errors(make, error, unit=1):
    low, high = make.interval(error)
    return {"bias": median(error) * unit, "scatter": nmad(error) * unit, "scatter_low": low * unit,
            "scatter_high": high * unit, "n": int(np.isfinite(error).sum())}


def galaxy_types(test):
    """Which galaxies are ``"early"`` and which ``"late"``, {str: bool ndarray}; empty where it is not known.

    Early galaxies have more than half of their light in the bulge, by ``bulge_fraction`` of the catalogue.
    """
    if test.catalog is None or "bulge_fraction" not in test.catalog.colnames:
        return {}
    fraction = floats(test.catalog["bulge_fraction"], "bulge_fraction", dtype=float)
    kinds = {"early": fraction > _LIMIT, "late": fraction <= _LIMIT}
    return {name: rows for name, rows in kinds.items() if rows.any()}


def color_gradients_by_type(make, types):
    """As the table of colour gradients, for galaxies of each type."""
    unit = u.mag / u.dex
    rows = []
    for image, pair, kind, used in _by_type(make, types):
        error = make.slope_errors(image, pair)
        if error is None:
            continue
        rows.append({"image": image, "color": "-".join(pair), "galaxies": kind,
                     **{name if name == "n" else f"slope_{name}": value
                        for name, value in _errors(make, error[used], unit).items()}})
    return as_table(rows)


def color_profiles_by_type(make, types):
    """As the table of colour profiles, for galaxies of each type, with their median colour."""
    rows = []
    for image, pair, kind, used in _by_type(make, types):
        own = make.profiles(image, pair)
        if own is None:
            continue
        own, reference = own[used], make.profiles("reference", pair)[used]
        for index, (inner, outer) in enumerate(zip(make.annuli, make.annuli[1:])):
            error = own[:, index] - reference[:, index]
            rows.append({
                "image": image, "color": "-".join(pair), "galaxies": kind, "radius_in": inner * u.arcsec,
                "radius_out": outer * u.arcsec, "reference": median(reference[:, index]) * u.mag,
                "bias": median(error) * u.mag, "scatter": nmad(error) * u.mag, "n": int(np.isfinite(error).sum())})
    return as_table(rows)


def _by_type(make, types):
    for image in make.images(INPUT):
        for pair in color_pairs(make.target_survey):
            for kind, used in types.items():
                yield image, pair, kind, used
