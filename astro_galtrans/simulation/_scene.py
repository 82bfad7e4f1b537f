"""Neighboring galaxies and stars of a simulated galaxy: which there are, their fluxes, and their images."""

from __future__ import annotations

from functools import lru_cache
from math import pi
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np
from scipy import fft
from scipy.special import gamma

from astro_galtrans._utils.masked import floats
from astro_galtrans.simulation._observed_population import ObservedPopulation
from astro_galtrans.simulation._observed_seds import ObservedSEDs
from astro_galtrans.simulation._population import DISK_SCALES, GalaxyPopulation, distances
from astro_galtrans.simulation._render import pixel_phases
from astro_galtrans.surveys import band_flux_density, get_survey

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = [
    "SceneLibrary", "SceneSources", "draw_scene", "faint_limit", "galaxy_counts", "galaxy_radius", "label_pixels",
    "render_scene", "scene_library", "star_counts",
]

# log10 of the number of galaxies per square degree and magnitude, at r magnitudes. Fainter than 19: the counts in i of
# COSMOS2020 (Weaver et al. 2022, ApJS 258, 11, table 2) moved by the mean r - i of these galaxies, 0.5 mag at r = 20 to
# 0.25 at 26; brighter: Yasuda et al. (2001, AJ 122, 1104), a slope of 0.6 at the bright end.
_GALAXY_COUNTS = np.array([
    (12, -1.35), (14, -0.15), (15, 0.45), (16, 1.05), (17, 1.63), (18, 2.17), (19, 2.66), (20, 3.12), (21, 3.53),
    (22, 3.92), (23, 4.30), (24, 4.66), (25, 4.95), (26, 5.19), (27, 5.38), (28, 5.55), (29, 5.70)])
# The same of stars at high Galactic latitude: the mean of the SDSS and the KiDS field of benchmarks/number_counts.py
# between 16 and 20; their slope is that of Bahcall & Soneira (1980, ApJS 44, 73) toward the pole.
_STAR_COUNTS = np.array([
    (8, 0.0), (10, 0.8), (12, 1.5), (14, 1.95), (16, 2.2), (18, 2.5), (20, 2.73), (22, 2.92), (24, 3.08), (26, 3.15),
    (29, 3.1)])
_BRIGHTEST = 12.0
_STEP = 0.05  # mag
_POINT_DEPTH = 5.0  # the significance of the depth of a survey
_FAINTEST = 28.5
# Distance from the edge of the stamp to which sources are drawn, in arcsec, at r magnitudes: the light of brighter ones
# reaches farther.
_MARGIN_MAGNITUDE, _MARGIN = (14.0, 18.0, 22.0, 25.0), (25.0, 10.0, 4.0, 1.5)
# Galaxies correlated with the target: (r / r0)^-gamma in Mpc/h, r0 and gamma of Zehavi et al. (2005, ApJ 630, 1), with
# the luminosity function of Blanton et al. (2003, ApJ 592, 819), for H0 = 70.
_CORRELATION_LENGTH, _CORRELATION_SLOPE, _HUBBLE = 5.59, 1.84, 0.7
_LUMINOSITY_DENSITY, _LUMINOSITY_BREAK, _LUMINOSITY_SLOPE = 0.0149, -20.44 + 5 * np.log10(_HUBBLE), -1.05
_LUMINOSITY_RANGE = (-23.5, -13.0)
# Half-light radius in arcsec at r magnitudes, median and scatter of the natural log: benchmarks/number_counts.py, SDSS
# to r = 20 and CFHTLS from 22.
_SIZE_MAGNITUDE = (16.0, 18.0, 20.0, 22.0, 24.0, 26.0, 28.0)
_SIZE = (3.2, 1.9, 1.05, 0.64, 0.40, 0.26, 0.18)
_SIZE_SCATTER = 0.42
_CONCENTRATED = ((16.0, 20.0, 24.0, 28.0), (0.5, 0.4, 0.25, 0.15))
_CORE_SCALES = float(np.log(2))
# Share of the blue stars, of the halo and the turn-off, and colors g - i of blue and red ones.
_BLUE_STARS = ((15.0, 18.0, 20.0, 23.0), (0.7, 0.55, 0.45, 0.4))
_STAR_COLORS = ((0.55, 0.3), (2.3, 0.45))
_STAR_RANGE = (0.05, 3.4)
# Colors of the stellar locus as polynomials of g - i: Covey et al. (2007, AJ 134, 2398), table 4; AB of SDSS.
_LOCUS = {
    "u": (1.0636113, -1.6267818, 4.9389572, -3.2809081, 0.8725109, -0.0828035),  # u - g
    "g": (0.4290263, -0.8852323, 2.0740616, -1.1091553, 0.2397461, -0.0183195),  # g - r
    "r": (-0.4113500, 1.8229991, -1.9989772, 1.0662075, -0.2284455, 0.0172212),  # r - i
    "i": (-0.2270331, 0.7794558, -0.7350749, 0.3727802, -0.0735412, 0.0049808),  # i - z
}
_PLANCK = 1.438776877e8  # h c / k, Angstrom Kelvin
_LIBRARY_SEED, _LIBRARY_SIZE, _LIBRARY_RANGE = 20170, 4000, (14.5, 26.0)
# Tolerance in ln(1 + z) and magnitude of the galaxies whose spectra those at the redshift of a target have.
_NEAR = (0.02, 0.7)
_LIBRARY_REDSHIFTS = (0.01, 1.5)
_N_STARS = 120
# Images of sources are cut off where they fall below this fraction of the noise of a pixel. Sources whose whole flux is
# below the second number of standard deviations of a pixel in all bands are not drawn.
_INVISIBLE, _FAINTEST_FLUX = 0.1, 0.7
_SIDES = (16, 32, 64, 128, 256, 512)
# A grid for at most so many sources is spared if there is one of up to so many pixels for larger sources.
_FEW, _SMALL_SIDE = 4, 64
# Points of the grids of sources that are transformed together: their bands stay in the cache of a processor.
_BATCH = 2**15
_CORE_BETA = 2.5


