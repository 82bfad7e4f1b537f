import numpy as np
import pytest

from astro_galtrans.pairs import PairSet
from astro_galtrans.surveys import get_survey
from astro_galtrans.training import TrainConfig

BANDS = "gri"


def _make_pairs(n, seed, size=16, first_id=0, **options):
    """Round galaxies of random size, flux and colour with the noise of both surveys, colour telling the redshift."""
    rng = np.random.default_rng(seed)
    redshift = rng.uniform(0.05, 0.4, n)
    radius, magnitude = rng.uniform(1.0, 2.0, n), rng.uniform(16.5, 18.5, n)
    slope = 1 + 3 * redshift + rng.normal(0, 0.05, n)
    images = {}
    for side, name, n_pixels in (("input", "SDSS", size), ("target", "CFHTLS", {16: 34, 15: 33}[size])):
        survey = get_survey(name).select(BANDS)
        scale = survey.pixel_scale.value
        y, x = (np.indices((n_pixels, n_pixels)) - (n_pixels - 1) / 2) * scale
        variance = radius[:, None, None]**2
        profile = np.exp(-(x**2 + y**2) / (2 * variance)) * scale**2 / (2 * np.pi * variance)
        wavelength = np.array([band.effective_wavelength.value for band in survey]) / 6000
        zero_point = np.array([band.zero_point for band in survey])
        flux = 10**(0.4 * (zero_point - magnitude[:, None])) * wavelength**slope[:, None]
        noise = survey.sky_noise[:, None, None]
        images[f"{side}_flux"] = flux[:, :, None, None] * profile[:, None] + noise * rng.normal(
            size=(n, len(survey), n_pixels, n_pixels))
        images[f"{side}_survey"] = survey
        if options.get("weights", True):
            images[f"{side}_weight"] = np.broadcast_to(noise**-2.0, images[f"{side}_flux"].shape)
    return PairSet.from_arrays(**images, redshift=redshift, ids=np.arange(first_id, first_id + n))


@pytest.fixture(scope="session")
def make_pairs():
    return _make_pairs


@pytest.fixture(scope="session")
def pairs():
    return _make_pairs(64, seed=1)


@pytest.fixture(scope="session")
def validation():
    return _make_pairs(16, seed=2, first_id=1000)


@pytest.fixture(scope="session")
def config():
    def make(**changes):
        return TrainConfig(**{"epochs": 3, "batch_size": 16, "seed": 5, "learning_rate": 5e-3, "objective": "gradient",
                              "backbone_options": {"widths": [4, 8], "n_features": 4},
                              "objective_options": {"n_flow": 32} if changes.get("objective", "gradient") == "gradient"
                              else {}, **changes})
    return make
