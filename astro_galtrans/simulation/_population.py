"""Joint distribution of magnitude, redshift, spectrum, size and shape of simulated galaxies."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from astropy.cosmology import FlatLambdaCDM
from scipy.optimize import brentq
from scipy.special import gammainc, gammaincinv

from astro_galtrans._utils.reprs import changed_fields
from astro_galtrans.simulation._seds import MAX_REDSHIFT, REDDENINGS, reference_grid

__all__ = [
    "DISK_SCALES", "GalaxyPopulation", "component_radii", "distances", "draw_galaxy", "draw_magnitudes",
    "get_population", "shen_half_light_radius",
]

DISK_SCALES = 1.6783469900166605  # half-light radius of an exponential disk in scale lengths

_TRIES = 1000
_MIN_KNOTS = 5


def distances(redshifts):
    """Return distance moduli and arcsec per proper kpc at redshifts, in the cosmology of Shen et al. (2003)."""
    cosmology = FlatLambdaCDM(H0=70, Om0=0.3)
    return cosmology.distmod(redshifts).value, cosmology.arcsec_per_kpc_proper(redshifts).value


_Z = np.geomspace(1e-3, MAX_REDSHIFT, 400)
_DISTANCE_MODULUS, _ARCSEC_PER_KPC = distances(_Z)
_BULGE_INDEX = 4.0
_BULGE_B = gammaincinv(2 * _BULGE_INDEX, 0.5)
_DISK_B = gammaincinv(2, 0.5)


@dataclass(frozen=True, repr=False)
class GalaxyPopulation:
    """Distribution from which simulated galaxies are drawn.

    Parameters
    ----------
    name : str
        Name of the population, which becomes part of the ids of its galaxies.
    magnitude_range : tuple of float
        Brightest and faintest total SDSS r magnitude (AB).
    redshift_range : tuple of float
        Lowest and highest redshift, within 0.005 and 1.5.
    counts_slope : float, optional
        d log10 N / d r of the number counts. The default is the 0.6 of sources of any luminosity function spread
        evenly in Euclidean space.
    redshift_median, redshift_slope : float, optional
        The redshifts at magnitude r follow z^2 exp(-(z/z0)^1.5) (Baugh & Efstathiou 1993, MNRAS 265, 145) with
        median ``redshift_median * 10**(redshift_slope * (r - 17.5))``. The defaults give the median of 0.10 of the
        SDSS main sample to r = 17.77 (Strauss et al. 2002, AJ 124, 1810).
    max_radius : float, optional
        Largest circularized half-light radius in arcsec. Larger galaxies, which would not fit on a stamp, are left out,
        as in a sample with a cut in angular size.
    early_fraction : float, optional
        Fraction of early types; by default it rises with luminosity like the fraction of the red sequence in Baldry et
        al. (2004, ApJ 600, 681): a hyperbolic tangent that is about one half at M_r = -21.
    knot_fraction : float, optional
        Largest fraction of the r-band flux of a late-type disk that is in star-forming knots, 0 for none.
    max_knots : int, optional
        Largest number of knots of a disk, at least 5; their brightness follows an exponential distribution.
    offset : float, optional
        Largest distance in x and in y of a galaxy from the center of its stamp, in arcsec, the same in both surveys.
    psf_profile : {"moffat", "kolmogorov"}, optional
        The Moffat profile has beta 3.5, as in the CFHTLenS image simulations (Miller et al. 2013, MNRAS 429, 2858).
    psf_scatter : float, optional
        Scatter of the natural log of the PSF width between galaxies. Between the bands of a galaxy it is 0.4 times
        that.

    Notes
    -----
    Galaxies with the spectra of observed ones (`ObservedPopulation`) have the redshifts and types of observed galaxies
    of their magnitude: ``redshift_median``, ``redshift_slope``, ``early_fraction``, ``knot_fraction`` and ``max_knots``
    apply to galaxies of the templates only.

    Examples
    --------
    >>> from astro_galtrans.simulation import GalaxyPopulation
    >>> GalaxyPopulation("nearby", (14.0, 16.0), (0.01, 0.1)).knot_fraction
    0.3
    """

    name: str
    magnitude_range: tuple
    redshift_range: tuple
    counts_slope: float = 0.6
    redshift_median: float = 0.11
    redshift_slope: float = 0.17
    max_radius: float = 6.0
    early_fraction: float | None = None
    knot_fraction: float = 0.3
    max_knots: int = 40
    offset: float = 0.3
    psf_profile: str = "moffat"
    psf_scatter: float = 0.06

    def __repr__(self) -> str:
        return changed_fields(self)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"name must be a non-empty string, got {self.name!r}")
        for name, low, high in (("magnitude_range", -np.inf, np.inf), ("redshift_range", 0.005, MAX_REDSHIFT)):
            value = tuple(float(one) for one in getattr(self, name))
            if len(value) != 2 or not low <= value[0] < value[1] <= high or not np.all(np.isfinite(value)):
                raise ValueError(f"{name} must be two increasing numbers within {low} and {high}, got {value}")
            object.__setattr__(self, name, value)
        if self.psf_profile not in ("moffat", "kolmogorov"):
            raise ValueError(f"psf_profile must be 'moffat' or 'kolmogorov', got {self.psf_profile!r}")
        limits = {"counts_slope": (-5, 5), "redshift_median": (1e-3, 10), "redshift_slope": (-1, 1),
                  "max_radius": (0.01, 1e3), "early_fraction": (0, 1), "knot_fraction": (0, 1), "offset": (0, 10),
                  "max_knots": (_MIN_KNOTS, 1000), "psf_scatter": (0, 0.5)}
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if value is None and name == "early_fraction":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not low <= value <= high:
                raise ValueError(f"{name} must be a number from {low} to {high}, got {value!r}")
        if int(self.max_knots) != self.max_knots:
            raise ValueError(f"max_knots must be an integer, got {self.max_knots!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters as a dict of plain Python values."""
        return asdict(self)