def galaxy_counts(magnitude: ArrayLike) -> np.ndarray:
    """Return the number of galaxies of the sky per square arcsec and magnitude.

    Parameters
    ----------
    magnitude : array_like
        SDSS r magnitude (AB), 12 to 29.

    Returns
    -------
    ndarray
        COSMOS2020 (Weaver et al. 2022, ApJS 258, 11) beyond 19, Yasuda et al. (2001, AJ 122, 1104) before.
    """
    return 10 ** np.interp(np.asarray(magnitude, dtype=float), *_GALAXY_COUNTS.T) / 3600**2


def star_counts(magnitude: ArrayLike) -> np.ndarray:
    """Return the number of stars at high Galactic latitude per square arcsec and magnitude.

    Parameters
    ----------
    magnitude : array_like
        SDSS r magnitude (AB), 8 to 29.

    Returns
    -------
    ndarray
        The mean of two fields, measured by ``benchmarks/number_counts.py``.
    """
    return 10 ** np.interp(floats(magnitude, "magnitude", dtype=float), *_STAR_COUNTS.T) / 3600**2


def galaxy_radius(magnitude: ArrayLike) -> np.ndarray:
    """Return the median half-light radius in arcsec of neighboring galaxies.

    Parameters
    ----------
    magnitude : array_like
        SDSS r magnitude (AB), 16 to 28.

    Returns
    -------
    ndarray
        Circularized half-light radius in arcsec.
    """
    return np.exp(np.interp(np.asarray(magnitude, dtype=float), _SIZE_MAGNITUDE, np.log(_SIZE)))


def faint_limit(part, surveys):
    """Return the r magnitude of a point source at ``part.faintest`` sigma in the deeper of the surveys.

    The depth of a survey is that of its band next to SDSS r.
    """
    depths = []
    for survey in surveys:
        wavelengths = [band.effective_wavelength.to_value(u.AA) for band in survey]
        depths.append(survey.depth[int(np.argmin(np.abs(np.log(np.array(wavelengths) / 6200))))])
    return float(min(max(depths) + 2.5 * np.log10(_POINT_DEPTH / part.faintest), _FAINTEST))


