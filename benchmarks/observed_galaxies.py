"""Measure the joint distribution of magnitude, redshift and spectrum of observed galaxies, and check draws from it.

    python benchmarks/observed_galaxies.py --data $GALTRANS_REAL_DATA --out benchmarks/results/observed_galaxies
    python benchmarks/observed_galaxies.py --data $GALTRANS_REAL_DATA --out results --fit --statistics new.ecsv

With ``--fit`` the statistics that the package ships (``simulation/observed_galaxies.ecsv``) are measured anew:

- 10,000 SDSS galaxies that are part of kcorrect, 5,000 of the SDSS main sample (training half of MLZ) and 12,400
  CFHTLS galaxies of the EGS with spectroscopic redshifts (DEEP2/3, 3D-HST) are fitted with the templates of kcorrect;
- the templates are corrected by smooth functions of wavelength, so that their mean residuals vanish;
- the noise of the EGS photometry is removed from the distribution of the fits;
- galaxies are resampled to a uniform distribution in r. To r = 19.5 they are SDSS galaxies put at other redshifts, with
  weights 1 / Vmax, beyond r = 21 EGS galaxies, with a mixture between. The SDSS galaxies are those of the main
  sample, as the ones of kcorrect lack the nearest;
- a Gaussian mixture is fitted to r, ln(redshift) and the square roots of the fractions of the templates.

Tables: ``residuals.ecsv``, residuals of the fits by band; ``colors.ecsv``, median and robust scatter of colors by
redshift and magnitude, observed and simulated; ``redshifts.ecsv``, percentiles of redshift by magnitude;
``neighbors.ecsv``, accuracy of redshifts from 15 nearest neighbors in colors and r, observed and simulated with the
same errors. The half of the SDSS main sample that is compared is not the one that is fitted.
"""

from __future__ import annotations

import argparse
import logging
import os
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path  # noqa: E402
from typing import NamedTuple  # noqa: E402

import kcorrect  # noqa: E402
import numpy as np  # noqa: E402
from astropy.cosmology import FlatLambdaCDM  # noqa: E402
from astropy.stats import mad_std  # noqa: E402
from astropy.table import Table  # noqa: E402
from scipy.optimize import nnls  # noqa: E402
from scipy.spatial import KDTree  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.mixture import GaussianMixture  # noqa: E402

from astro_galtrans.simulation import GalaxyPopulation, ObservedPopulation, ObservedSEDs  # noqa: E402
from astro_galtrans.surveys import get_survey  # noqa: E402

log = logging.getLogger("observed_galaxies")
COSMOLOGY = FlatLambdaCDM(H0=70, Om0=0.3)
# SDSS magnitudes to AB: the values of kcorrect (Blanton & Roweis 2007).
SDSS_TO_AB = np.array([-0.036, 0.012, 0.010, 0.028, 0.040])
FLOOR = np.array([0.05, 0.02, 0.02, 0.02, 0.03])  # mag, of the errors in the fits
MAGNITUDE_RANGE = (14.5, 25.5)
# Standard deviations of reddening, ln(line strength) and modulation, tuned on the tables of this script.
SCATTER = {"reddening": 0.015, "log_line_strength": 0.4,
           "modulation": [0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.035, 0.02, 0.015, 0.015, 0.02, 0.03, 0.03, 0.03, 0.03]}
EVOLUTION = 1.62  # mag per unit redshift (Blanton et al. 2003)
JOIN = (19.5, 21.0)  # from moved SDSS galaxies to those of the EGS
N_PER_MAG = 2500
N_COMPONENTS = 180
N_CANDIDATES = 300  # galaxies of similar redshift and magnitude, in the removal of noise
N_NEIGHBORS = 15


class Sample(NamedTuple):
    """Galaxies of a survey: redshifts, AB magnitudes in five bands and their errors, and the total r magnitude."""

    survey: str
    redshift: np.ndarray
    mag: np.ndarray
    error: np.ndarray
    r_mag: np.ndarray

    def select(self, kept):
        return Sample(self.survey, self.redshift[kept], self.mag[kept], self.error[kept], self.r_mag[kept])


