"""Spectra of observed galaxies: template mixtures with emission lines, dust and smooth residuals, through any bands."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from scipy.interpolate import BSpline

from astro_galtrans._utils.optional import optional
from astro_galtrans.simulation._seds import calzetti
from astro_galtrans.surveys import Survey, get_survey

__all__ = ["AGES", "MAX_OBSERVED_REDSHIFT", "N_MODULATIONS", "N_TEMPLATES", "REDDENING_RANGE", "ObservedSEDs",
           "modulation_basis", "observed_statistics"]

MAX_OBSERVED_REDSHIFT = 3.0
# The templates of kcorrect from old to young light, as indices in its file.
_ORDER = (3, 0, 2, 4, 1)
AGES = ("passive", "old with dust", "star-forming with dust", "about 0.5 Gyr", "about 10 Myr")
N_TEMPLATES = len(_ORDER)
_NORMALIZATION = (5450.0, 5550.0)  # Angstrom, rest frame
_STEP = 5e-4  # of the grid of ln(wavelength): 150 km/s
_REDSHIFT_STRIDE = 4  # steps of the grid between redshifts
_LIMITS = (600.5, 3.15e6)  # Angstrom, rest frame
REDDENING_RANGE = (-0.1, 0.5)
_REDDENINGS = np.linspace(*REDDENING_RANGE, 4)
_STATISTICS = Path(__file__).parent / "observed_galaxies.ecsv"
_LIGHT_SPEED = 2.99792458e18  # Angstrom / s
_PER_MAG = 0.4 * np.log(10)
# Vacuum wavelengths in Angstrom of the emission lines of the templates (Vanden Berk et al. 2001, AJ 122, 549, table 2,
# and NIST): C III], C II], [O II], Mg II, [O II], [Ne III], He I and H zeta, [Ne III] and H epsilon, H delta, H gamma,
# [O III], He I, H beta, [O III] twice, [N I], He I, [O I] twice, [N II], H alpha, [N II], He I, [S II] twice, He I,
# [Ar III], [O II], [Ar III], [S III] twice.
_LINES = np.array([
    1908.7, 2326.0, 2471.0, 2799.1, 3728.5, 3869.9, 3890.2, 3969.0, 4102.9, 4341.7, 4364.4, 4472.7, 4862.7, 4960.3,
    5008.2, 5201.7, 5877.2, 6302.0, 6365.5, 6549.9, 6564.6, 6585.3, 6680.0, 6718.3, 6732.7, 7067.2, 7137.8, 7321.5,
    7332.0, 7753.2, 9071.1, 9533.2])
_LINE_WIDTH = 0.0042  # of ln(wavelength): the half width of a line of the templates
# Knots of the cubic splines that modulate the continuum, in ln(wavelength).
_KNOT_RANGE, _KNOT_SPACING = (np.log(1000.0), np.log(20000.0)), 0.25
_N_INTERVALS = int(round((_KNOT_RANGE[1] - _KNOT_RANGE[0]) / _KNOT_SPACING))
N_MODULATIONS = _N_INTERVALS + 3
# Broad lines of quasars: wavelength, equivalent width and dispersion in Angstrom (Vanden Berk et al. 2001, table 2).
_BROAD_LINES = np.array([
    (1216.25, 92.91, 19.46), (1398.33, 8.13, 14.11), (1546.15, 23.78, 14.33), (1905.97, 21.19, 23.58),
    (2800.26, 32.28, 34.95), (3729.66, 1.56, 3.32), (4102.73, 5.05, 18.62), (4346.42, 12.62, 20.32),
    (4853.13, 46.21, 40.44), (4960.36, 3.50, 3.85), (5008.22, 13.23, 6.04), (6564.93, 194.52, 47.39)])


def modulation_basis(wavelength):
    """Return the cubic B-splines of the modulation at rest-frame wavelengths in Angstrom, shape ``(..., n)``.

    They add up to 1 everywhere. Their knots are 0.25 apart in ln(wavelength) between 1000 and 20000 Angstrom; outside
    they keep the values at the ends.
    """
    knots = np.linspace(*_KNOT_RANGE, _N_INTERVALS + 1)
    spacing = knots[1] - knots[0]
    below = knots[0] - spacing * np.arange(3, 0, -1)
    above = knots[-1] + spacing * np.arange(1, 4)
    spline = BSpline(np.concatenate([below, knots, above]), np.eye(N_MODULATIONS), 3)
    return spline(np.clip(np.log(np.asarray(wavelength, dtype=float)), *_KNOT_RANGE))


def _madau(wavelength, redshift):
    """Return the mean transmission of intergalactic gas at observed wavelengths in Angstrom.

    Madau (1995, ApJ 441, 18), eqs. 12 to 16 and footnote 3: lines of the Lyman series and photoelectric absorption.
    """
    source = 1 + redshift
    depth = np.zeros_like(wavelength)
    for line, strength in ((1215.67, 3.6e-3), (1025.72, 1.7e-3), (972.54, 1.2e-3), (949.74, 9.3e-4)):
        depth += np.where(wavelength < line * source, strength * (wavelength / line) ** 3.46, 0)
    cloud = np.clip(wavelength / 911.75, 1, source)
    continuum = (0.25 * cloud**3 * (source**0.46 - cloud**0.46) + 9.4 * cloud**1.5 * (source**0.18 - cloud**0.18)
                 - 0.7 * cloud**3 * (cloud**-1.32 - source**-1.32) - 0.023 * (source**1.68 - cloud**1.68))
    return np.exp(-depth - np.where(wavelength < 911.75 * source, np.clip(continuum, 0, None), 0))


@lru_cache(maxsize=1)
def observed_statistics():
    """Return the statistics of observed galaxies that are part of the package, a `~astropy.table.Table`."""
    return Table.read(_STATISTICS, format="ascii.ecsv")


@lru_cache(maxsize=1)
def _templates():
    """Return rest wavelengths on a logarithmic grid in Angstrom, f_lambda of continuum and of lines of each template.

    The continuum and lines together are 1 at 5500 Angstrom.
    """
    package = optional("kcorrect", "simulation", "galaxies like the observed ones")
    table = Table.read(Path(package.KCORRECT_DIR) / "data" / "templates" / "kcorrect-default-v4.fits", hdu=1)
    native, fluxes = np.array(table["wave"][0], dtype=float), np.array(table["flux"][0], dtype=float)[list(_ORDER)]
    grid = np.exp(np.arange(np.log(_LIMITS[0]), np.log(_LIMITS[1]), _STEP))
    spectra = np.array([np.interp(grid, native, flux) for flux in fluxes])
    window = (grid >= _NORMALIZATION[0]) & (grid <= _NORMALIZATION[1])
    spectra /= spectra[:, window].mean(axis=1, keepdims=True)
    in_line = np.any(np.abs(np.log(grid) - np.log(_LINES[:, None])) < _LINE_WIDTH, axis=0)
    free = np.array([np.interp(grid, grid[~in_line], spectrum[~in_line]) for spectrum in spectra])
    # Where the spectrum is below, the line is in absorption and part of the continuum.
    lines = np.clip(spectra - free, 0, None)
    return grid, spectra - lines, lines


@lru_cache(maxsize=1)
def _nucleus():
    """Return f_lambda of an active nucleus on the grid of the templates.

    Power laws of slope -1.54 and 0.42 that meet at 5000 Angstrom, the fits of Vanden Berk et al. (2001), times the
    broad lines. The slope beyond is kept below -0.5 per unit wavelength, as hosts redden that part of their composite.
    """
    grid = _templates()[0]
    continuum = np.where(grid < 5000, (grid / 5000) ** -1.54, (grid / 5000) ** -0.5)
    relative = np.ones_like(grid)
    for center, width, dispersion in _BROAD_LINES:
        profile = np.exp(-0.5 * ((grid - center) / dispersion) ** 2) / (dispersion * np.sqrt(2 * np.pi))
        relative += width * profile
    return continuum * relative


def _cell(value, origin, spacing, n):
    """Return the index of the cell of ``value`` on ``n`` points, and the weight of the upper point."""
    position = (value - origin) / spacing
    index = np.clip(np.asarray(position, dtype=int), 0, n - 2)
    return index, np.clip(position - index, 0.0, 1.0)


class _BandGrid:
    """Fluxes through the bands of a survey and, as the last band, SDSS r, on a grid of redshift and reddening.

    Mean flux densities per unit frequency, up to one constant, of spectra of which only the wavelength is redshifted.
    ``continuum`` has shape ``(n_redshift, n_reddening, n_templates, 1 + n_modulations, n_bands + 1)``: the continuum of
    each template and its products with the splines of the modulation, over the attenuation at the effective wavelength
    of the band. ``lines`` has shape ``(n_redshift, n_reddening, n_templates, n_bands + 1)``.
    """

    def __init__(self, survey, corrections):
        rest, continuum, lines = _templates()
        continuum = continuum * (1 + corrections @ modulation_basis(rest).T)
        basis = np.concatenate([np.ones((len(rest), 1)), modulation_basis(rest)], axis=1).T
        bands = [*survey, *get_survey("SDSS").select("r")]
        self.n_redshifts = int(np.log1p(MAX_OBSERVED_REDSHIFT) / _STEP) // _REDSHIFT_STRIDE + 2
        shifts = np.arange(self.n_redshifts) * _REDSHIFT_STRIDE
        self.redshifts = np.expm1(shifts * _STEP)
        shape = self.n_redshifts, len(_REDDENINGS), N_TEMPLATES
        self.continuum = np.empty((*shape, len(basis), len(bands)), dtype=np.float32)
        self.lines = np.empty((*shape, len(bands)), dtype=np.float32)
        self.nucleus = np.empty((self.n_redshifts, len(bands)), dtype=np.float32)
        self.attenuation = np.empty((self.n_redshifts, len(bands)), dtype=np.float32)
        nucleus = _nucleus()
        for index, band in enumerate(bands):
            first, weights = _band_weights(band, rest[0])
            low = first - shifts[-1]
            if low < 0 or first + len(weights) > len(rest):
                raise ValueError(f"the galaxy spectra reach from {rest[0] * (1 + MAX_OBSERVED_REDSHIFT):.0f} to "
                                 f"{rest[-1]:.0f} Angstrom at every redshift to {MAX_OBSERVED_REDSHIFT}, band "
                                 f"{band.name} of survey {survey.name} begins or ends outside")
            inside = slice(low, first + len(weights))
            dust = np.exp(-_PER_MAG * _REDDENINGS[:, None] * calzetti(rest[inside]))
            smooth = (dust[:, None, None] * (continuum[:, None, inside] * basis[:, inside])).astype(np.float32)
            narrow = dust[:, None] * lines[:, inside]
            stacked = np.concatenate([smooth.reshape(-1, smooth.shape[-1]), narrow.reshape(-1, narrow.shape[-1]),
                                      nucleus[None, inside]]).astype(np.float32)
            observed = rest[first:first + len(weights)]
            center = np.exp(np.average(np.log(observed), weights=weights * observed**-2))
            for row, (shift, redshift) in enumerate(zip(shifts, self.redshifts)):
                start = first - shift - low
                weight = (weights * _madau(observed, redshift)).astype(np.float32)
                flux = stacked[:, start:start + len(weights)] @ weight
                n_smooth, n_narrow = smooth[..., 0].size, narrow[..., 0].size
                self.attenuation[row, index] = calzetti(center / (1 + redshift))
                screen = np.exp(_PER_MAG * _REDDENINGS * self.attenuation[row, index])
                self.continuum[row, ..., index] = flux[:n_smooth].reshape(smooth.shape[:-1]) * screen[:, None, None]
                self.lines[row, ..., index] = (flux[n_smooth:n_smooth + n_narrow].reshape(narrow.shape[:-1])
                                               * screen[:, None])
                self.nucleus[row, index] = flux[-1]
        self.zero_points = np.array([band.zero_point for band in survey])

    def redshift_cell(self, redshift):
        """Return the index below the redshift, and the weight of the point above."""
        return _cell(np.log1p(redshift), 0.0, _REDSHIFT_STRIDE * _STEP, self.n_redshifts)

    @staticmethod
    def interpolated(table, index, upper):
        """Return the values of a table, whose first axis is redshift, at the redshift of a cell."""
        return (1 - upper) * table[index] + upper * table[index + 1]


def _band_weights(band, origin):
    """Return the first point of the wavelength grid and the weights that turn f_lambda on it into a mean f_nu."""
    curve = band.wavelength.value
    used = np.flatnonzero(band.response > 0)
    low, high = curve[max(used[0] - 1, 0)], curve[min(used[-1] + 1, len(curve) - 1)]
    first = int(np.floor(np.log(low / origin) / _STEP))
    n = int(np.ceil(np.log(high / origin) / _STEP)) - first + 1
    fine = 8
    offset = np.arange(-fine + 1, fine) / fine
    hat = (1 - np.abs(offset)) / fine
    wavelength = origin * np.exp((first + np.arange(n)[:, None] + offset) * _STEP)
    response = np.interp(wavelength, curve, band.response, left=0.0, right=0.0)
    weights = np.sum(response * hat * wavelength**2, axis=1)
    return first, weights / np.sum(response * hat)


_grids = {}


def _band_grid(survey, corrections):
    """Return the `_BandGrid` of a survey, computed once for each set of passbands, zero points and corrections."""
    key = corrections.tobytes(), *((band.wavelength.value.tobytes(), band.response.tobytes(), band.zero_point)
                                   for band in survey)
    if key not in _grids:
        _grids[key] = _BandGrid(survey, corrections)
    return _grids[key]


class ObservedSEDs:
    """Fluxes and spectra of galaxies that are mixtures of the templates of kcorrect (Blanton & Roweis 2007).

    The five templates (AJ 133, 734) are ordered from old to young light: passive, old with dust, star-forming with
    dust, of about 0.5 Gyr, of about 10 Myr. A row has

    - ``redshift``, 0 to 3, and ``r_mag``, the total SDSS r magnitude (AB),
    - ``template_fractions``, shape ``(5,)``: non-negative weights of the templates, each 1 at 5500 Angstrom at rest,
    - ``line_strength``: factor of the emission lines of the templates,
    - ``reddening``: E(B-V) in mag of dust beyond that of the templates, -0.1 to 0.5 (Calzetti et al. 2000),
    - ``modulation``, shape ``(15,)``: coefficients of cubic splines of wavelength; the continuum is multiplied by
      1 + their sum.

    Parameters
    ----------
    surveys : mapping of str to Survey
        Survey of each side, such as ``{"input": ..., "target": ...}``. Fluxes are in the unit of each survey.
    corrections : ndarray, optional
        Modulation of each template, shape ``(5, 15)``. By default those that are part of the package, with which the
        templates have the mean colors of observed galaxies; zeros are the templates as published.
    """

    def __init__(self, surveys: Mapping[str, Survey], corrections: np.ndarray | None = None) -> None:
        self.surveys = dict(surveys)
        if corrections is None:
            corrections = observed_statistics().meta["corrections"]
        self.corrections = np.array(corrections, dtype=float)
        if self.corrections.shape != (N_TEMPLATES, N_MODULATIONS):
            raise ValueError(f"corrections must have shape {(N_TEMPLATES, N_MODULATIONS)}, got "
                             f"{self.corrections.shape}")
        self._grids = {side: _band_grid(survey, self.corrections) for side, survey in self.surveys.items()}

    def continuum(self, row: Mapping[str, Any], side: str) -> np.ndarray:
        """Return the flux of the continuum of each template, shape ``(5, n_bands)``, in the unit of the survey."""
        return self.galaxy(row, side)[0]

    def lines(self, row: Mapping[str, Any], side: str) -> np.ndarray:
        """Return the flux of all emission lines, shape ``(n_bands,)``, in the unit of the survey."""
        return self.galaxy(row, side)[1]

    def galaxy(self, row: Mapping[str, Any], side: str) -> tuple[np.ndarray, np.ndarray]:
        """Return `continuum` and `lines` at once."""
        grid = self._grids[side]
        continuum, lines, _ = self._relative(row, grid)
        scale = self._scale(row, grid, continuum[:, -1].sum() + lines[-1])
        return continuum[:, :-1] * scale, lines[:-1] * scale

    def _relative(self, row, grid):
        """Return continuum and lines up to one constant, and the index and weight of the redshift."""
        z, upper = grid.redshift_cell(row["redshift"])
        e, dusty = _cell(row["reddening"], _REDDENINGS[0], _REDDENINGS[1] - _REDDENINGS[0], len(_REDDENINGS))
        weights = np.array([(1 - upper) * (1 - dusty), (1 - upper) * dusty, upper * (1 - dusty), upper * dusty])
        factors = np.concatenate([[1.0], row["modulation"]])
        fractions = np.asarray(row["template_fractions"], dtype=float)[:, None]
        fractions = fractions * np.exp(-_PER_MAG * row["reddening"] * grid.interpolated(grid.attenuation, z, upper))
        smooth = weights @ grid.continuum[z:z + 2, e:e + 2].reshape(4, -1)
        smooth = factors @ smooth.reshape(N_TEMPLATES, len(factors), -1)
        narrow = (weights @ grid.lines[z:z + 2, e:e + 2].reshape(4, -1)).reshape(N_TEMPLATES, -1)
        return smooth * fractions, row["line_strength"] * np.sum(narrow * fractions, axis=0), (z, upper)

    @staticmethod
    def _scale(row, grid, reference):
        """Return the factor of relative fluxes, shape ``(n_bands,)``, that gives the r magnitude."""
        return 10 ** (-0.4 * (row["r_mag"] - grid.zero_points)) / reference

    def fluxes(self, rows: Mapping[str, Any], side: str) -> np.ndarray:
        """Return the total fluxes of many galaxies, shape ``(n, n_bands)``, in the unit of the survey.

        ``rows`` is a mapping of the columns to arrays of length n. The redshift is rounded to the grid, by at most
        0.001 in ln(1 + z).
        """
        total, reference = self.relative_fluxes(rows, side)
        magnitude = np.asarray(rows["r_mag"], dtype=float)[:, None]
        return total / reference[:, None] * 10 ** (-0.4 * (magnitude - self._grids[side].zero_points))

    def relative_fluxes(self, rows: Mapping[str, Any], side: str) -> tuple[np.ndarray, np.ndarray]:
        """Return flux densities per unit frequency of many galaxies in the bands and in SDSS r, up to one constant.

        The spectra have the template fractions at 5500 Angstrom at rest, and only their wavelength is redshifted.
        Shapes ``(n, n_bands)`` and ``(n,)``.
        """
        grid = self._grids[side]
        z, upper = grid.redshift_cell(np.asarray(rows["redshift"]))
        z = z + (upper > 0.5)
        reddening = np.asarray(rows["reddening"], dtype=np.float32)
        e, dusty = _cell(reddening, _REDDENINGS[0], _REDDENINGS[1] - _REDDENINGS[0], len(_REDDENINGS))
        screen = np.exp(-_PER_MAG * reddening[:, None] * grid.attenuation[z])
        fractions = np.asarray(rows["template_fractions"], dtype=np.float32)
        modulation = np.asarray(rows["modulation"], dtype=np.float32)
        mixed = fractions[:, :, None] * np.concatenate([np.ones_like(modulation[:, :1]), modulation], axis=1)[:, None]
        narrow = np.asarray(rows["line_strength"], dtype=np.float32)[:, None] * fractions
        total = 0.0
        for step, weight in ((0, 1 - dusty), (1, dusty)):
            smooth = grid.continuum[z, e + step].reshape(len(z), -1, screen.shape[1])
            flux = (mixed.reshape(len(z), 1, -1) @ smooth)[:, 0] + (narrow[:, None] @ grid.lines[z, e + step])[:, 0]
            total = total + weight[:, None] * flux
        total = total * screen
        return total[:, :-1], total[:, -1]

    def template_fluxes(self, redshifts: np.ndarray, side: str) -> np.ndarray:
        """Return fluxes of the templates without reddening, shape ``(n, 5, 16, n_bands)``, in Jy up to one constant.

        The third axis has continuum and lines together, and the products of the continuum with the splines of
        ``modulation``. Fractions of templates and modulations are measured with them on observed fluxes in Jy.
        """
        grid = self._grids[side]
        z, upper = grid.redshift_cell(np.asarray(redshifts, dtype=float))
        e, dusty = _cell(0.0, _REDDENINGS[0], _REDDENINGS[1] - _REDDENINGS[0], len(_REDDENINGS))
        fluxes = np.zeros(())
        for step, weight in ((0, 1 - upper), (1, upper)):
            cell = np.array((1 - dusty) * grid.continuum[z + step, e] + dusty * grid.continuum[z + step, e + 1])
            cell[:, :, 0] += (1 - dusty) * grid.lines[z + step, e] + dusty * grid.lines[z + step, e + 1]
            fluxes = fluxes + weight[:, None, None, None] * cell
        return fluxes[..., :-1]

    def nucleus(self, row: Mapping[str, Any], side: str) -> np.ndarray:
        """Return the flux of an active nucleus as bright in SDSS r as the galaxy, shape ``(n_bands,)``."""
        grid = self._grids[side]
        flux = grid.interpolated(grid.nucleus, *grid.redshift_cell(row["redshift"]))
        return flux[:-1] * self._scale(row, grid, flux[-1])

    def attenuation(self, row: Mapping[str, Any], side: str) -> np.ndarray:
        """Return A / E(B-V) of a dust screen in the galaxy at the centers of the bands, shape ``(n_bands,)``."""
        grid = self._grids[side]
        return grid.interpolated(grid.attenuation, *grid.redshift_cell(row["redshift"]))[:-1]

    def spectrum(self, row: Mapping[str, Any], edges: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return means over pixels of the continuum of each template, of the lines and of an active nucleus.

        Parameters
        ----------
        row : mapping
            Properties of the galaxy.
        edges : ndarray
            Observed wavelengths of the edges of the pixels in Angstrom, shape ``(n_pixels + 1,)``.

        Returns
        -------
        continuum, lines, nucleus : ndarray
            Shapes ``(5, n_pixels)``, ``(n_pixels,)``, ``(n_pixels,)``, in 1e-17 erg / (s cm2 Angstrom). The nucleus is
            as bright in SDSS r as the galaxy.
        """
        redshift = row["redshift"]
        rest, smooth, narrow = _templates()
        cuts = np.asarray(edges, dtype=float) / (1 + redshift)
        if cuts[0] < rest[0] or cuts[-1] > rest[-1]:
            raise ValueError(f"edges must be within {rest[0] * (1 + redshift):.0f} and {rest[-1] * (1 + redshift):.0f} "
                             f"Angstrom, got {edges[0]:.0f} to {edges[-1]:.0f}")
        inside = slice(np.searchsorted(rest, cuts[0], side="right") - 1, np.searchsorted(rest, cuts[-1]) + 1)
        near = rest[inside]
        fractions = np.asarray(row["template_fractions"], dtype=float)[:, None]
        basis = modulation_basis(near)
        gas = _madau(near * (1 + redshift), redshift)
        screen = fractions * gas * 10 ** (-0.4 * row["reddening"] * calzetti(near))
        values = np.concatenate([
            smooth[:, inside] * (1 + self.corrections @ basis.T) * screen * (1 + basis @ np.asarray(row["modulation"])),
            row["line_strength"] * np.sum(narrow[:, inside] * screen, axis=0, keepdims=True),
            (_nucleus()[inside] * gas)[None]])
        means = _means(near, values, cuts)
        grid = next(iter(self._grids.values()))
        continuum, lines, (z, upper) = self._relative(row, grid)
        # Both are f_lambda up to a constant: that of the grids turns erg / (s cm2 Angstrom) into f_nu times c.
        density = 1e17 * 3631e-23 * _LIGHT_SPEED * 10 ** (-0.4 * row["r_mag"])
        means[:-1] *= density / (continuum[:, -1].sum() + lines[-1])
        means[-1] *= density / grid.interpolated(grid.nucleus, z, upper)[-1]
        return means[:-2], means[-2], means[-1]


def _means(grid, values, cuts):
    """Return the means between cuts of functions that are linear between grid points, shape ``(n, n_cuts - 1)``."""
    # With the grid points among the nodes, the trapezoidal rule is exact.
    nodes = np.union1d(grid, cuts)
    at = np.searchsorted(nodes, cuts)
    means = np.empty((len(values), len(cuts) - 1))
    for mean, value in zip(means, values):
        sampled = np.interp(nodes, grid, value)
        total = np.concatenate([[0], np.cumsum(0.5 * (sampled[1:] + sampled[:-1]) * np.diff(nodes))])
        mean[:] = np.diff(total[at]) / np.diff(cuts)
    return means