class SceneSources:
    """Neighbors of one galaxy, an array of each property, shape ``(n,)``.

    Attributes
    ----------
    x, y : ndarray
        Position from the target in arcsec.
    r_mag : ndarray
        SDSS r magnitude.
    sed : ndarray of int
        Row of the galaxies, or of the stars, of the `SceneLibrary`.
    radius, axis_ratio, angle, concentrated : ndarray
        Circularized half-light radius in arcsec, minor over major axis, angle of the major axis from x toward y in
        radians, and the share of the concentrated component in the flux; radius 0 for stars.
    is_star : ndarray of bool
    """

    __slots__ = ("angle", "axis_ratio", "concentrated", "is_star", "r_mag", "radius", "sed", "x", "y")

    def __init__(self, **properties):
        for name in self.__slots__:
            setattr(self, name, np.asarray(properties[name]))

    def __len__(self):
        return len(self.r_mag)

    def __getitem__(self, rows):
        return SceneSources(**{name: getattr(self, name)[rows] for name in self.__slots__})

    @classmethod
    def stack(cls, parts):
        """Return the sources of several lists as one."""
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__})


@lru_cache(maxsize=8)
def _number_table(part, half_width, limit):
    """Return magnitudes, and the cumulative expected numbers of galaxies and of stars around a stamp."""
    magnitudes = np.arange(_BRIGHTEST, limit, _STEP) + _STEP / 2
    area = (2 * (half_width + np.interp(magnitudes, _MARGIN_MAGNITUDE, _MARGIN))) ** 2
    kinds = (part.galaxies * galaxy_counts(magnitudes), part.stars * star_counts(magnitudes))
    return magnitudes, [np.concatenate([[0.0], np.cumsum(counts * area * _STEP)]) for counts in kinds]


def _field(rng, table, half_width):
    """Return positions and magnitudes of sources at random positions."""
    magnitudes, cumulative = table
    n = rng.poisson(cumulative[-1])
    edges = np.append(magnitudes - _STEP / 2, magnitudes[-1] + _STEP / 2)
    magnitude = np.interp(rng.random(n) * cumulative[-1], cumulative, edges)
    reach = half_width + np.interp(magnitude, _MARGIN_MAGNITUDE, _MARGIN)
    return *(rng.uniform(-1, 1, (2, n)) * reach), magnitude


@lru_cache(maxsize=1)
def _luminosity_function():
    """Return absolute r magnitudes and the number of brighter galaxies per cubic Mpc/h."""
    magnitude = np.arange(*_LUMINOSITY_RANGE, 0.05)
    ratio = 10 ** (-0.4 * (magnitude - _LUMINOSITY_BREAK))
    density = 0.4 * np.log(10) * _LUMINOSITY_DENSITY * ratio ** (_LUMINOSITY_SLOPE + 1) * np.exp(-ratio)
    return magnitude, np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * 0.05)])


def _satellites(rng, part, row, half_width, limit):
    """Return positions and magnitudes of galaxies that are correlated with the target, at its redshift."""
    luminosities, brighter = _luminosity_function()
    modulus = row["r_mag"] - row["absolute_r_mag"]
    per_arcsec = _kpc_per_arcsec(row["redshift"]) * _HUBBLE / 1000
    reach, power = np.sqrt(2) * (half_width + _MARGIN[-1]), 3 - _CORRELATION_SLOPE
    # The integral of the correlation function along the line of sight and over a circle.
    factor = np.sqrt(pi) * gamma((_CORRELATION_SLOPE - 1) / 2) / gamma(_CORRELATION_SLOPE / 2)
    factor *= 2 * pi / power
    volume = factor * _CORRELATION_LENGTH**_CORRELATION_SLOPE * (reach * per_arcsec) ** power
    faintest = np.interp(limit - modulus, luminosities, brighter)
    n = rng.poisson(part.clustering * volume * faintest)
    radius, azimuth = reach * rng.random(n) ** (1 / power), rng.uniform(0, 2 * pi, n)
    magnitude = np.interp(rng.random(n) * faintest, brighter, luminosities) + modulus
    return radius * np.cos(azimuth), radius * np.sin(azimuth), magnitude


@lru_cache(maxsize=1)
def _distances():
    redshift = np.geomspace(1e-3, 6, 400)
    return redshift, 1 / distances(redshift)[1]


def _kpc_per_arcsec(redshift):
    return float(np.interp(redshift, *_distances()))


