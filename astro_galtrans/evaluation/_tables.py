"""Tables from the measurements of all galaxies."""

import astropy.units as u
import numpy as np
from astropy.table import Table

from astro_galtrans._utils.masked import floats
from astro_galtrans.evaluation._measure import color_pairs, magnitudes
from astro_galtrans.evaluation._robust import Bootstrap, median, nmad, paired_reduction
from astro_galtrans.evaluation._run import INPUT, TARGET
from astro_galtrans.gradients import radial_slopes

__all__ = [
    "Tabulator", "apertures", "as_table", "color_gradients_by_type", "color_profiles_by_type", "galaxy_types",
    "peaks", "verdict",
]


def verdict(low, high):
    """What an interval of an improvement says: 'wins', 'loses' or 'no difference measured'."""
    if low > 0:
        return "wins"
    if high < 0:
        return "loses"
    return "no difference measured"


class Tabulator:
    """Makes the tables of an evaluation.

    Parameters
    ----------
    measured : Measured
    names : list of str
        The translators; the first is the one that the others are compared with.
    test : PairSet
    aperture_radii, annuli : sequence of float
        In arcsec.
    n_bootstrap, seed, confidence
        Of the intervals.
    """

    def __init__(self, measured, names, test, *, aperture_radii, annuli, n_bootstrap, seed, confidence):
        self.measured, self.names = measured, list(names)
        self.input_survey, self.target_survey = test.input_survey, test.target_survey
        self.z_spec = None if test.redshift is None else np.asarray(test.redshift, dtype=float)
        self.has_truth = test.target_truth is not None
        self.aperture_radii, self.annuli = tuple(aperture_radii), tuple(annuli)
        self.bootstrap = {"n_bootstrap": n_bootstrap, "seed": seed, "confidence": confidence}
        self.interval = Bootstrap(**self.bootstrap).nmad
        self.n = len(test)

    def images(self, reference):
        """Kinds of images with a row of their own; the real target only where it is not the reference itself."""
        return [reference, *self.names, *([TARGET] if self.has_truth else [])]

    def get(self, image, name):
        return self.measured.values[image, name]

    # pixels ------------------------------------------------------------------------------------------------------

    def pixels(self):
        truth = magnitudes(self.get("reference", "aperture"), self.target_survey)
        rows = []
        for image in self.images("resampled input"):
            apertures = magnitudes(self.get(image, "aperture"), self.target_survey) - truth
            peaks = self.peak_errors(image)
            for band, name in enumerate(self.target_survey.band_names):
                row = {"image": image, "band": name, "n": int(np.isfinite(self.get(image, "residual")[:, band]).sum()),
                       "relative_residual": median(self.get(image, "residual")[:, band]),
                       "relative_rmse": median(self.get(image, "rmse")[:, band]),
                       "chi2": median(self.get(image, "chi2")[:, band]),
                       "correlation": median(self.get(image, "correlation")[:, band])}
                for index, radius in enumerate(self.aperture_radii):
                    row[f"aperture_bias_{radius:g}"] = median(apertures[:, band, index]) * u.mag
                    row[f"aperture_scatter_{radius:g}"] = nmad(apertures[:, band, index]) * u.mag
                row.update(peak_bias=median(peaks[name]) * u.mag, peak_scatter=nmad(peaks[name]) * u.mag)
                rows.append(row)
        return as_table(rows)

    def peak_errors(self, image):
        """Magnitude of the peak minus that of the reference, (galaxy,), by band; without bands that it lacks."""
        survey = self.survey_of(image)
        own = magnitudes(self.get(image, "peak"), survey)
        reference = magnitudes(self.get("reference", "peak"), self.target_survey)
        return {name: own[:, survey.band_names.index(name)] - reference[:, band]
                for band, name in enumerate(self.target_survey.band_names) if name in survey.band_names}

    # colours -----------------------------------------------------------------------------------------------------

    def survey_of(self, image):
        """The survey in whose bands and unit a kind of images is."""
        return self.input_survey if image == INPUT else self.target_survey

    def _colors(self, image, measure, pair, index):
        survey = self.survey_of(image)
        if any(band not in survey.band_names for band in pair):
            return None
        flux = self.get(image, measure)[..., index]
        mags = magnitudes(flux, survey)
        first, second = (mags[:, survey.band_names.index(band)] for band in pair)
        return first - second

    def color_errors(self, image, pair, index=-1):
        """Colour of the images in an aperture minus that of the reference, (galaxy,), or None without the bands."""
        own = self._colors(image, "aperture", pair, index)
        return None if own is None else own - self._colors("reference", "aperture", pair, index)

    def colors(self):
        rows = []
        for image in self.images(INPUT):
            for pair in color_pairs(self.target_survey):
                error = self.color_errors(image, pair)
                if error is None:
                    continue
                low, high = self.interval(error)
                rows.append({
                    "image": image, "color": "-".join(pair), "radius": self.aperture_radii[-1] * u.arcsec,
                    "bias": median(error) * u.mag, "scatter": nmad(error) * u.mag, "scatter_low": low * u.mag,
                    "scatter_high": high * u.mag, "n": int(np.isfinite(error).sum())})
        return as_table(rows)

    # colour gradients ----------------------------------------------------------------------------------------------

    def profiles(self, image, pair):
        """Colours in the annuli, (galaxy, annulus), or None without the bands."""
        return self._colors(image, "annulus", pair, slice(None))

    def slope_errors(self, image, pair):
        """Slope of colour with log radius minus that of the reference, (galaxy,), or None without the bands."""
        own = self.profiles(image, pair)
        if own is None:
            return None
        return radial_slopes(own, self.annuli) - radial_slopes(self.profiles("reference", pair), self.annuli)

    def color_profiles(self):
        rows = []
        for image in self.images(INPUT):
            for pair in color_pairs(self.target_survey):
                own = self.profiles(image, pair)
                if own is None:
                    continue
                error = own - self.profiles("reference", pair)
                for index, (inner, outer) in enumerate(zip(self.annuli, self.annuli[1:])):
                    rows.append({
                        "image": image, "color": "-".join(pair), "radius_in": inner * u.arcsec,
                        "radius_out": outer * u.arcsec, "bias": median(error[:, index]) * u.mag,
                        "scatter": nmad(error[:, index]) * u.mag, "n": int(np.isfinite(error[:, index]).sum())})
        return as_table(rows)

    def color_gradients(self):
        unit = u.mag / u.dex
        rows = []
        for image in self.images(INPUT):
            for pair in color_pairs(self.target_survey):
                error = self.slope_errors(image, pair)
                if error is None:
                    continue
                low, high = self.interval(error)
                rows.append({
                    "image": image, "color": "-".join(pair), "slope_bias": median(error) * unit,
                    "slope_scatter": nmad(error) * unit, "slope_scatter_low": low * unit,
                    "slope_scatter_high": high * unit, "n": int(np.isfinite(error).sum())})
        return as_table(rows)

    # redshifts -----------------------------------------------------------------------------------------------------

    def redshift(self):
        from astro_galtrans.photoz import point_metrics

        rows = []
        for label, z_phot in self.measured.redshift.items():
            result = point_metrics(z_phot, self.z_spec, on_invalid="mask", **self.bootstrap)
            low, high = result.intervals.get("nmad", (np.nan, np.nan))
            image, _, kind = label.rpartition(", ") if label not in (INPUT, TARGET) else (label, "", "real")
            rows.append({"images": label, "image": image, "estimator": kind, "nmad": result["nmad"], "nmad_low": low,
                         "nmad_high": high, **{name: result[name] for name in
                                               ("bias_mean", "bias_median", "outlier_005", "outlier_015")},
                         "n": int(result["n"]), "n_left_out": int(result["n_masked"])})
        return as_table(rows)

    # comparison ----------------------------------------------------------------------------------------------------

    def gains(self):
        """Each further translator against the first: redshift, colours, colour gradients."""
        rows = []
        for other in self.names[1:]:
            rows += self._redshift_gains(self.names[0], other)
            for pair in color_pairs(self.target_survey):
                kinds = {"color scatter": self.color_errors, "color-gradient scatter": self.slope_errors}
                for what, errors in kinds.items():
                    first, own = errors(self.names[0], pair), errors(other, pair)
                    gain, low, high = paired_reduction(first, own, **self.bootstrap)
                    rows.append(_gain_row(f"{what} {'-'.join(pair)}", self.names[0], other, nmad(first), nmad(own),
                                          (gain, low, high), 3 * (np.nan,)))
        return as_table(rows)

    def _redshift_gains(self, first, other):
        from astro_galtrans.photoz import paired_bootstrap

        rows = []
        for kind in ("transfer", "retrained"):
            values = [self.measured.redshift.get(label) for label in (f"{other}, {kind}", f"{first}, {kind}", TARGET)]
            if any(value is None for value in values):
                continue
            result = paired_bootstrap(values[0], values[1], self.z_spec, z_phot_real=values[2], on_invalid="mask",
                                      **self.bootstrap)
            spans = [(result[name], *result.intervals.get(name, (np.nan, np.nan)))
                     for name in ("reduction", "preservation_gain")]
            rows.append(_gain_row(f"redshift NMAD, {kind}", first, other, result["b"], result["a"], *spans))
        return rows

    # uncertainty -----------------------------------------------------------------------------------------------------

    def uncertainty(self):
        rows = []
        for image, counts in self.measured.coverage.items():
            for band, name in enumerate(self.target_survey.band_names):
                for region, (n, in68, in95, pull, square) in zip(("all pixels", "source pixels"), counts[band]):
                    if n:
                        rows.append({"image": image, "band": name, "region": region, "n_pixels": int(n),
                                     "coverage_68": in68 / n, "coverage_95": in95 / n, "pull_mean": pull / n,
                                     "pull_std": np.sqrt(max(square / n - (pull / n)**2, 0.0))})
        return as_table(rows)


def _gain_row(measure, first, other, first_value, other_value, reduction, preservation):
    return {
        "measure": measure, "first": first, "other": other, "first_value": float(first_value),
        "other_value": float(other_value), "reduction": reduction[0], "reduction_low": reduction[1],
        "reduction_high": reduction[2], "preservation_gain": preservation[0], "preservation_gain_low": preservation[1],
        "preservation_gain_high": preservation[2], "verdict": verdict(reduction[1], reduction[2])}


def as_table(rows):
    """A Table with a unit per column, from rows that hold Quantities."""
    if not rows:
        return Table()
    table = Table()
    for name, value in rows[0].items():
        unit = getattr(value, "unit", None)
        table[name] = [row[name].value if unit is not None else row[name] for row in rows]
        table[name].unit = unit
        if table[name].dtype.kind == "f":
            table[name].info.format = ".4g"
    return table


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