def read_sdss():
    """Return the SDSS galaxies of kcorrect, corrected for Galactic extinction."""
    table = Table.read(Path(kcorrect.KCORRECT_DIR) / "data" / "test" / "gst_tests_small.fits")
    extinction, flux = np.array(table["EXTINCTION"]), np.array(table["MODELFLUX"], dtype=float)
    inverse_variance = np.array(table["MODELFLUX_IVAR"], dtype=float)
    petrosian = np.array(table["PETROFLUX"], dtype=float)[:, 2]
    redshift = np.array(table["Z"], dtype=float)
    good = (inverse_variance > 0).all(axis=1) & (flux > 0).all(axis=1) & (petrosian > 0)
    good &= (redshift > 0.003) & (redshift < 0.5)
    flux, error = flux[good], 1 / np.sqrt(inverse_variance[good])
    mag = 22.5 - 2.5 * np.log10(flux) - extinction[good] + SDSS_TO_AB
    total = 22.5 - 2.5 * np.log10(petrosian[good]) - extinction[good, 2] + SDSS_TO_AB[2]
    return Sample("SDSS", redshift[good], mag, 1.086 * error / flux, total)


def read_mlz(data, part):
    """Return a half of the SDSS main sample of MLZ, "train" or "test"."""
    rows = np.loadtxt(data / "photoz-sdss-mgs-mlz" / f"SDSS_MGS.{part}")
    # Columns after the colors: errors of the bands. The header leaves out that of u.
    error = rows[:, 10:15]
    mag = rows[:, 1:6] + SDSS_TO_AB
    return Sample("SDSS", rows[:, 0], mag, error, mag[:, 2])


def read_egs(data):
    """Return the CFHTLS galaxies of the EGS that are detected in five bands; r is taken as that of SDSS."""
    table = Table.read(data / "photoz-cfhtls-egs" / "cfhtls_egs_specz.fits")
    mag = np.array([table[band] for band in "ugriz"]).T
    error = np.array([table[f"{band}err"] for band in "ugriz"]).T
    redshift = np.array(table["redshift"])
    good = ((mag > 10) & (mag < 40) & (error < 1)).all(axis=1) & (redshift > 0.01) & (redshift < 3)
    return Sample("CFHTLS", redshift[good], mag[good], error[good], mag[good, 2])


class Fitter:
    """Fits the templates to a sample, with given corrections."""

    def __init__(self, sample):
        self.sample = sample
        self.flux = 10 ** (-0.4 * (sample.mag - sample.r_mag[:, None]))
        self.error = self.flux * np.hypot(sample.error, FLOOR) / 1.086
        survey = {"own": get_survey(sample.survey).select("ugriz")}
        parts = ObservedSEDs(survey, np.zeros((5, 15))).template_fluxes(sample.redshift, "own")
        self.plain, self.splines = parts[:, :, 0], parts[:, :, 1:]

    def fit(self, corrections):
        """Return weights of the templates, shape ``(n, 5)``, and the flux of the fit, shape ``(n, n_bands)``."""
        models = self.plain + np.einsum("ntkb,tk->ntb", self.splines, corrections)
        scale = models.max(axis=(1, 2))
        weights = np.array([nnls((model / error).T, flux / error)[0] for model, error, flux in
                            zip(models / scale[:, None, None], self.error, self.flux)]) / scale[:, None]
        return weights, np.einsum("nt,ntb->nb", weights, models)

    def equations(self, weights, fitted):
        """Return matrix and vector of the normal equations for changes of the corrections."""
        design = (weights[:, :, None, None] * self.splines / self.error[:, None, None]).reshape(len(weights), 75, -1)
        residual = np.clip((self.flux - fitted) / self.error, -3, 3)
        design = np.moveaxis(design, 2, 1).reshape(-1, 75)
        return design.T @ design, design.T @ residual.ravel()


def fit_corrections(fitters, iterations=4, prior=0.1):
    """Return the modulation of each template that removes mean residuals, shape ``(5, 15)``."""
    corrections = np.zeros((5, 15))
    # Prior: small and smooth, worth a few hundred galaxies.
    difference = np.diff(np.eye(15), n=2, axis=0)
    penalty = np.kron(np.eye(5), np.eye(15) + 3 * difference.T @ difference) * 30 / prior**2
    for _ in range(iterations):
        matrix, vector = penalty.copy(), -penalty @ corrections.ravel()
        for fitter in fitters:
            weights, fitted = fitter.fit(corrections)
            one, other = fitter.equations(weights, fitted)
            matrix, vector = matrix + one, vector + other
        corrections = corrections + np.linalg.solve(matrix, vector).reshape(5, 15)
        log.info("largest correction %.3f", np.abs(corrections).max())
    return corrections