def draw_scene(rng, part, row, half_width, library):
    """Return the `SceneSources` around one galaxy.

    Parameters
    ----------
    rng : numpy.random.Generator
    part : Scene
        Settings.
    row : dict
        Properties of the target, of which ``r_mag``, ``absolute_r_mag`` and ``redshift`` are used.
    half_width : float
        Half of the side of the larger stamp in arcsec; sources are drawn up to some distance beyond.
    library : SceneLibrary
        Spectra of the sources, and the limit to which they are drawn.
    """
    limit = library.limit(part)
    magnitudes, (galaxies, stars) = _number_table(part, float(half_width), limit)
    field, satellites = (_field(rng, (magnitudes, galaxies), half_width),
                         _satellites(rng, part, row, half_width, limit))
    modulus = row["r_mag"] - row["absolute_r_mag"]
    sed = np.concatenate([library.choose_galaxies(rng, field[2]),
                          library.choose_satellites(rng, satellites[2] - modulus, row["redshift"])])
    x, y, magnitude = (np.concatenate(pair) for pair in zip(field, satellites))
    n = len(magnitude)
    radius = galaxy_radius(magnitude) * np.exp(_SIZE_SCATTER * rng.standard_normal(n))
    share = np.interp(magnitude, *_CONCENTRATED)
    core = np.where(rng.random(n) < share, rng.uniform(0.5, 1, n), rng.uniform(0, 0.25, n))
    thickness, cosine = np.where(core > 0.5, 0.5, 0.2), rng.random(n)
    found = SceneSources(
        x=x, y=y, r_mag=magnitude, sed=sed, radius=radius, concentrated=core,
        axis_ratio=np.sqrt(thickness**2 + (1 - thickness**2) * cosine**2), angle=rng.uniform(0, pi, n),
        is_star=np.zeros(n, dtype=bool))
    x, y, magnitude = _field(rng, (magnitudes, stars), half_width)
    n = len(magnitude)
    points = SceneSources(
        x=x, y=y, r_mag=magnitude, sed=library.choose_stars(rng, magnitude), radius=np.zeros(n),
        concentrated=np.zeros(n), axis_ratio=np.ones(n), angle=np.zeros(n), is_star=np.ones(n, dtype=bool))
    return SceneSources.stack([found, points])


def star_spectra(colors, wavelength):
    """Return flux densities per unit frequency of stars of the colors g - i, shape ``(n_stars, n_wavelength)``.

    Smooth curves through the stellar locus of Covey et al. (2007) in ugriz, continued on both sides as black bodies of
    the temperature of r - z. The flux is that of r = 0 in units of the AB zero flux; ``wavelength`` is in Angstrom.
    """
    return _through(colors, *_locus(tuple(colors)), wavelength)


@lru_cache(maxsize=4)
def _locus(colors):
    """Return magnitudes of stars, shape ``(n_stars, 5)``, and the wavelengths of a curve with their colors in ugriz."""
    sdss = get_survey("SDSS")
    u_g, g_r, r_i, i_z = (np.polynomial.polynomial.polyval(colors, _LOCUS[name]) for name in "ugri")
    wanted = np.stack([u_g + g_r, g_r, np.zeros_like(g_r), -r_i, -r_i - i_z], axis=-1)
    centers = np.array([band.effective_wavelength.to_value(u.AA) for band in sdss])
    fine = np.geomspace(2900, 11500, 1200)
    magnitudes = wanted.copy()
    # The bands are broad: a few corrections make the magnitudes through them those of the locus.
    for _ in range(6):
        seen = _through_bands(_through(colors, magnitudes, centers, fine), fine, sdss)
        magnitudes = magnitudes + wanted + 2.5 * np.log10(seen)
    return magnitudes, centers


def _through(colors, magnitudes, centers, wavelength):
    """Return curves through magnitudes at wavelengths, with the ends of black bodies."""
    temperatures = np.geomspace(1800, 40000, 300)
    color = _planck(centers[2], temperatures) - _planck(centers[4], temperatures)
    curves = np.empty((len(colors), len(wavelength)))
    for curve, row in zip(curves, magnitudes):
        temperature = temperatures[int(np.argmin(np.abs(color - (row[2] - row[4]))))]
        offset = row - _planck(centers, temperature)
        curve[:] = 10 ** (-0.4 * (_planck(wavelength, temperature)
                                  + np.interp(np.log(wavelength), np.log(centers), offset)))
    return curves


def _planck(wavelength, temperature):
    """Return the magnitude, up to a constant, of black bodies in flux per unit frequency."""
    return 2.5 * np.log10(wavelength**3 * np.expm1(_PLANCK / (wavelength * temperature)))


def _through_bands(flux, wavelength, survey):
    """Return flux densities per unit frequency in bands, both in units of the AB zero flux."""
    f_lambda = (flux * 3631 * u.Jy).to(u.erg / u.s / u.cm**2 / u.AA, u.spectral_density(wavelength * u.AA))
    return np.stack([band_flux_density(wavelength * u.AA, f_lambda, band).value for band in survey], axis=-1) / 3631