_SAMPLES = {
    "bright": GalaxyPopulation("bright", (14.5, 18.3), (0.01, 0.45)),
    "faint": GalaxyPopulation("faint", (17.0, 20.5), (0.02, 0.75), counts_slope=0.45, knot_fraction=0.15),
}


def get_population(sample):
    """Return the `GalaxyPopulation` of the name of a sample, or the population itself."""
    if isinstance(sample, GalaxyPopulation):
        return sample
    if sample not in _SAMPLES:
        raise ValueError(f"sample must be a GalaxyPopulation or one of {sorted(_SAMPLES)}, got {sample!r}")
    return _SAMPLES[sample]


def draw_magnitudes(rng, population, n=None):
    """Return a magnitude that follows the counts of the population, or an ndarray of n."""
    low, high = population.magnitude_range
    slope = population.counts_slope * np.log(10)
    uniform = rng.random(n)
    if abs(slope) < 1e-6:
        return low + uniform * (high - low)
    return low + np.log1p(uniform * np.expm1(slope * (high - low))) / slope


def _draw_redshift(rng, population, magnitude):
    """Invert the cumulative distribution: (z/z0)^1.5 follows a Gamma distribution of shape 2."""
    median = population.redshift_median * 10 ** (population.redshift_slope * (magnitude - 17.5))
    z0 = median / 1.412
    low, high = gammainc(2, (np.array(population.redshift_range) / z0) ** 1.5)
    drawn = z0 * gammaincinv(2, low + rng.random() * (high - low)) ** (1 / 1.5)
    return float(np.clip(drawn, *population.redshift_range))


def absolute_magnitude(magnitude, redshift, sed_type):
    """Return the absolute r magnitude, K-corrected with the dust-free spectrum of a type."""
    grid = reference_grid()
    ratio = grid.flux(redshift, sed_type, 0)[0] / grid.flux(0, sed_type, 0)[0]
    k_correction = -2.5 * np.log10(ratio / (1 + redshift))
    return magnitude - np.interp(redshift, _Z, _DISTANCE_MODULUS) - k_correction


def shen_half_light_radius(luminosity, early, deviate):
    """Return the circularized half-light radius in kpc of a galaxy.

    Shen et al. (2003, MNRAS 343, 978), eqs. 14 to 16 with the constants of their Sersic half-light radii: log-normal
    about a median that rises with luminosity, more steeply for early types. ``luminosity`` is the absolute r magnitude
    (H0 = 70 km/s/Mpc), ``deviate`` the distance from the median in standard deviations.
    """
    if early:
        log_radius = -0.4 * 0.60 * luminosity - 4.63
    else:
        log_radius = -0.4 * 0.21 * luminosity + (0.53 - 0.21) * np.log10(1 + 10 ** (-0.4 * (luminosity + 20.52))) - 1.31
    scatter = 0.25 + (0.48 - 0.25) / (1 + 10 ** (-0.8 * (luminosity + 20.52)))
    return 10**log_radius * np.exp(scatter * deviate)


