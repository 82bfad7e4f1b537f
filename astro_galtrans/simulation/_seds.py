"""Broad-band fluxes of dusty, redshifted galaxy spectra on a grid for each survey."""

from functools import lru_cache
from pathlib import Path

import astropy.units as u
import numpy as np

from astro_galtrans.simulation._render import import_galsim
from astro_galtrans.surveys import band_flux_density, get_survey

__all__ = ["SEDGrid", "calzetti", "component_spectra", "galaxy_components", "reference_grid", "sed_grid"]

TYPES = ("E", "Sbc", "Scd", "Im")
_KNOT_TYPE = float(len(TYPES) - 1)
REDDENINGS = np.linspace(0.0, 0.6, 7)
MAX_REDSHIFT = 1.5
_NORMALIZATION = (5450.0, 5550.0)  # Angstrom, rest frame


def calzetti(wavelength):
    """Return the attenuation k = A / E(B-V) of starburst galaxies at rest-frame wavelengths in Angstrom.

    Calzetti et al. (2000, ApJ 533, 682), eq. 4, with R_V = 4.05, continued with its value at 1200 Angstrom below that
    and as 0 where the formula would turn negative (beyond 2.2 micron).
    """
    micron = np.clip(np.asarray(wavelength, dtype=float) / 1e4, 0.12, None)
    inverse = 1 / micron
    blue = 2.659 * (-2.156 + 1.509 * inverse - 0.198 * inverse**2 + 0.011 * inverse**3) + 4.05
    red = 2.659 * (-1.857 + 1.040 * inverse) + 4.05
    return np.clip(np.where(micron < 0.63, blue, red), 0, None)


@lru_cache(maxsize=1)
def _templates():
    """Return rest wavelengths in Angstrom and f_lambda of the four Coleman, Wu & Weedman types, 1 at 5500 Angstrom."""
    folder = Path(import_galsim().meta_data.share_dir) / "SEDs"
    tables = [np.loadtxt(folder / f"CWW_{name}_ext.sed") for name in TYPES]
    grid = np.unique(np.concatenate([table[:, 0] for table in tables]))
    spectra = []
    for table in tables:
        spectrum = np.interp(grid, table[:, 0], table[:, 1])
        window = (grid >= _NORMALIZATION[0]) & (grid <= _NORMALIZATION[1])
        spectra.append(spectrum / spectrum[window].mean())
    return grid, np.array(spectra)


class SEDGrid:
    """Flux density through the bands of a survey on a grid of redshift, type and reddening.

    ``log_flux`` has shape ``(n_redshift, n_type, n_reddening, n_bands)``: natural log of the flux density per unit
    frequency, up to one constant. The flux per unit wavelength at rest is 1 at 5500 Angstrom before dust, and only the
    wavelength is redshifted.
    """

    def __init__(self, survey):
        self.redshifts = np.linspace(0, MAX_REDSHIFT, 301)
        rest, spectra = _templates()
        dusty = spectra[:, None, :] * 10 ** (-0.4 * REDDENINGS[:, None] * calzetti(rest))
        curves = [band.wavelength.value for band in survey]
        low, high = min(curve[0] for curve in curves) - 10, max(curve[-1] for curve in curves) + 10
        if high > rest[-1] or low < rest[0] * (1 + MAX_REDSHIFT):
            raise ValueError(
                f"the galaxy spectra reach from {rest[0] * (1 + MAX_REDSHIFT):.0f} to {rest[-1]:.0f} Angstrom at every "
                f"redshift to {MAX_REDSHIFT}, survey {survey.name} needs {low:.0f} to {high:.0f}"
            )
        observed = np.geomspace(low, high, max(int(np.log(high / low) * 1500), 100))
        shape = (len(self.redshifts), *dusty.shape[:2], len(observed))
        shifted = np.empty(shape)
        for i, redshift in enumerate(self.redshifts):
            for j, k in np.ndindex(dusty.shape[:2]):
                shifted[i, j, k] = np.interp(observed / (1 + redshift), rest, dusty[j, k])
        f_lambda = shifted * u.erg / u.s / u.cm**2 / u.AA
        flux = [band_flux_density(observed * u.AA, f_lambda, band).value for band in survey]
        self.log_flux = np.log(np.stack(flux, axis=-1))

    def flux(self, redshift, sed_type, reddening):
        """Return the relative flux density in each band, shape ``(n_bands,)``.

        The redshift is 0 to 1.5, the type 0 (E), 1 (Sbc), 2 (Scd) to 3 (Im) with linear mixtures between, the reddening
        E(B-V) 0 to 0.6 mag.
        """
        z, wz = _cell(redshift, self.redshifts[1], len(self.redshifts))
        e, we = _cell(reddening, REDDENINGS[1], len(REDDENINGS))
        t, wt = _cell(sed_type, 1.0, len(TYPES))
        cell = self.log_flux[z:z + 2, t:t + 2, e:e + 2]
        cell = (1 - we) * cell[:, :, 0] + we * cell[:, :, 1]
        cell = np.exp((1 - wz) * cell[0] + wz * cell[1])
        return (1 - wt) * cell[0] + wt * cell[1]


def _cell(value, spacing, n):
    """Return the index of the cell of ``value`` on ``n`` points from 0, and the weight of the upper point."""
    index = min(max(int(value / spacing), 0), n - 2)
    return index, min(max(value / spacing - index, 0.0), 1.0)


_grids = {}


def sed_grid(survey):
    """Return the `SEDGrid` of a survey, computed once for each set of passbands."""
    key = tuple((band.wavelength.value.tobytes(), band.response.tobytes()) for band in survey)
    if key not in _grids:
        _grids[key] = SEDGrid(survey)
    return _grids[key]


def reference_grid():
    """Return the `SEDGrid` of the SDSS r band, the band of the magnitudes of simulated galaxies."""
    return sed_grid(get_survey("SDSS").select("r"))


def galaxy_components(galaxy):
    """Return type and reddening of bulge, smooth disk and knots of a galaxy, a row of the catalog."""
    return ((galaxy["bulge_type"], galaxy["bulge_reddening"]), (galaxy["disc_type"], galaxy["disc_reddening"]),
            (_KNOT_TYPE, galaxy["disc_reddening"]))


def component_spectra(edges, redshift, components):
    """Return the spectra that `SEDGrid` integrates over bands, as means over pixels, shape ``(component, n_pixels)``.

    ``edges`` are the observed wavelengths of the edges of the pixels in Angstrom, ``components`` pairs of type and
    reddening. The flux density per unit wavelength at rest is 1 at 5500 Angstrom before dust.
    """
    rest, spectra = _templates()
    cuts = edges / (1 + redshift)
    inside = slice(np.searchsorted(rest, cuts[0], side="right") - 1, np.searchsorted(rest, cuts[-1]) + 1)
    near = rest[inside]
    # With the template's own points among the nodes, the trapezoidal rule is exact.
    nodes = np.union1d(near, cuts)
    attenuation = -0.4 * calzetti(near)
    at = np.searchsorted(nodes, cuts)
    means = np.empty((len(components), len(cuts) - 1))
    for row, (sed_type, reddening) in zip(means, components):
        index, upper = _cell(sed_type, 1.0, len(TYPES))
        template = (1 - upper) * spectra[index, inside] + upper * spectra[index + 1, inside]
        values = np.interp(nodes, near, template * 10 ** (attenuation * reddening))
        total = np.concatenate([[0], np.cumsum(0.5 * (values[1:] + values[:-1]) * np.diff(nodes))])
        row[:] = np.diff(total[at]) / np.diff(cuts)
    return means