class SceneLibrary:
    """Spectra of galaxies and stars in the bands of two surveys, drawn once with a fixed seed.

    Parameters
    ----------
    surveys : dict of str to Survey
        By side, "input" and "target".
    """

    def __init__(self, surveys):
        self.surveys = dict(surveys)
        rng = np.random.default_rng(_LIBRARY_SEED)
        self.magnitudes = np.sort(rng.uniform(*_LIBRARY_RANGE, _LIBRARY_SIZE))
        rows = ObservedPopulation(GalaxyPopulation("scene", _LIBRARY_RANGE, _LIBRARY_REDSHIFTS)).draw_at(
            rng, self.magnitudes)
        self._log_redshifts, self._luminosities = np.log1p(rows["redshift"]), rows["absolute_r_mag"]
        seds, rows["r_mag"] = ObservedSEDs(self.surveys), np.zeros(_LIBRARY_SIZE)
        self._galaxies = {side: seds.fluxes(rows, side) for side in self.surveys}
        self._stars = {side: _star_fluxes(survey) for side, survey in self.surveys.items()}
        self._limits = {}

    def limit(self, part):
        """Return the r magnitude of the faintest sources."""
        if part not in self._limits:
            self._limits[part] = faint_limit(part, self.surveys.values())
        return self._limits[part]

    def choose_galaxies(self, rng, magnitudes):
        """Return rows of galaxies of about the magnitudes; the faintest of the library for fainter ones."""
        shifted = np.clip(magnitudes + 0.3 * rng.standard_normal(len(magnitudes)), *_LIBRARY_RANGE)
        near = np.searchsorted(self.magnitudes, shifted) + rng.integers(-15, 16, len(magnitudes))
        return np.clip(near, 0, len(self.magnitudes) - 1)

    def choose_satellites(self, rng, luminosities, redshift):
        """Return rows of galaxies of about the absolute magnitudes and the redshift, at random by their distance."""
        in_redshift = ((self._log_redshifts - np.log1p(redshift)) / _NEAR[0]) ** 2
        in_luminosity = ((self._luminosities - np.asarray(luminosities)[:, None]) / _NEAR[1]) ** 2
        chance = -0.5 * (in_redshift + in_luminosity) + rng.gumbel(size=in_luminosity.shape)
        return np.argmax(chance, axis=1)

    def choose_stars(self, rng, magnitudes):
        """Return rows of stars: blue ones of the halo and disk, and red dwarfs."""
        blue = rng.random(len(magnitudes)) < np.interp(magnitudes, *_BLUE_STARS)
        (low, width), (high, spread) = _STAR_COLORS
        normal = rng.standard_normal(len(magnitudes))
        color = np.clip(np.where(blue, low + width * normal, high + spread * normal), *_STAR_RANGE)
        return np.rint((color - _STAR_RANGE[0]) / (_STAR_RANGE[1] - _STAR_RANGE[0]) * (_N_STARS - 1)).astype(int)

    def fluxes(self, sources, side):
        """Return the flux of each source in each band of a side, shape ``(n, n_bands)``, in the unit of the survey."""
        relative = self._galaxies[side][np.where(sources.is_star, 0, sources.sed)]
        if sources.is_star.any():
            stars = sources.is_star
            relative = relative.copy()
            relative[stars] = self._stars[side][sources.sed[stars]]
        return relative * 10 ** (-0.4 * sources.r_mag[:, None])


@lru_cache(maxsize=8)
def scene_library(input_survey, target_survey):
    """Return the `SceneLibrary` of two surveys, which takes a tenth of a second to draw."""
    return SceneLibrary({"input": input_survey, "target": target_survey})


@lru_cache(maxsize=32)
def _star_fluxes(survey):
    """Return the flux in each band of stars of r = 0, shape ``(n_stars, n_bands)``, in the unit of the survey."""
    curves = [band.wavelength.to_value(u.AA) for band in survey]
    grid = np.geomspace(min(curve[0] for curve in curves) * 0.99, max(curve[-1] for curve in curves) * 1.01, 1500)
    colors = np.linspace(*_STAR_RANGE, _N_STARS)
    zero_points = np.array([band.zero_point for band in survey])
    return _through_bands(star_spectra(colors, grid), grid, survey) * 10 ** (0.4 * zero_points)


