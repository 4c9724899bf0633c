from dataclasses import asdict

import numpy as np
import pytest
import torch

from iadlib.detectors import create
from iadlib.ensemble import PRESETS, FeatureEnsemble, JointHead
from iadlib.ensemble.compositions import changed_compositions, changed_places
from iadlib.ensemble.head import Artificial
from iadlib.ensemble.members import Members
from iadlib.ensemble.settings import settings_of

SETTINGS = {
    "patchcore": {"coreset_fraction": 0.2, "layers": (2, 3)},
    "simplenet": {"hidden_channels": 32, "noise_std": 3.0, "epochs": 5, "training_batch_size": 128, "layers": (2, 3)},
}
CUTS = PRESETS["thesis"]["members"]
SMALL = {
    "members": CUTS,
    "settings": SETTINGS,
    "steps": 60,
    "projection_steps": 20,
    "hidden_channels": 64,
    "batch_size": 3,
}


@pytest.fixture(scope="module")
def fitted(normal_images):
    return FeatureEnsemble(**SMALL).fit(normal_images[:6], normal_images[6:])


@pytest.fixture(scope="module")
def detectors(normal_images):
    return {name: create(name, **values).fit(normal_images[:6], normal_images[6:]) for name, values in SETTINGS.items()}


def test_it_predicts_as_a_detector_does(fitted, test_images):
    prediction = fitted.predict(test_images)
    assert prediction.scores.shape == (4,)
    assert prediction.maps.shape == (4, 64, 48)
    assert (prediction.scores[2:] > prediction.scores[:2]).all()


def test_a_file_keeps_every_bit(fitted, test_images, tmp_path):
    fitted.save(tmp_path / "ensemble.safetensors")
    loaded = FeatureEnsemble(**SMALL).load(tmp_path / "ensemble.safetensors")
    assert np.array_equal(loaded.predict(test_images).maps, fitted.predict(test_images).maps)
    assert loaded.losses["discriminator"].tolist() == fitted.losses["discriminator"].tolist()
    with pytest.raises(ValueError, match="noise_scale"):
        FeatureEnsemble(**SMALL | {"noise_scale": 2.0}).load(tmp_path / "ensemble.safetensors")


def test_a_checkpoint_of_a_member_may_lie_elsewhere_when_a_file_is_loaded(fitted):
    assert "checkpoint" in fitted.paths


def test_members_that_are_fitted_already_are_copied(fitted, detectors, normal_images, test_images):
    before = {name: detector.state_dict() for name, detector in detectors.items()}
    again = FeatureEnsemble(**SMALL).fit(normal_images[:6], normal_images[6:], fitted=detectors)
    assert np.array_equal(again.predict(test_images).maps, fitted.predict(test_images).maps)
    for name, detector in detectors.items():
        assert all(torch.equal(tensor, before[name][key]) for key, tensor in detector.state_dict().items())


def test_fitted_members_and_a_fitted_head_are_the_same_ensemble(fitted, detectors, normal_images, test_images):
    members = Members(detectors, CUTS)
    train, validation = members.training_maps(normal_images[:6], 3), members.maps(normal_images[6:], 3)
    head = JointHead(kinds={"patchcore": "distance", "simplenet": "features"}, **settings_of(fitted))
    changed = changed_compositions(normal_images[6:])
    artificial = Artificial(members.maps(changed, 3), changed_places(changed, normal_images[6:]))
    ensemble = FeatureEnsemble.of(detectors, CUTS, head.fit(train, validation, (64, 48), artificial))
    assert np.array_equal(ensemble.predict(test_images).maps, fitted.predict(test_images).maps)
    assert np.array_equal(ensemble.predict(test_images).scores, fitted.predict(test_images).scores)


def test_the_thesis_shares_the_first_members_channels(fitted, test_images):
    assert fitted.features(test_images, "joint").shape == (4, 152, 8, 6)  # of 40 + 112
    assert fitted.head_.transform_.counts_ == [76, 76]


def test_distances_need_validation_images(normal_images):
    with pytest.raises(ValueError, match="validation_images"):
        FeatureEnsemble(**SMALL).fit(normal_images[:6])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"members": {}}, "members"),
        ({"members": {"patchcore": "adapted"}}, "has no cut"),
        ({"settings": {"padim": {}}}, "not a member"),
        ({"noise": "perlin"}, "noise"),
        ({"equalise": True}, "equalise"),
        ({"projection": "adapter", "members": {"padim": "deviation"}}, "to project"),
    ],
)
def test_a_wrong_value_raises(values, message):
    with pytest.raises(ValueError, match=message):
        FeatureEnsemble(**values)


def test_a_preset_keeps_its_values():
    values = asdict(FeatureEnsemble.preset("thesis", steps=5))
    assert {name: values[name] for name in PRESETS["thesis"]} == PRESETS["thesis"]
    differing = {name for name, value in PRESETS["thesis"].items() if value != getattr(FeatureEnsemble(), name)}
    assert differing > {"projection", "noise_place", "noise_shape", "distances", "image_score"}
    assert values["steps"] == 5
    with pytest.raises(ValueError, match="defines kept"):
        FeatureEnsemble.preset("thesis", kept=5)
    with pytest.raises(ValueError, match="no preset"):
        FeatureEnsemble.preset("theses")


@pytest.mark.parametrize(
    ("others", "localises"), [({"padim": "deviation"}, True), ({"set_features": "distances"}, False)]
)
def test_members_that_see_the_image_as_a_whole_join_those_with_maps(others, localises, normal_images, test_images):
    ensemble = FeatureEnsemble(members={"pooled_gaussian": "distances"} | others, steps=5, heads=1)
    found = ensemble.fit(normal_images[:6], normal_images[6:]).predict(test_images)
    assert ensemble.localises == localises
    assert (found.maps is not None) == localises
    assert (found.scores[2:] > found.scores[:2]).all()
