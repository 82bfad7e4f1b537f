import pytest

pytest.importorskip("galsim", reason="simulated pairs need GalSim")

from astro_galtrans.simulation import simulate_pairs  # noqa: E402


@pytest.fixture(scope="session")
def pairs():
    return simulate_pairs(60, seed=5, galaxies="templates", sky="plain", input_size=32, truth=True)


@pytest.fixture(scope="session")
def with_spectra():
    """The same galaxies as in ``pairs``."""
    return simulate_pairs(60, seed=5, galaxies="templates", sky="plain", input_size=32, truth=True, spectra=True)
