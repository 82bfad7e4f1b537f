"""The configuration of a training is validated, frozen and identified by its hash."""

from dataclasses import FrozenInstanceError

import pytest

from astro_galtrans.training import TrainConfig


@pytest.mark.parametrize(("field", "value"), [
    ("backbone", "resnet"), ("backbone", None), ("objective", "l1"), ("conditioning", "mass"), ("precision", "64"),
    ("residual", "yes"), ("photometry", 2), ("centered", 1), ("augment", None), ("epochs", 0), ("epochs", 2.5),
    ("epochs", True), ("batch_size", -4), ("seed", -1), ("seed", None), ("patience", 0), ("learning_rate", -1e-3),
    ("learning_rate", float("nan")), ("learning_rate", "fast"), ("weight_decay", float("inf")),
    ("gradient_clip", None), ("backbone_options", {"widths": object()}), ("backbone_options", [4, 8]),
    ("objective_options", None),
])
def test_wrong_values_are_named(field, value):
    with pytest.raises(ValueError, match=f"{field} must be .*got"):
        TrainConfig(**{field: value})


def test_wrong_types_are_type_errors():
    with pytest.raises(TypeError, match="epochs"):
        TrainConfig(epochs="3")


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
def test_parts_of_the_network_follow_the_objective_by_default(name):
    def used(**fields):
        return getattr(TrainConfig(**fields), f"uses_{name}")

    assert used(objective="gradient")
    assert not used(objective="pixel")
    assert used(objective="pixel", **{name: True})
    assert not used(objective="gradient", **{name: False})


def test_apertures_follow_the_galaxy_where_there_is_a_photometry_head():
    def centered(**fields):
        return TrainConfig(**fields).network_parts["centered"]

    assert centered() and centered(objective="pixel", photometry=True)
    assert not centered(objective="pixel") and not centered(centered=False)
    assert TrainConfig(centered=False).hash != TrainConfig().hash
    with pytest.raises(ValueError, match="centered has no effect without photometry"):
        TrainConfig(objective="pixel", centered=True)


def test_equal_configurations_have_equal_hashes():
    one, other = (TrainConfig(epochs=4, backbone_options={"widths": widths}) for widths in ((4, 8), [4, 8]))
    assert one == other
    assert one.hash == other.hash == TrainConfig(**one.to_dict()).hash
    hashes = {TrainConfig(**change).hash for change in (
        {}, {"epochs": 4}, {"seed": 1}, {"objective": "pixel"}, {"backbone_options": {"n_features": 8}},
        {"residual": True}, {"learning_rate": 1e-3})}
    assert len(hashes) == 7