def without_noise(rng, fitter, weights, corrections, iterations=2):
    """Return template weights with less of the noise of the photometry in them, shape ``(n, 5)``.

    Each galaxy gets the fractions of one of those like it in redshift and magnitude, at random with the likelihood of
    its fluxes; it keeps its own where none fits. Repeated, this approaches the maximum-likelihood distribution of the
    fractions before noise (the EM algorithm for a distribution on given points).
    """
    sample = fitter.sample
    models = fitter.plain + np.einsum("ntkb,tk->ntb", fitter.splines, corrections)
    error = fitter.flux * np.hypot(sample.error, 0.01) / 1.086
    position = np.column_stack([np.log1p(sample.redshift) / 0.05, sample.r_mag / 0.7])
    _, candidates = KDTree(position).query(position, k=N_CANDIDATES + 1)
    for _ in range(iterations):
        fractions = weights / weights.sum(axis=1, keepdims=True)
        found = fractions.copy()
        for index, near in enumerate(candidates):
            near = near[near != index]
            scaled = (fractions[near] @ models[index]) / error[index]
            wanted = fitter.flux[index] / error[index]
            amplitude = (scaled @ wanted) / np.sum(scaled**2, axis=1)
            chi2 = np.sum((wanted - amplitude[:, None] * scaled) ** 2, axis=1)
            if chi2.min() < 9:
                chance = np.exp(-0.5 * (chi2 - chi2.min()))
                found[index] = fractions[rng.choice(near, p=chance / chance.sum())]
        weights = found
    return weights


def moved_sdss(rng, sample, weights, corrections, n):
    """Return r, redshift and template weights of SDSS galaxies put at redshifts that give magnitudes to ``JOIN[1]``.

    A galaxy is seen at all redshifts at which it would be brighter than the limit of the sample; its density is one
    over that volume. It is put at a redshift drawn from the volume, at its K-corrected and evolved magnitude.
    """
    grid = np.geomspace(0.004, 0.8, 400)
    seds = ObservedSEDs({"r": get_survey("SDSS").select("r")}, corrections)
    r_fluxes = seds.template_fluxes(grid, "r")[:, :, :, 0]
    r_fluxes = r_fluxes[:, :, 0] + np.einsum("ntk,tk->nt", r_fluxes[:, :, 1:], corrections)
    distance, volume = COSMOLOGY.distmod(grid).value, COSMOLOGY.comoving_volume(grid).value
    apparent = distance - 2.5 * np.log10(weights @ r_fluxes.T * (1 + grid)) - EVOLUTION * grid
    apparent += (sample.r_mag - [np.interp(z, grid, one) for z, one in zip(sample.redshift, apparent)])[:, None]
    bright, faint = 14.0, 17.6
    kept = (sample.r_mag > bright) & (sample.r_mag < faint)
    inside = (apparent > bright) & (apparent < faint)
    shells = np.gradient(volume)
    seen = (inside * shells).sum(axis=1)
    density = np.where(kept, 1 / np.maximum(seen, shells[50]), 0)
    # Probability of each galaxy at each redshift, made uniform in r.
    edges = np.arange(MAGNITUDE_RANGE[0], JOIN[1] + 0.01, 0.1)
    chance = density[:, None] * shells * (np.abs(np.log1p(grid)[None] - np.log1p(sample.redshift)[:, None]) < 0.25)
    bins = np.digitize(apparent, edges) - 1
    total = np.bincount(np.where((bins >= 0) & (bins < len(edges) - 1), bins, len(edges)).ravel(),
                        weights=chance.ravel(), minlength=len(edges) + 1)
    chance = np.where((bins >= 0) & (bins < len(edges) - 1), chance / total[np.clip(bins, 0, len(edges) - 2)], 0)
    flat = np.cumsum(chance.ravel())
    drawn = np.searchsorted(flat, rng.random(n) * flat[-1])
    galaxy, at = np.unravel_index(drawn, chance.shape)
    step = np.log(grid[1] / grid[0])
    jitter = rng.uniform(-0.5, 0.5, n)
    slope = np.gradient(apparent, axis=1)[galaxy, at]
    return apparent[galaxy, at] + slope * jitter, grid[at] * np.exp(step * jitter), weights[galaxy]


def parent(rng, sdss, sdss_weights, egs, egs_weights, corrections):
    """Return r, redshift and square roots of fractions of galaxies spread evenly in r, shape ``(n, 7)``."""
    low, high = MAGNITUDE_RANGE
    bright = moved_sdss(rng, sdss, sdss_weights, corrections, int(N_PER_MAG * (JOIN[1] - low)))
    keep = rng.random(len(bright[0])) < np.clip((JOIN[1] - bright[0]) / (JOIN[1] - JOIN[0]), 0, 1)
    bright = [part[keep] for part in bright]
    edges = np.arange(JOIN[0], high + 0.3, 0.25)
    faint = []
    for start, stop in zip(edges[:-1], edges[1:]):
        inside = np.flatnonzero((egs.r_mag >= start) & (egs.r_mag < stop))
        share = np.clip(((start + stop) / 2 - JOIN[0]) / (JOIN[1] - JOIN[0]), 0, 1)
        faint.append(rng.choice(inside, int(share * N_PER_MAG * 0.25)))
    faint = np.concatenate(faint)
    r_mag = np.concatenate([bright[0], egs.r_mag[faint]])
    redshift = np.concatenate([bright[1], egs.redshift[faint]])
    weights = np.concatenate([bright[2], egs_weights[faint]])
    roots = np.sqrt(weights / weights.sum(axis=1, keepdims=True))
    return np.column_stack([r_mag, np.log(redshift), roots])