def _reach(renderer, sources, fluxes, psfs):
    """Return the distance in arcsec at which each source falls below a fraction of the noise in all bands."""
    noise = np.array([band.sky_noise for band in renderer.survey])
    significance = np.abs(fluxes) / noise
    signal = significance / _INVISIBLE * renderer.scale**2
    widths = np.array([psf.fwhm for psf in psfs])
    alpha = widths / (2 * np.sqrt(2 ** (1 / _CORE_BETA) - 1))
    core = alpha * (signal * (_CORE_BETA - 1) / (pi * alpha**2)) ** (0.5 / _CORE_BETA)
    scales = np.array([psf.wing_scale for psf in psfs]) * widths
    in_wings = signal * np.array([psf.wings for psf in psfs]) / (2 * pi * scales**2)
    wings = scales * np.sqrt(np.maximum(in_wings ** (2 / 3) - 1, 0))
    strongest = signal.max(axis=1)
    body = np.zeros(len(sources))
    for part, scale in ((1 - sources.concentrated, DISK_SCALES), (sources.concentrated, _CORE_SCALES)):
        scale = np.where(sources.is_star, 1e-3, sources.radius / np.sqrt(sources.axis_ratio) / scale)
        body = np.maximum(body, scale * np.log(np.maximum(part * strongest / (2 * pi * scale**2), 1.0)))
    point = np.maximum(core, wings).max(axis=1)
    return np.maximum(point, body) + np.where(sources.is_star, 0, 0.5 * widths.max()), significance.max(axis=1)


def render_scene(renderer, sources, fluxes, blurs, offsets):
    """Return the image of the sources in all bands, float32 of shape ``(band, size, size)``.

    Each source is drawn on a Fourier grid as large as it is visible, with an exact shift by the fraction of a pixel.

    Parameters
    ----------
    renderer : Renderer
        Pixel grid of the stamp.
    sources : SceneSources
    fluxes : ndarray of shape (n, n_bands)
        From `SceneLibrary.fluxes`, in the unit of the survey.
    blurs : Blurs
        PSF of each band.
    offsets : ndarray of shape (n_bands, 2)
        Position of the target from the center of the stamp in each band, x and y in arcsec.
    """
    size, psfs = renderer.size, blurs.psfs
    image = np.zeros((len(psfs), size, size), dtype=np.float32)
    offsets = np.asarray(offsets, dtype=float)
    if not len(sources):
        return image
    reach, strongest = _reach(renderer, sources, fluxes, psfs)
    common = offsets.mean(axis=0)
    x, y = sources.x + common[0], sources.y + common[1]
    beyond = np.maximum(np.abs(x), np.abs(y)) - size * renderer.scale / 2
    visible = (beyond < reach) & (strongest > _FAINTEST_FLUX)
    needed = 2 * (reach / renderer.scale + 1)
    sides = np.minimum(np.searchsorted(_SIDES, needed), len(_SIDES) - 1)
    used = np.unique(sides[visible])
    for index, larger in zip(used, used[1:]):
        few = visible & (sides == index)
        if _SIDES[larger] <= _SMALL_SIDE and np.count_nonzero(few) <= _FEW:
            sides[few] = larger
    # From large to small, as small grids take the transforms of the PSFs from larger ones.
    for index in np.unique(sides[visible])[::-1]:
        rows = np.flatnonzero(visible & (sides == index))
        grid = _SmallGrid(renderer, _SIDES[index], blurs, offsets - common)
        grid.add(image, sources[rows], fluxes[rows], x[rows], y[rows])
    return image


