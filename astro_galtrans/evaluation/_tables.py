"""Tables from the measurements of all galaxies."""

import astropy.units as u
import numpy as np
from astropy.table import Table

from astro_galtrans._utils.masked import floats
from astro_galtrans.evaluation._measure import color_pairs, magnitudes
from astro_galtrans.evaluation._robust import Bootstrap, median, nmad, paired_reduction
from astro_galtrans.evaluation._run import INPUT, REFERENCE, RESAMPLED, TARGET
from astro_galtrans.gradients import radial_slopes

__all__ = ["Tabulator", "as_table", "verdict"]

_BULGE = 0.5  # bulge fraction above which a galaxy counts as early
_SLOPE_UNIT = u.mag / u.dex


def verdict(low, high):
    """Return 'wins', 'loses' or 'no difference measured' for the interval of an improvement."""
    if low > 0:
        return "wins"
    if high < 0:
        return "loses"
    return "no difference measured"


class Tabulator:
    """Builds the tables of an evaluation; translators are compared with the first of the names."""

    def __init__(self, measured, names, test, config, seed):
        self.measured, self.names, self.config = measured, list(names), config
        self.input_survey, self.target_survey = test.input_survey, test.target_survey
        self.z_spec = None if test.redshift is None else np.asarray(test.redshift, dtype=float)
        self.has_truth = test.target_truth is not None
        self.types = _galaxy_types(test.catalog)
        self.pairs = color_pairs(self.target_survey)
        self.bootstrap = {"n_bootstrap": config.n_bootstrap, "seed": seed, "confidence": config.confidence}
        self.interval = Bootstrap(**self.bootstrap).nmad

    def all_tables(self):
        """Return the tables that there is data for, by name."""
        tables = {"pixels": self.pixels(), "apertures": self.apertures(), "peaks": self.peaks(),
                  "colors": self.colors(), "color_profiles": self.color_profiles(),
                  "color_gradients": self.color_gradients()}
        if self.types:
            tables["color_profiles_by_type"] = self.color_profiles_by_type()
            tables["color_gradients_by_type"] = self.color_gradients_by_type()
        for name, table in (("redshift", self.redshift()), ("gains", self.gains()),
                            ("uncertainty", self.uncertainty())):
            if len(table):
                tables[name] = table
        return tables

    def images(self, *baselines):
        """Return the kinds of images in a table; the real target only where it is not the reference itself."""
        return [*baselines, *self.names, *([TARGET] if self.has_truth else [])]

    def get(self, image, name):
        """Return a measurement of all galaxies."""
        return self.measured.values[image, name]

    def errors(self, error, unit=1, prefix=""):
        """Return the columns bias, scatter, its interval and number of an error."""
        low, high = self.interval(error)
        return {f"{prefix}bias": median(error) * unit, f"{prefix}scatter": nmad(error) * unit,
                f"{prefix}scatter_low": low * unit, f"{prefix}scatter_high": high * unit,
                "n": int(np.isfinite(error).sum())}

    def survey_of(self, image):
        """Return the survey in whose bands and unit a kind of images is."""
        return self.input_survey if image == INPUT else self.target_survey

    # Fluxes

    def pixels(self):
        """Agreement pixel by pixel, of aperture magnitudes and of the peak, in each band."""
        truth = magnitudes(self.get(REFERENCE, "aperture"), self.target_survey)
        columns = {"relative_residual": "residual", "relative_rmse": "rmse", "chi2": "chi2",
                   "correlation": "correlation"}
        rows = []
        for image in self.images(RESAMPLED):
            apertures = magnitudes(self.get(image, "aperture"), self.target_survey) - truth
            peaks = self.peak_errors(image)
            for band, name in enumerate(self.target_survey.band_names):
                row = {"image": image, "band": name, "n": int(np.isfinite(self.get(image, "residual")[:, band]).sum())}
                row |= {column: median(self.get(image, key)[:, band]) for column, key in columns.items()}
                for index, radius in enumerate(self.config.aperture_radii):
                    row[f"aperture_bias_{radius:g}"] = median(apertures[:, band, index]) * u.mag
                    row[f"aperture_scatter_{radius:g}"] = nmad(apertures[:, band, index]) * u.mag
                row |= {"peak_bias": median(peaks[name]) * u.mag, "peak_scatter": nmad(peaks[name]) * u.mag}
                rows.append(row)
        return as_table(rows)

    def apertures(self):
        """Relative error of aperture fluxes of the galaxies that are bright enough in the target images."""
        reference, noise = self.get(REFERENCE, "aperture"), self.get(REFERENCE, "aperture_noise")
        with np.errstate(divide="ignore", invalid="ignore"):
            good = (reference / noise > self.config.snr_min) & (noise > 0)
        rows = []
        for image in self.images(INPUT, RESAMPLED):
            survey = self.survey_of(image)
            for band, name in enumerate(self.target_survey.band_names):
                if name not in survey.band_names:
                    continue
                own = self.get(image, "aperture")[:, survey.band_names.index(name)]
                scale = 10**(0.4 * (self.target_survey.bands[band].zero_point - survey[name].zero_point))
                for index, radius in enumerate(self.config.aperture_radii):
                    used = good[:, band, index]
                    error = scale * own[used, index] / reference[used, band, index] - 1
                    rows.append({"image": image, "band": name, "radius": radius * u.arcsec,
                                 "snr_min": float(self.config.snr_min), **self.errors(error)})
        return as_table(rows)

    def peak_errors(self, image):
        """Return the error of the peak magnitude, (galaxy,), by band; without bands that the image lacks."""
        survey = self.survey_of(image)
        own = magnitudes(self.get(image, "peak"), survey)
        reference = magnitudes(self.get(REFERENCE, "peak"), self.target_survey)
        return {name: own[:, survey.band_names.index(name)] - reference[:, band]
                for band, name in enumerate(self.target_survey.band_names) if name in survey.band_names}

    def peaks(self):
        """Error of the peak magnitude in each band, and of the colors of the peaks."""
        rows = []
        for image in self.images(INPUT, RESAMPLED):
            errors = self.peak_errors(image)
            for first, second in self.pairs:
                if {first, second} <= set(errors):
                    errors[f"{first}-{second}"] = errors[first] - errors[second]
            rows += [{"image": image, "what": what, **self.errors(error, u.mag)} for what, error in errors.items()]
        return as_table(rows)

    # Colors

    def _colors(self, image, measure, pair):
        """Colors (galaxy, aperture or annulus), or None without the bands."""
        survey = self.survey_of(image)
        if any(band not in survey.band_names for band in pair):
            return None
        mags = magnitudes(self.get(image, measure), survey)
        first, second = (mags[:, survey.band_names.index(band)] for band in pair)
        return first - second

    def color_errors(self, image, pair):
        """Return the error of the color in the largest aperture, (galaxy,), or None without the bands."""
        own = self._colors(image, "aperture", pair)
        return None if own is None else (own - self._colors(REFERENCE, "aperture", pair))[:, -1]

    def slope_errors(self, image, pair):
        """Return the error of the slope of color with log radius, (galaxy,), or None without the bands."""
        own = self._colors(image, "annulus", pair)
        if own is None:
            return None
        reference = self._colors(REFERENCE, "annulus", pair)
        return radial_slopes(own, self.config.annuli) - radial_slopes(reference, self.config.annuli)

    def _each_color(self, errors):
        """Kind of images, color and error, for all that have the bands."""
        for image in self.images(INPUT):
            for pair in self.pairs:
                error = errors(image, pair)
                if error is not None:
                    yield image, "-".join(pair), error

    def colors(self):
        """Error of the colors in the largest aperture."""
        radius = self.config.aperture_radii[-1] * u.arcsec
        return as_table([{"image": image, "color": color, "radius": radius, **self.errors(error, u.mag)}
                         for image, color, error in self._each_color(self.color_errors)])

    def color_gradients(self):
        """Error of the slope of color with log radius."""
        return as_table([{"image": image, "color": color, **self.errors(error, _SLOPE_UNIT, "slope_")}
                         for image, color, error in self._each_color(self.slope_errors)])

    def color_gradients_by_type(self):
        """Error of the slope of color with log radius, for early and late types."""
        return as_table([
            {"image": image, "color": color, "galaxies": kind, **self.errors(error[used], _SLOPE_UNIT, "slope_")}
            for image, color, error in self._each_color(self.slope_errors) for kind, used in self.types.items()])

    def _profiles(self, image, pair):
        """Colors in annuli of the images and of the reference, or None without the bands."""
        own = self._colors(image, "annulus", pair)
        return None if own is None else (own, self._colors(REFERENCE, "annulus", pair))

    def color_profiles(self):
        """Error of the color in annuli."""
        return as_table([
            {"image": image, "color": color, **ring, **_bias_and_scatter(own - reference)}
            for image, color, profiles in self._each_color(self._profiles)
            for ring, own, reference in self._rings(*profiles)])

    def color_profiles_by_type(self):
        """Error of the color in annuli and color of the reference, for early and late types."""
        return as_table([
            {"image": image, "color": color, "galaxies": kind, **ring, "reference": median(reference[used]) * u.mag,
             **_bias_and_scatter((own - reference)[used])}
            for image, color, profiles in self._each_color(self._profiles) for kind, used in self.types.items()
            for ring, own, reference in self._rings(*profiles)])

    def _rings(self, own, reference):
        for index, (inner, outer) in enumerate(zip(self.config.annuli, self.config.annuli[1:])):
            yield ({"radius_in": inner * u.arcsec, "radius_out": outer * u.arcsec}, own[:, index], reference[:, index])

    # Redshifts and comparison

    def redshift(self):
        """Metrics of the redshifts of each kind of images and estimator."""
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

    def gains(self):
        """Each further translator against the first: redshift, colors, color gradients."""
        first, rows = self.names[0], []
        for other in self.names[1:]:
            rows += self._redshift_gains(first, other)
            for pair in self.pairs:
                kinds = {"color scatter": self.color_errors, "color-gradient scatter": self.slope_errors}
                for what, errors in kinds.items():
                    pair_of_errors = errors(first, pair), errors(other, pair)
                    rows.append(_gain(f"{what} {'-'.join(pair)}", (first, other), map(nmad, pair_of_errors),
                                      paired_reduction(*pair_of_errors, **self.bootstrap)))
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
            rows.append(_gain(f"redshift NMAD, {kind}", (first, other), (result["b"], result["a"]), *spans))
        return rows

    def uncertainty(self):
        """Coverage of the stated uncertainties."""
        rows = []
        for image, counts in self.measured.coverage.items():
            for band, name in enumerate(self.target_survey.band_names):
                for region, (n, in68, in95, pull, square) in zip(("all pixels", "source pixels"), counts[band]):
                    if n:
                        rows.append({"image": image, "band": name, "region": region, "n_pixels": int(n),
                                     "coverage_68": in68 / n, "coverage_95": in95 / n, "pull_mean": pull / n,
                                     "pull_std": np.sqrt(max(square / n - (pull / n)**2, 0.0))})
        return as_table(rows)


