"""Every registered survey works as input and as target of realistic pairs."""

import numpy as np
import pytest

from astro_galtrans.simulation import simulate_pairs
from astro_galtrans.surveys import available_surveys

SURVEYS = available_surveys()


@pytest.mark.parametrize(("input_survey", "target_survey"), list(zip(SURVEYS, SURVEYS[1:] + SURVEYS[:1])))
def test_each_survey_as_input_and_as_target(input_survey, target_survey):
    pairs = simulate_pairs(2, seed=3, input_survey=input_survey, target_survey=target_survey, input_size=16,
                           target_size=24, sample="faint", galaxies="observed", sky="realistic", truth=True, psf=True)
    assert (pairs.input_survey.name, pairs.target_survey.name) == (input_survey, target_survey)
    for side, survey, size in (("input", pairs.input_survey, 16), ("target", pairs.target_survey, 24)):
        flux, weight, truth = (getattr(pairs, f"{side}_{kind}") for kind in ("flux", "weight", "truth"))
        assert flux.shape == weight.shape == truth.shape == (2, len(survey), size, size)
        assert np.isfinite(flux).all() and np.isfinite(truth).all() and np.all(weight >= 0)
        assert np.all(truth.sum(axis=(2, 3)) > 0) and np.isfinite(pairs.catalog[f"{side}_mag"]).all()
        np.testing.assert_allclose(getattr(pairs, f"{side}_psf").sum(axis=(2, 3)), 1, atol=0.05)
        label = getattr(pairs, f"{side}_label")
        assert label.dtype == np.uint8 and set(np.unique(label)) <= {0, 1, 2}