@lru_cache(maxsize=64)
def _wave_numbers(n, scale):
    """Return the float32 wave numbers along x and y of the half plane of a grid of n by n pixels."""
    dk = 2 * pi / (n * scale)
    return (dk * np.arange(n // 2 + 1)).astype(np.float32), (dk * fft.fftfreq(n, 1 / n)).astype(np.float32)


class _SmallGrid:
    """Fourier grid of ``side`` pixels of a survey, on which sources of one size class are drawn together."""

    def __init__(self, renderer, side, blurs, shifts):
        self.scale, self.oversampling, self.side = renderer.scale, renderer.oversampling, side
        self.n = side * renderer.oversampling
        self.kx, self.ky = _wave_numbers(self.n, self.scale / self.oversampling)
        along_x, along_y = (pixel_phases(k, shift, self.scale) for k, shift in zip((self.kx, self.ky), shifts.T))
        along_y *= self.oversampling**2
        self.band = blurs.on(self.n, self.kx, self.ky) * along_y[:, :, None]
        self.band *= along_x[:, None]

    def add(self, image, sources, fluxes, x, y):
        """Add sources at positions in arcsec from the center of the stamp to the image."""
        size, stride = image.shape[-1], self.oversampling
        position = (size - 1) / 2 + np.stack([x, y]) / self.scale
        corner = np.floor(position).astype(int) - self.side // 2
        # The part of each small image that is within the stamp.
        first, stop = np.maximum(-corner, 0), np.minimum(size - corner, self.side)
        inside = np.all(first < stop, axis=0)
        sources, fluxes = sources[inside], np.asarray(fluxes[inside], dtype=np.float32)
        position, corner, first, stop = (one[:, inside] for one in (position, corner, first, stop))
        along_x, along_y = (np.exp(-1j * np.outer(one * self.scale, k)).astype(np.complex64)
                            for one, k in zip(position - corner, (self.kx, self.ky)))
        together = max(_BATCH // self.n**2, 1)
        for start in range(0, len(sources), together):
            some = slice(start, start + together)
            phased = (along_y[some, :, None] * self._shapes(sources[some])) * along_x[some, None, :]
            bands = phased[:, None] * self.band
            # Numbers that are not complex are multiplied faster.
            bands.view(np.float32)[:] *= fluxes[some, :, None, None]
            # Rows beyond the stamp are not transformed along x.
            top, bottom = first[1, some].min(), stop[1, some].max()
            rows = fft.ifft(bands, axis=2, overwrite_x=True, workers=1)[:, :, top * stride:bottom * stride:stride]
            small = fft.irfft(rows, self.n, axis=3, overwrite_x=True, workers=1)[..., ::stride]
            windows = zip(corner[:, some].T.tolist(), first[:, some].T.tolist(), stop[:, some].T.tolist())
            for each, ((left, low), (x1, y1), (x2, y2)) in zip(small, windows):
                image[:, low + y1:low + y2, left + x1:left + x2] += each[:, y1 - top:y2 - top, x1:x2]

    def _shapes(self, sources):
        """Return the transforms of the sources, real, shape ``(n, ky, kx)``: exponential disks and cores."""
        root = np.sqrt(sources.axis_ratio)
        cos, sin = np.cos(sources.angle), np.sin(sources.angle)
        # q is the squared wave number in the frame in which the source is round, for a half-light radius of 1.
        xx, yy = (cos / root) ** 2 + (sin * root) ** 2, (sin / root) ** 2 + (cos * root) ** 2
        xy = 2 * sin * cos * (1 / sources.axis_ratio - sources.axis_ratio)
        squared = (sources.radius**2)[:, None].astype(np.float32)
        a = (squared * xx[:, None].astype(np.float32)) * self.kx**2
        c = (squared * yy[:, None].astype(np.float32)) * self.ky**2
        b = (squared * xy[:, None].astype(np.float32)) * self.kx
        q = a[:, None, :] + c[:, :, None]
        q += b[:, None, :] * self.ky[:, None]
        disk = 1 + q / np.float32(DISK_SCALES**2)
        core = 1 + q / np.float32(_CORE_SCALES**2)
        share = sources.concentrated.astype(np.float32)[:, None, None]
        return (1 - share) / (disk * np.sqrt(disk)) + share / np.sqrt(core)


def label_pixels(target, scene, noise):
    """Return to whom each pixel belongs, uint8 of shape ``(size, size)``: 0 sky, 1 target, 2 neighbors and stars.

    A pixel is of a source where the sum of target and scene over the bands, each band over its noise, exceeds one
    standard deviation of that sum; then it belongs to the larger of the two.

    Parameters
    ----------
    target, scene : ndarray of shape (n_bands, size, size)
        Images without noise of the target and of everything else.
    noise : ndarray of shape (n_bands,)
        Standard deviation of the sky of a pixel.
    """
    weight = (1 / np.asarray(noise, dtype=np.float32))[:, None, None] / np.float32(np.sqrt(len(noise)))
    own, other = (target * weight).sum(axis=0), (scene * weight).sum(axis=0)
    return np.where(own + other > 1, np.where(own >= other, 1, 2), 0).astype(np.uint8)
