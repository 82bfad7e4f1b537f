"""Spectra of observed galaxies: band fluxes are those of the spectra, and everything adds up."""

import astropy.units as u
import numpy as np
import pytest

from astro_galtrans.simulation import ObservedSEDs
from astro_galtrans.simulation._observed_seds import (
    AGES,
    N_MODULATIONS,
    N_TEMPLATES,
    modulation_basis,
    observed_statistics,
)
from astro_galtrans.surveys import band_flux_density, get_survey

pytest.importorskip("kcorrect")
EDGES = np.exp(np.arange(np.log(2900), np.log(21000), 2e-4))


@pytest.fixture(scope="module")
def seds():
    return ObservedSEDs({"input": get_survey("SDSS"), "target": get_survey("Euclid NISP")})


def galaxy(seed, redshift):
    rng = np.random.default_rng(seed)
    return {"redshift": redshift, "r_mag": rng.uniform(14, 25), "line_strength": rng.uniform(0, 3),
            "template_fractions": rng.dirichlet(np.full(N_TEMPLATES, 0.5)), "reddening": rng.uniform(-0.1, 0.5),
            "modulation": rng.normal(0, 0.05, N_MODULATIONS)}


@pytest.mark.parametrize("side", ["input", "target"])
@pytest.mark.parametrize("redshift", [0.0123, 0.1, 0.337, 0.8, 1.4, 2.7])
def test_fluxes_are_those_of_the_spectrum_through_the_bands(seds, side, redshift):
    row = galaxy(1, redshift)
    continuum, lines, nucleus = seds.spectrum(row, EDGES)
    center = (EDGES[1:] + EDGES[:-1]) / 2
    survey = seds.surveys[side]
    unit = [3631 * 10 ** (-0.4 * band.zero_point) for band in survey]

    def integrated(spectrum):
        density = spectrum * 1e-17 * u.erg / u.s / u.cm**2 / u.AA
        return [band_flux_density(center * u.AA, density, band).value / one for band, one in zip(survey, unit)]

    total = integrated(continuum.sum(axis=0) + lines)
    # The dust of the spectrum is interpolated between four values.
    np.testing.assert_allclose(seds.continuum(row, side).sum(axis=0) + seds.lines(row, side), total, rtol=6e-3)
    assert np.all(np.abs(seds.lines(row, side) - integrated(lines)) < 2e-3 * np.array(total))
    np.testing.assert_allclose(seds.nucleus(row, side), integrated(nucleus), rtol=2e-3)


@pytest.mark.parametrize("redshift", [0.05, 0.9, 2.2])
def test_r_magnitude_is_exact(seds, redshift):
    row = galaxy(2, redshift)
    zero_point = get_survey("SDSS")["r"].zero_point
    for flux in (seds.continuum(row, "input").sum(axis=0) + seds.lines(row, "input"), seds.nucleus(row, "input")):
        assert zero_point - 2.5 * np.log10(flux[2]) == pytest.approx(row["r_mag"], abs=1e-5)


def test_many_galaxies_have_the_fluxes_of_each(seds):
    rows = [galaxy(seed, redshift) for seed, redshift in enumerate(np.linspace(0.01, 2.9, 12))]
    stacked = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    each = [seds.continuum(row, "target").sum(axis=0) + seds.lines(row, "target") for row in rows]
    # A strong line at the edge of a band moves with the rounded redshift.
    np.testing.assert_allclose(seds.fluxes(stacked, "target"), each, rtol=0.05)
    assert np.median(np.abs(seds.fluxes(stacked, "target") / each - 1)) < 2e-3


def test_stronger_lines_brighten_the_band_they_are_in(seds):
    # H alpha is in the i band at redshift 0.15; young light has strong lines.
    row = {**galaxy(3, 0.15), "template_fractions": np.eye(N_TEMPLATES)[-1], "line_strength": 1.0}
    one, three = seds.lines(row, "input"), seds.lines({**row, "line_strength": 3.0}, "input")
    assert three[3] / seds.continuum({**row, "line_strength": 3.0}, "input")[:, 3].sum() == pytest.approx(
        3 * one[3] / seds.continuum(row, "input")[:, 3].sum())
    assert one[3] > 0.05 * seds.continuum(row, "input")[:, 3].sum()


def test_dust_reddens_and_attenuation_falls_with_wavelength(seds):
    row = galaxy(4, 0.2)
    clean, dusty = ({**row, "reddening": one} for one in (0.0, 0.3))
    ratio = seds.continuum(dusty, "input").sum(axis=0) / seds.continuum(clean, "input").sum(axis=0)
    assert np.all(np.diff(ratio) > 0) and ratio[2] == pytest.approx(1, abs=0.03)
    assert np.all(np.diff(seds.attenuation(row, "input")) < 0)


def test_templates_are_ordered_from_old_to_young(seds):
    row = {**galaxy(5, 0.0), "reddening": 0.0, "modulation": np.zeros(N_MODULATIONS)}
    blue = []
    for fractions in np.eye(N_TEMPLATES):
        flux = seds.continuum({**row, "template_fractions": fractions}, "input").sum(axis=0)
        blue.append(flux[0] / flux[2])
    # The two with dust are as red as older ones without.
    assert len(AGES) == N_TEMPLATES and blue[0] < blue[3] < blue[4] and blue[1] < blue[2] < blue[3]


def test_modulation_basis_adds_up_to_one():
    np.testing.assert_allclose(modulation_basis([500, 1000, 3333, 20000, 1e5]).sum(axis=-1), 1)


def test_gas_between_the_galaxies_absorbs_the_far_ultraviolet(seds):
    row = galaxy(6, 2.9)
    edges = np.array([3000.0, 3400.0, 5500.0, 5900.0])
    continuum = seds.spectrum({**row, "template_fractions": np.eye(N_TEMPLATES)[-1]}, edges)[0].sum(axis=0)
    assert 0 <= continuum[0] < 0.3 * continuum[2]


def test_spectrum_rejects_wavelengths_outside_the_templates(seds):
    with pytest.raises(ValueError, match="edges"):
        seds.spectrum(galaxy(7, 1.0), np.array([500.0, 600.0]))


def test_corrections_need_their_shape():
    with pytest.raises(ValueError, match="corrections"):
        ObservedSEDs({"input": get_survey("SDSS")}, np.zeros(3))


def test_statistics_are_complete():
    table = observed_statistics()
    assert np.sum(table["weight"]) == pytest.approx(1, abs=1e-3)
    assert np.shape(table.meta["corrections"]) == (N_TEMPLATES, N_MODULATIONS)
    assert len(table.meta["scatter"]["modulation"]) == N_MODULATIONS
