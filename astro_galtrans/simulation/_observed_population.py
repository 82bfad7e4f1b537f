"""Joint distribution of magnitude, redshift and spectrum of observed galaxies, with luminosities and sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
from astropy.table import Table
from scipy.special import log_ndtr, ndtr, ndtri

from astro_galtrans.simulation._observed_seds import (
    MAX_OBSERVED_REDSHIFT,
    N_MODULATIONS,
    N_TEMPLATES,
    REDDENING_RANGE,
    ObservedSEDs,
    observed_statistics,
)
from astro_galtrans.simulation._population import (
    GalaxyPopulation, distances, draw_magnitudes, shen_half_light_radius,
)
from astro_galtrans.surveys import get_survey

__all__ = ["ObservedPopulation"]

_TRIES = 1000
# Half-light radius of all light over the one within SDSS apertures, of late and early types (profiles of n of about 1.5
# and 4: Graham et al. 2005, AJ 130, 1535, table 1).
_TOTAL_SIZE = np.array([1.12, 1.3])
_Z = np.geomspace(1e-3, MAX_OBSERVED_REDSHIFT + 0.1, 600)
_DISTANCE_MODULUS, _ARCSEC_PER_KPC = distances(_Z)
_REDSHIFT_RANGE = (0.003, MAX_OBSERVED_REDSHIFT)
# Beyond this number of standard deviations of a component, spectra are those at the limit.
_MAX_DEVIATE = 4.0


class _Mixture:
    """Gaussian mixture of r magnitude, ln(redshift) and square roots of the fractions of the templates.

    The Cholesky factors of the covariances give each variable from those before it: what is given, r and the range of
    redshift, is first.
    """

    def __init__(self, table):
        self.log_weights = np.log(np.array(table["weight"], dtype=float))
        self.means = np.array(table["mean"], dtype=float)
        n = self.means.shape[1]
        self.factors = np.zeros((len(table), n, n))
        self.factors[(slice(None), *np.tril_indices(n))] = np.array(table["cholesky"], dtype=float)
        self.magnitude_range = tuple(table.meta["magnitude_range"])

    def draw(self, rng, magnitudes, redshift_range):
        """Return redshifts, shape ``(n,)``, and square roots of fractions, shape ``(n, 5)``."""
        magnitudes = np.clip(magnitudes, *self.magnitude_range)
        scale = self.factors[:, 0, 0]
        first = (magnitudes[:, None] - self.means[:, 0]) / scale
        center = self.means[:, 1] + self.factors[:, 1, 0] * first
        width = self.factors[:, 1, 1]
        low, high = ((np.log(limit) - center) / width for limit in redshift_range)
        # In the upper tail the difference of the cumulative distribution is that of the mirrored ones.
        mirrored = low > 0
        near, far = np.where(mirrored, -low, high), np.where(mirrored, -high, low)
        log_inside = log_ndtr(near) + np.log1p(-np.exp(np.minimum(log_ndtr(far) - log_ndtr(near), -1e-15)))
        log_weights = self.log_weights - np.log(scale) - 0.5 * first**2 + log_inside
        weights = np.cumsum(np.exp(log_weights - log_weights.max(axis=1, keepdims=True)), axis=1)
        uniform = rng.random((len(magnitudes), 2))
        chosen = np.sum(weights < uniform[:, :1] * weights[:, -1:], axis=1)
        rows = np.arange(len(magnitudes))
        low, high, mirrored = low[rows, chosen], high[rows, chosen], mirrored[rows, chosen]
        near, far = near[rows, chosen], far[rows, chosen]
        second = ndtri(ndtr(far) + uniform[:, 1] * (ndtr(near) - ndtr(far)))
        second = np.clip(np.where(mirrored, -second, second), low, high)
        redshifts = np.exp(center[rows, chosen] + width[chosen] * second)
        deviates = rng.standard_normal((len(magnitudes), self.means.shape[1]))
        deviates[:, 0] = np.clip(first[rows, chosen], -_MAX_DEVIATE, _MAX_DEVIATE)
        deviates[:, 1] = np.clip(second, -_MAX_DEVIATE, _MAX_DEVIATE)
        values = self.means[chosen] + np.einsum("nij,nj->ni", self.factors[chosen], deviates)
        return np.clip(redshifts, *redshift_range), np.clip(values[:, 2:], 0, None)


class ObservedPopulation:
    """Galaxies with the redshifts, spectra and sizes of observed ones.

    The magnitude follows the counts of the population. Redshift and spectrum are drawn from a mixture fitted to SDSS
    and EGS galaxies between r = 14.5 and 25.5 by ``benchmarks/observed_galaxies.py``; fainter and brighter galaxies
    are like those at the limits. Scatter that the templates do not span is added: reddening, line strength and a smooth
    modulation of the continuum.

    Parameters
    ----------
    population : GalaxyPopulation
        ``magnitude_range``, ``counts_slope``, ``redshift_range`` and ``max_radius`` apply.
    statistics : `~astropy.table.Table`, optional
        The mixture, by default that of the package.
    """

    def __init__(self, population: GalaxyPopulation, statistics: Table | None = None) -> None:
        self.population = population
        table = observed_statistics() if statistics is None else statistics
        self._mixture, self._scatter = _Mixture(table), table.meta["scatter"]
        self.corrections = np.array(table.meta["corrections"])
        self._seds = ObservedSEDs({"rest": get_survey("SDSS").select("ur")}, self.corrections)

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """Return the properties of one galaxy.

        Returns
        -------
        dict
            ``r_mag``, ``redshift``, ``absolute_r_mag``, ``early``, ``half_light_radius`` (circularized, arcsec) and the
            columns that `ObservedSEDs` needs.
        """
        for _ in range(_TRIES):
            rows = self.draw_at(rng, draw_magnitudes(rng, self.population, 1), self.population.redshift_range)
            if rows["half_light_radius"][0] <= self.population.max_radius:
                galaxy = {name: values[0] for name, values in rows.items()}
                return {name: value if value.ndim else value.item() for name, value in galaxy.items()}
        raise ValueError(f"max_radius must allow galaxies of population {self.population.name!r}, hardly any is within "
                         f"{self.population.max_radius} arcsec")

    def draw_at(self, rng: np.random.Generator, magnitudes: np.ndarray,
                redshift_range: tuple = _REDSHIFT_RANGE) -> dict[str, np.ndarray]:
        """Return the properties of galaxies of any size of given magnitudes.

        Parameters
        ----------
        rng : `numpy.random.Generator`
        magnitudes : ndarray
            Total SDSS r magnitudes, shape ``(n,)``.
        redshift_range : tuple of float
            Lowest and highest redshift, within 0.003 and 3.

        Returns
        -------
        dict of ndarray
            The columns of `draw`, each of length n.
        """
        magnitudes = np.asarray(magnitudes, dtype=float)
        n = len(magnitudes)
        redshifts, roots = self._mixture.draw(rng, magnitudes, redshift_range)
        fractions = roots**2
        total = fractions.sum(axis=1, keepdims=True)
        fractions = np.where(total > 1e-6, fractions / np.maximum(total, 1e-6), np.eye(N_TEMPLATES)[0])
        rows = {
            "r_mag": magnitudes, "redshift": redshifts, "template_fractions": fractions,
            "reddening": np.clip(self._scatter["reddening"] * rng.standard_normal(n), *REDDENING_RANGE),
            "line_strength": np.exp(self._scatter["log_line_strength"] * rng.standard_normal(n)),
            "modulation": np.clip(np.array(self._scatter["modulation"]) * rng.standard_normal((n, N_MODULATIONS)),
                                  -0.6, 0.6)}
        color, luminosity = self._luminosities(rows)
        # Red sequence and blue cloud: the divide of Baldry et al. (2004, ApJ 600, 681), eq. 11.
        # His colors are those of SDSS, 0.046 redder than AB.
        divide = 2.014 - 0.244 * np.tanh((luminosity + 20.07) / 1.09)
        probability = 0.03 + 0.87 / (1 + np.exp(-(color - divide) / 0.1 + 0.8 * (luminosity + 21)))
        rows["early"] = rng.random(n) < probability
        rows["absolute_r_mag"] = luminosity
        rows["half_light_radius"] = self._half_light_radii(rng, rows)
        return rows

    def _luminosities(self, rows):
        """Return rest-frame u - r and absolute r magnitudes (AB)."""
        n = len(rows["r_mag"])
        both = {name: np.concatenate([values, values]) for name, values in rows.items()}
        both["redshift"][n:] = 0
        fluxes, reference = self._seds.relative_fluxes(both, "rest")
        rest, observed, emitted = fluxes[n:], reference[:n], reference[n:]
        k_correction = -2.5 * np.log10(observed / emitted / (1 + rows["redshift"]))
        distance = np.interp(np.log(rows["redshift"]), np.log(_Z), _DISTANCE_MODULUS)
        return -2.5 * np.log10(rest[:, 0] / rest[:, 1]), rows["r_mag"] - distance - k_correction

    @staticmethod
    def _half_light_radii(rng, rows):
        """Return circularized half-light radii in arcsec.

        Shen et al. (2003), as seen at redshift 0.1. At higher redshift galaxies of the same mass are brighter, by 1.62
        mag per unit redshift (Blanton et al. 2003, ApJ 592, 819). Early types are also smaller, as (1 + z)^-0.98 (van
        der Wel et al. 2008, ApJ 688, 48), disks are not (Barden et al. 2005, ApJ 635, 959).
        """
        redshifts, early = rows["redshift"], rows["early"]
        beyond = np.clip(redshifts - 0.1, 0, None)
        luminosity = rows["absolute_r_mag"] + 1.62 * np.minimum(beyond, 1.0)
        deviate = rng.standard_normal(len(redshifts))
        radius = np.where(early, shen_half_light_radius(luminosity, True, deviate),
                          shen_half_light_radius(luminosity, False, deviate))
        radius *= _TOTAL_SIZE[early.astype(int)]
        radius *= ((1 + beyond + 0.1) / 1.1) ** np.where(early, -0.98, 0.0)
        return radius * np.interp(np.log(redshifts), np.log(_Z), _ARCSEC_PER_KPC)
