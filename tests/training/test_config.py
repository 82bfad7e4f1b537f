"""What decides a training: checked, frozen, told apart by its hash."""

from dataclasses import FrozenInstanceError

import pytest

from astro_galtrans.training import TrainConfig


@pytest.mark.parametrize(("field", "value", "expected"), [
    ("backbone", "resnet", "one of .*unet"),
    ("objective", "l1", "one of .*gradient, gradient-unweighted, pixel"),
    ("conditioning", "mass", "one of None, redshift, spectrum"),
    ("precision", "64", "one of 32, bf16, 16"),
    ("residual", "yes", "one of None, True, False"),
    ("photometry", 2, "one of None, True, False"),
    ("epochs", 0, "an int of at least 1"),
    ("epochs", 2.5, "an int of at least 1"),
    ("epochs", True, "an int of at least 1"),
    ("batch_size", -4, "an int of at least 1"),
    ("seed", -1, "an int of at least 0"),
    ("seed", None, "an int of at least 0"),
    ("patience", 0, "an int of at least 1"),
    ("learning_rate", -1e-3, "a finite number of at least 0"),
    ("learning_rate", float("nan"), "a finite number of at least 0"),
    ("learning_rate", "fast", "a finite number of at least 0"),
    ("weight_decay", float("inf"), "a finite number of at least 0"),
    ("gradient_clip", None, "a finite number of at least 0"),
    ("backbone_options", {"widths": object()}, "a dict of plain values"),
    ("backbone_options", [4, 8], "a dict of plain values"),
    ("objective_options", None, "a dict of plain values"),
])
def test_wrong_values_are_named(field, value, expected):
    with pytest.raises(ValueError, match=f"{field} must be {expected}.*got"):
        TrainConfig(**{field: value})


def test_unknown_fields_are_refused():
    with pytest.raises(TypeError, match="learning_rat"):
        TrainConfig(learning_rat=1e-3)


def test_frozen():
    with pytest.raises(FrozenInstanceError):
        TrainConfig().epochs = 3


def test_options_are_copied():
    options = {"widths": [4, 8]}
    config = TrainConfig(backbone_options=options)
    options["widths"].append(16)
    assert config.backbone_options == {"widths": [4, 8]}


@pytest.mark.parametrize("name", ["residual", "photometry"])
def test_parts_of_the_network_follow_the_objective_unless_they_are_told(name):
    def used(**fields):
        return getattr(TrainConfig(**fields), f"uses_{name}")

    assert used(objective="gradient")
    assert not used(objective="pixel")
    assert used(objective="pixel", **{name: True})
    assert not used(objective="gradient", **{name: False})


def test_equal_configurations_have_equal_hashes():
    one, other = (TrainConfig(epochs=4, backbone_options={"widths": widths}) for widths in ((4, 8), [4, 8]))
    assert one == other
    assert one.hash == other.hash == TrainConfig(**one.to_dict()).hash
    hashes = {TrainConfig(**change).hash for change in (
        {}, {"epochs": 4}, {"seed": 1}, {"objective": "pixel"}, {"backbone_options": {"n_features": 8}},
        {"residual": True}, {"learning_rate": 1e-3})}
    assert len(hashes) == 7
