"""From numbers per galaxy to tables."""

import astropy.units as u
import numpy as np
from astropy.table import Table

from astro_galtrans.evaluation._measure import color_pairs, magnitudes
from astro_galtrans.evaluation._robust import Bootstrap, median, nmad, paired_reduction
from astro_galtrans.evaluation._run import INPUT, TARGET
from astro_galtrans.gradients import radial_slopes

__all__ = ["Tabulator", "as_table", "verdict"]


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