def component_radii(radius, bulge_fraction, ratio):
    """Return the half-light radii of bulge and disk that together have the half-light radius ``radius``.

    ``bulge_fraction`` is the fraction of the bulge in the flux, ``ratio`` the half-light radius of the bulge over that
    of the disk, at most 1.
    """
    def missing(disk):
        bulge_flux = gammainc(2 * _BULGE_INDEX, _BULGE_B * (1 / (ratio * disk)) ** (1 / _BULGE_INDEX))
        return bulge_fraction * bulge_flux + (1 - bulge_fraction) * gammainc(2, _DISK_B / disk) - 0.5

    disk = brentq(missing, 0.9, 1.1 / ratio, xtol=1e-6)
    return ratio * disk * radius, disk * radius


def _draw_spectra(rng, early, luminosity, inclination):
    """Return types and reddenings of bulge and disk. The bulge is never bluer than the disk before dust."""
    if early:
        disk = np.clip(rng.normal(0.25, 0.2), 0, 1)
        dust = min(rng.exponential(0.015), 0.15)
    else:
        # Fainter late types are bluer: a type from about Sbc at M_r = -22 to beyond Scd at -18.
        disk = np.clip(rng.normal(1.6 + 0.2 * (luminosity + 20.5), 0.55), 0.3, 3)
        dust = min(rng.exponential(0.06) + rng.uniform(0, 0.2) * (1 - inclination), 0.45)
    bulge = disk * np.clip(rng.normal(0.35, 0.2), 0, 0.9)
    extra = 0.0 if early else min(rng.exponential(0.03), 0.15)
    return {"bulge_type": float(bulge), "disc_type": float(disk), "bulge_reddening": min(dust + extra, REDDENINGS[-1]),
            "disc_reddening": dust}


def draw_galaxy(rng, population):
    """Return the properties of one galaxy, a dict of the catalog columns that do not depend on the surveys."""
    for _ in range(_TRIES):
        galaxy = _draw_any_galaxy(rng, population)
        if galaxy["half_light_radius"] <= population.max_radius:
            return galaxy
    raise ValueError(f"max_radius must allow galaxies of population {population.name!r}, hardly any is within "
                     f"{population.max_radius} arcsec")


def _draw_any_galaxy(rng, population):
    """Return the properties of one galaxy of any size."""
    magnitude = draw_magnitudes(rng, population)
    redshift = _draw_redshift(rng, population, magnitude)
    luminosity = absolute_magnitude(magnitude, redshift, 1.0)
    fraction = population.early_fraction
    if fraction is None:
        fraction = 0.45 + 0.4 * np.tanh((-21.0 - luminosity) / 1.2)
    early = bool(rng.random() < fraction)
    cos_inclination = rng.random()
    # Thickness 0.2 of disks: Haynes & Giovanelli (1984, AJ 89, 758).
    thickness = 0.5 if early else 0.2
    disk_ratio = np.sqrt(thickness**2 + (1 - thickness**2) * cos_inclination**2)
    bulge_ratio = max(disk_ratio, rng.uniform(0.6, 1.0))
    galaxy = {"r_mag": magnitude, "redshift": redshift, "early": early,
              **_draw_spectra(rng, early, luminosity, cos_inclination)}
    luminosity = absolute_magnitude(magnitude, redshift, 0.0 if early else 1.5)
    bulge_fraction = rng.beta(6, 2.5) if early else rng.beta(1.2, 4.5)
    radius = shen_half_light_radius(luminosity, early, rng.standard_normal())
    radius *= np.interp(redshift, _Z, _ARCSEC_PER_KPC)
    size_ratio = np.exp(rng.normal(np.log(0.6 if early else 0.3), 0.2))
    bulge_radius, disk_radius = component_radii(radius, bulge_fraction, min(size_ratio, 1.0))
    knots = int(rng.integers(_MIN_KNOTS, int(population.max_knots) + 1))
    knot_fraction = rng.uniform(0.2, 1) * population.knot_fraction * np.clip(galaxy["disc_type"] / 2, 0, 1)
    angle, dx, dy = rng.uniform(0, np.pi), *rng.uniform(-population.offset, population.offset, 2)  # type: ignore[misc]
    return {
        **galaxy, "absolute_r_mag": luminosity, "bulge_fraction": bulge_fraction, "half_light_radius": radius,
        "bulge_radius": bulge_radius, "disc_radius": disk_radius, "bulge_axis_ratio": bulge_ratio,
        "disc_axis_ratio": disk_ratio, "position_angle": angle, "x_offset": dx, "y_offset": dy,
        "knot_fraction": 0.0 if early or population.knot_fraction == 0 else knot_fraction,
        "n_knots": 0 if early or population.knot_fraction == 0 else knots,
    }