def fit_statistics(rng, sdss, main, egs, scatter):
    """Return the table of statistics that the package ships."""
    fitters = [Fitter(sdss), Fitter(egs.select(egs.r_mag < 23.5))]
    corrections = fit_corrections(fitters)
    corrections = np.round(corrections, 4)
    fitter = Fitter(egs)
    egs_weights = without_noise(rng, fitter, fitter.fit(corrections)[0], corrections)
    values = parent(rng, main, Fitter(main).fit(corrections)[0], egs, egs_weights, corrections)
    mixture = GaussianMixture(N_COMPONENTS, reg_covar=1e-5, random_state=1, max_iter=50, init_params="k-means++")
    # Fifty iterations are near enough to convergence for a distribution from which galaxies are drawn.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(values)
    log.info("mixture of %d components, log likelihood %.3f", N_COMPONENTS, mixture.lower_bound_)
    order = np.argsort(mixture.means_[:, 0])
    factors = np.linalg.cholesky(mixture.covariances_[order])
    table = Table({"weight": np.round(mixture.weights_[order], 6), "mean": np.round(mixture.means_[order], 5),
                   "cholesky": np.round(factors[:, *np.tril_indices(values.shape[1])], 5)})
    table.meta = {
        "description": "Gaussian mixture of r, ln(redshift) and square roots of the fractions of the five templates; "
                       "lower triangles of the Cholesky factors of the covariances, row by row",
        "source": "benchmarks/observed_galaxies.py --fit: SDSS galaxies of kcorrect 5.1.9 and of the main sample, "
                  "CFHTLS galaxies of the EGS with spectroscopic redshifts",
        "magnitude_range": list(MAGNITUDE_RANGE), "corrections": corrections.tolist(), "scatter": scatter}
    return table


def redshift_accuracy(rng, features, redshift):
    """Return NMAD and outlier fraction of the median redshift of the nearest neighbors, in random halves."""
    order = rng.permutation(len(redshift))
    train, test = np.array_split(order, 2)
    _, found = KDTree(features[train]).query(features[test], k=N_NEIGHBORS)
    error = (np.median(redshift[train][found], axis=1) - redshift[test]) / (1 + redshift[test])
    return mad_std(error), np.mean(np.abs(error - np.median(error)) > 0.05)


def features(mag, r_mag):
    return np.column_stack([-np.diff(mag, axis=1), r_mag])


def simulate_like(rng, sample, population, noisy=True):
    """Return a simulated sample with the r magnitudes and errors of an observed one, within its redshifts."""
    rows = population.draw_at(rng, sample.r_mag, (0.005, 3.0))
    survey = get_survey(sample.survey).select("ugriz")
    flux = ObservedSEDs({"own": survey}, population.corrections).fluxes(rows, "own")
    true = np.array([band.zero_point for band in survey]) - 2.5 * np.log10(flux)
    error = sample.error
    if noisy:
        relative = error / 1.086
        true = true - 2.5 * np.log10(np.clip(1 + relative * rng.standard_normal(true.shape), 0.05, None))
    return Sample(sample.survey, rows["redshift"], true, error, true[:, 2])


def color_rows(observed, simulated, edges, name):
    """Return medians and robust scatters of colors and percentiles of redshift, observed and simulated."""
    colors, redshifts = [], []
    for low, high in zip(edges[:-1], edges[1:]):
        both = [one.select((one.r_mag >= low) & (one.r_mag < high)) for one in (observed, simulated)]
        if min(len(one.r_mag) for one in both) < 50:
            continue
        redshifts.append({"sample": name, "r_low": low, "r_high": high, "n": len(both[0].r_mag), **{
            f"{kind}_{percentile}": np.percentile(one.redshift, percentile) for percentile in (5, 16, 50, 84, 95)
            for kind, one in zip(("observed", "simulated"), both)}})
        cuts = np.percentile(both[0].redshift, [0, 33, 67, 100])
        for start, stop in zip(cuts[:-1], cuts[1:]):
            inside = [one.select((one.redshift >= start) & (one.redshift < stop)) for one in both]
            if min(len(one.r_mag) for one in inside) < 20:
                continue
            for index, color in enumerate(("u-g", "g-r", "r-i", "i-z")):
                values = [one.mag[:, index] - one.mag[:, index + 1] for one in inside]
                colors.append({
                    "sample": name, "r_low": low, "r_high": high, "z_low": start, "z_high": stop, "color": color,
                    "n": len(values[0]), "observed_median": np.median(values[0]),
                    "simulated_median": np.median(values[1]), "observed_scatter": mad_std(values[0]),
                    "simulated_scatter": mad_std(values[1])})
    return colors, redshifts