def _galaxy_types(catalog):
    """Which galaxies are early and which late, by the bulge fraction in the catalog; empty if unknown."""
    if catalog is None or "bulge_fraction" not in catalog.colnames:
        return {}
    fraction = floats(catalog["bulge_fraction"], "bulge_fraction", dtype=float)
    kinds = {"early": fraction > _BULGE, "late": fraction <= _BULGE}
    return {name: rows for name, rows in kinds.items() if rows.any()}


def _bias_and_scatter(error):
    return {"bias": median(error) * u.mag, "scatter": nmad(error) * u.mag, "n": int(np.isfinite(error).sum())}


def _gain(measure, names, values, reduction, preservation=(np.nan,) * 3):
    first, other = map(float, values)
    row = {"measure": measure, "first": names[0], "other": names[1], "first_value": first, "other_value": other}
    for name, span in (("reduction", reduction), ("preservation_gain", preservation)):
        row |= {name: span[0], f"{name}_low": span[1], f"{name}_high": span[2]}
    return {**row, "verdict": verdict(*reduction[1:])}


def as_table(rows):
    """Return a Table with a unit per column, from rows with quantities."""
    table = Table()
    for name, value in (rows[0] if rows else {}).items():
        unit = value.unit if isinstance(value, u.Quantity) else None
        table[name] = [row[name] if unit is None else row[name].value for row in rows]
        table[name].unit = unit
        if table[name].dtype.kind == "f":
            table[name].info.format = ".4g"
    return table
