"""Each allowed pair of backbone and objective trains, is stored and comes back; a refused pair says why."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from astro_galtrans.backbones import available_backbones, backbone_class
from astro_galtrans.objectives import available_objectives, objective_class
from astro_galtrans.storage import load, save
from astro_galtrans.training import TrainConfig, fit

# After two steps a translator without the residual path does not distinguish galaxies, which raises a warning.
pytestmark = pytest.mark.filterwarnings("ignore:mode collapse")

OPTIONS = {"unet": {"widths": [4, 8], "n_features": 4}}


def refuses(objective, backbone):
    try:
        objective_class(objective).check_compatible(backbone_class(backbone))
    except ValueError:
        return True
    return False


REFUSED = [(backbone, objective) for backbone in available_backbones() for objective in available_objectives()
           if refuses(objective, backbone)]
ALLOWED = [(backbone, objective) for backbone in available_backbones() for objective in available_objectives()
           if (backbone, objective) not in REFUSED]


def config_of(backbone, objective, **changes):
    if backbone == "diffusion":
        changes.setdefault("backbone_options", {"sampling_steps": 2})
    return TrainConfig(**{
        "backbone": backbone, "objective": objective, "epochs": 2, "batch_size": 4, "seed": 3, "learning_rate": 1e-3,
        "backbone_options": OPTIONS.get(backbone, {}),
        "objective_options": {"n_flow": 16} if objective == "gradient" else {}, **changes})


@pytest.fixture(scope="module")
def few(make_pairs):
    return make_pairs(8, seed=4)


def test_refused_pairs():
    assert ("diffusion", "adversarial") in REFUSED
    assert {(backbone, "denoising") for backbone in available_backbones() if backbone != "diffusion"} < set(REFUSED)
    assert {"unet", "swin", "srgan", "capsule", "diffusion"} == set(available_backbones())
    for objective in ("pixel", "gradient", "gradient-unweighted"):
        assert all((backbone, objective) in ALLOWED for backbone in available_backbones())


@pytest.mark.parametrize(("backbone", "objective"), REFUSED)
def test_a_refused_pair_has_a_reason(backbone, objective):
    with pytest.raises(ValueError, match=f"objective '{objective}' cannot train backbone '{backbone}': .{{20,}}"):
        config_of(backbone, objective)


@pytest.mark.parametrize(("backbone", "objective"), ALLOWED)
def test_an_allowed_pair_trains_and_is_stored_bitwise(few, backbone, objective, tmp_path):
    translator = fit(few, config_of(backbone, objective)).translator
    assert np.all(np.isfinite(translator.history["train_loss"]))
    assert (translator.network.config.backbone, translator.objective_name) == (backbone, objective)
    wanted = translator.translate_array_with_uncertainty(few.input_flux[:3])
    assert all(np.all(np.isfinite(part)) for part in wanted)
    save(tmp_path / "t.asdf", translator)
    again = load(tmp_path / "t.asdf")
    assert again.hash == translator.hash
    for one, other in zip(again.translate_array_with_uncertainty(few.input_flux[:3]), wanted):
        assert_array_equal(one, other)


@pytest.mark.parametrize("backbone", available_backbones())
def test_conventional_is_the_objective_of_the_literature(backbone):
    config = TrainConfig(backbone=backbone, objective="conventional")
    assert config.objective == {"srgan": "adversarial", "diffusion": "denoising"}.get(backbone, "pixel")
    assert not config.uses_residual


@pytest.mark.parametrize("backbone", available_backbones())
def test_equal_seeds_give_equal_translators(few, backbone):
    one, again, other = (
        fit(few, config_of(backbone, "conventional", epochs=1, seed=seed)).translator.hash for seed in (3, 3, 4))
    assert one == again != other


@pytest.mark.parametrize("backbone", available_backbones())
@pytest.mark.parametrize("residual", [False, True])
def test_with_and_without_the_residual_path(few, backbone, residual):
    translator = fit(few, config_of(backbone, "pixel", epochs=1, residual=residual)).translator
    assert translator.network.residual is residual
    assert translator.provenance["config"]["residual"] is residual


@pytest.mark.parametrize("backbone", ["unet", "diffusion", "srgan"])
def test_the_other_direction(few, backbone):
    pairs = few.reversed()
    translator = fit(pairs, config_of(backbone, "gradient", epochs=1)).translator
    assert (translator.input_survey.name, translator.target_survey.name) == ("CFHTLS", "SDSS")
    flux = translator.translate_array(pairs.input_flux[:2])
    assert flux.shape == pairs.target_flux[:2].shape
    assert np.all(np.isfinite(flux))


@pytest.mark.parametrize("backbone", available_backbones())
def test_a_survey_to_itself(few, backbone):
    translator = fit(few.within("input"), config_of(backbone, "pixel", epochs=1)).translator
    assert (translator.input_survey.name, translator.target_survey.name) == ("SDSS", "SDSS")
    assert translator.translate_array(few.input_flux[:2]).shape == few.input_flux[:2].shape


def test_a_named_size_and_options_that_override_it(few):
    config = TrainConfig(backbone="unet", size="tiny", backbone_options={"n_features": 4})
    assert config.all_backbone_options == {"widths": [16, 32, 64], "n_features": 4}
    translator = fit(few, TrainConfig(backbone="unet", size="tiny", objective="pixel", epochs=1)).translator
    assert translator.network.config.backbone_options == backbone_class("unet").sizes["tiny"]
    assert translator.provenance["config"]["backbone_options"]["widths"] == [16, 32, 64]
    with pytest.raises(ValueError, match="size must be one of None, tiny, small, base, got 'huge'"):
        TrainConfig(backbone="unet", size="huge")