def compare(rng, samples, population):
    """Return the tables of colors, redshifts and nearest neighbors."""
    colors, redshifts, neighbors = [], [], []
    for name, sample, limits, edges in samples:
        sample = sample.select((sample.r_mag >= limits[0]) & (sample.r_mag < limits[1]))
        simulated = simulate_like(rng, sample, population)
        one, other = color_rows(sample, simulated, edges, name)
        colors, redshifts = colors + one, redshifts + other
        noiseless = simulate_like(rng, sample, population, noisy=False)
        result = {"sample": name, "r_low": limits[0], "r_high": limits[1], "n": len(sample.r_mag)}
        for kind, galaxies in (("observed", sample), ("simulated", simulated), ("noiseless", noiseless)):
            scores = [redshift_accuracy(rng, features(galaxies.mag, galaxies.r_mag), galaxies.redshift)
                      for _ in range(4)]
            result[f"{kind}_nmad"], result[f"{kind}_outliers"] = np.mean(scores, axis=0)
        log.info("%s r %.1f to %.1f: NMAD %.4f observed, %.4f simulated, %.4f without noise; beyond 0.05 %.1f %%, "
                 "%.1f %%", name, *limits, result["observed_nmad"], result["simulated_nmad"],
                 result["noiseless_nmad"], 100 * result["observed_outliers"], 100 * result["simulated_outliers"])
        neighbors.append(result)
    return {"colors": colors, "redshifts": redshifts, "neighbors": neighbors}


def residual_rows(samples, corrections):
    """Return medians and robust scatters of the residuals of fits, in mag, with and without corrections."""
    rows = []
    for name, sample, limits, _ in samples:
        sample = sample.select((sample.r_mag >= limits[0]) & (sample.r_mag < limits[1]))
        fitter = Fitter(sample)
        for label, used in (("published", np.zeros((5, 15))), ("corrected", np.array(corrections))):
            residual = -2.5 * np.log10(fitter.flux / fitter.fit(used)[1])
            for index, band in enumerate("ugriz"):
                rows.append({"sample": name, "r_low": limits[0], "r_high": limits[1], "templates": label,
                             "band": band, "median": np.median(residual[:, index]),
                             "scatter": mad_std(residual[:, index]), "error": np.median(sample.error[:, index])})
    return rows


def write(rows, path):
    table = Table(rows)
    for name in table.colnames:
        if table[name].dtype.kind == "f":
            table[name] = np.round(table[name], 4)
    table.write(path, overwrite=True)


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real data")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--fit", action="store_true", help="measure the statistics anew")
    parser.add_argument("--statistics", type=Path, help="file of the statistics, by default that of the package")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(arguments)


def main():
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)
    sdss, egs = read_sdss(), read_egs(options.data)
    statistics = None
    if options.statistics is not None and not options.fit:
        statistics = Table.read(options.statistics)
    if options.fit:
        statistics = fit_statistics(rng, sdss, read_mlz(options.data, "train"), egs, SCATTER)
        statistics.write(options.statistics or options.out / "observed_galaxies.ecsv", overwrite=True)
    population = ObservedPopulation(GalaxyPopulation("observed", MAGNITUDE_RANGE, (0.005, 1.5)), statistics)
    samples = [("SDSS kcorrect", sdss, (14.5, 17.6), (14.5, 16, 17, 17.6)),
               ("SDSS MLZ", read_mlz(options.data, "test"), (14.5, 17.77), (14.5, 16, 17, 17.77)),
               ("EGS", egs, (19.0, 22.5), (18, 20, 21, 22, 22.5)),
               ("EGS", egs, (22.5, 23.5), (22.5, 23, 23.5)),
               ("EGS", egs, (23.5, 25.5), (23.5, 24, 24.5, 25.5))]
    for name, rows in compare(rng, samples, population).items():
        write(rows, options.out / f"{name}.ecsv")
    write(residual_rows(samples, population.corrections), options.out / "residuals.ecsv")


if __name__ == "__main__":
    main()
