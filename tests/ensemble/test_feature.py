from dataclasses import asdict

import numpy as np
import pytest
import torch

from iadlib.detectors import create
from iadlib.detectors.base import to_maps
from iadlib.ensemble import PRESETS, FeatureEnsemble, feature
from iadlib.ensemble.discriminator import Discriminator, drawn_noise, fit_discriminator, separation
from iadlib.ensemble.members import Members

SETTINGS = {
    "patchcore": {"coreset_fraction": 0.2, "layers": (2, 3)},
    "simplenet": {"hidden_channels": 32, "noise_std": 3.0, "epochs": 5, "training_batch_size": 128, "layers": (2, 3)},
}
SMALL = {"settings": SETTINGS, "steps": 60, "projection_steps": 20, "hidden_channels": 64, "batch_size": 3}


@pytest.fixture(scope="module")
def fitted(normal_images):
    return FeatureEnsemble(**SMALL).fit(normal_images[:6], normal_images[6:])


def test_it_predicts_as_a_detector_does(fitted, test_images):
    prediction = fitted.predict(test_images)
    assert prediction.scores.shape == (4,)
    assert prediction.maps.shape == (4, 64, 48)
    assert (prediction.scores[2:] > prediction.scores[:2]).all()


def test_an_images_score_is_its_maps_maximum_where_one_asks_for_it(normal_images, test_images):
    ensemble = FeatureEnsemble(**SMALL, distances=False, image_score="map").fit(normal_images[:6])
    prediction = ensemble.predict(test_images)
    assert prediction.scores.tolist() == prediction.maps.max(axis=(1, 2)).tolist()


def test_a_distance_is_averaged_with_the_discriminator_on_one_scale(fitted, normal_images, test_images):
    with torch.inference_mode():
        answer = -fitted.discriminator_(fitted.features(test_images, "joint"))
    memory = create("patchcore", **SETTINGS["patchcore"]).fit(normal_images[:6])
    distance = memory.predict(test_images)
    normal = memory.predict(normal_images[6:])
    alone = to_maps(answer, (64, 48), 4.0)
    with torch.inference_mode():
        seen = -fitted.discriminator_(fitted.features(normal_images[6:], "joint"))
    reference = to_maps(seen, (64, 48), 4.0)

    def standard(values, normals):
        return (values - normals.mean()) / normals.std()

    expected = (standard(alone, reference) + standard(distance.maps, normal.maps)) / 2
    prediction = fitted.predict(test_images)
    np.testing.assert_allclose(prediction.maps, expected, rtol=1e-3, atol=1e-3)

    def largest(maps):
        return maps.flatten(1).amax(dim=1).numpy()

    def largest_distance(images):
        return largest(memory.features(images, "difference").norm(dim=1))

    of_patches = standard(largest(answer), largest(seen)) + standard(
        largest_distance(test_images), largest_distance(normal_images[6:])
    )
    np.testing.assert_allclose(prediction.scores, of_patches / 2, rtol=1e-3, atol=1e-3)


def test_a_deviations_norm_is_a_distance_too(normal_images, test_images):
    members = {"padim": "deviation", "simplenet": "adapted"}
    ensemble = FeatureEnsemble(**SMALL | {"members": members, "settings": {"simplenet": SETTINGS["simplenet"]}})
    ensemble.fit(normal_images[:6], normal_images[6:])
    _, parts = ensemble._parts(shown := ensemble.members_.features(test_images))
    assert len(parts) == 2
    torch.testing.assert_close(parts[1], shown[0].norm(dim=1, keepdim=True))


def test_distances_need_validation_images(normal_images):
    with pytest.raises(ValueError, match="validation_images"):
        FeatureEnsemble(**SMALL).fit(normal_images[:6])


def test_same_seed_gives_the_same_bits_and_a_file_keeps_them(fitted, normal_images, test_images, tmp_path):
    again = FeatureEnsemble(**SMALL).fit(normal_images[:6], normal_images[6:])
    assert np.array_equal(again.predict(test_images).maps, fitted.predict(test_images).maps)
    fitted.save(tmp_path / "ensemble.safetensors")
    loaded = FeatureEnsemble(**SMALL).load(tmp_path / "ensemble.safetensors")
    assert np.array_equal(loaded.predict(test_images).maps, fitted.predict(test_images).maps)
    with pytest.raises(ValueError, match="saved by"):
        FeatureEnsemble(**SMALL | {"noise_scale": 2.0}).load(tmp_path / "ensemble.safetensors")


@pytest.mark.parametrize(
    ("noise_place", "noise_shape"), [("members", "squared"), ("joint", "isotropic")], ids=["members", "joint"]
)
@pytest.mark.parametrize(
    ("projection", "transform"), [("adapter", "individual"), ("joint", "individual"), ("none", "global")]
)
def test_the_discriminator_of_every_design_finds_the_defect(
    projection, transform, noise_place, noise_shape, normal_images, test_images, tmp_path
):
    settings = SMALL | {"projection": projection, "transform": transform, "noise_place": noise_place}
    settings |= {"noise_shape": noise_shape, "noise_scale": 1.0}
    settings |= {"distances": False}  # which would find it without a discriminator
    ensemble = FeatureEnsemble(**settings).fit(normal_images[:6], normal_images[6:])
    prediction = ensemble.predict(test_images)
    assert prediction.scores[2:].min() > prediction.scores[:2].max() + 1
    ensemble.save(tmp_path / "ensemble.safetensors")
    loaded = FeatureEnsemble(**settings).load(tmp_path / "ensemble.safetensors")
    assert np.array_equal(loaded.predict(test_images).maps, prediction.maps)


def test_fitted_members_are_taken_as_they_are(fitted, normal_images, test_images):
    members = {name: create(name, **values).fit(normal_images[:6]) for name, values in SETTINGS.items()}
    before = {name: member.state_dict() for name, member in members.items()}
    again = FeatureEnsemble(**SMALL).fit(normal_images[:6], normal_images[6:], fitted=members)
    assert np.array_equal(again.predict(test_images).maps, fitted.predict(test_images).maps)
    for name, member in members.items():
        assert all(torch.equal(tensor, before[name][key]) for key, tensor in member.state_dict().items())


def test_the_thesis_shares_the_first_members_channels(fitted):
    assert fitted.features(torch.rand(2, 3, 64, 48), "joint").shape == (
        2,
        152,
        8,
        6,
    )  # of 40 + 112
    assert fitted.transform_.counts_ == [76, 76]


def test_training_images_do_not_meet_their_own_patches(fitted, normal_images):
    own = fitted.members_.features(normal_images[:2], torch.arange(2))[0]
    met = fitted.members_.features(normal_images[:2])[0]
    assert (met.abs().sum(dim=1) == 0).any()  # a patch that the coreset kept
    assert (own.abs().sum(dim=1) > 0).all()


def test_a_monitor_sees_every_step_and_changes_nothing(fitted, normal_images, test_images):
    seen = []
    ensemble = FeatureEnsemble(**SMALL)
    ensemble.fit(
        normal_images[:6],
        normal_images[6:],
        monitor=lambda step: seen.append((step, float(ensemble.discriminator_.heads[0][0].weight.detach().norm()))),
    )
    assert [step for step, _ in seen] == list(range(1, 61))
    assert len({norm for _, norm in seen}) > 50
    assert np.array_equal(ensemble.predict(test_images).maps, fitted.predict(test_images).maps)


def test_members_with_the_same_backbone_run_it_once(normal_images, monkeypatch):
    detectors = {name: create(name, **values).fit(normal_images) for name, values in SETTINGS.items()}
    members = Members(detectors, {"patchcore": "embedding", "simplenet": "embedding"})
    apart = members.features(normal_images[:2])
    members.share_backbones()
    network = detectors["patchcore"]._backbone.network
    assert network is detectors["simplenet"]._backbone.network
    calls = []
    monkeypatch.setattr(
        network, "forward_intermediates", lambda *a, f=network.forward_intermediates, **k: calls.append(1) or f(*a, **k)
    )
    together = members.features(normal_images[:2])
    assert len(calls) == 1
    assert all(torch.equal(a, b) for a, b in zip(apart, together, strict=True))


def test_separation_is_the_auroc():
    from sklearn.metrics import roc_auc_score

    generator = torch.Generator().manual_seed(0)
    normal, anomalous = torch.randn(40, generator=generator).round(), torch.randn(30, generator=generator).round() - 1
    labels = [1] * 40 + [0] * 30
    expected = roc_auc_score(labels, torch.cat([normal, anomalous]).numpy())
    assert separation(normal, anomalous) == pytest.approx(expected)


@pytest.mark.parametrize("noise", ["gaussian", "simplex"])
def test_noise_has_unit_variance_and_simplex_noise_structures(noise):
    torch.manual_seed(0)
    fields = drawn_noise((20, 8, 16, 12), noise, torch.device("cpu"))
    assert float(fields.var()) == pytest.approx(1, abs=0.1)
    neighbours = float((fields[..., 1:] * fields[..., :-1]).mean() / fields.var())
    assert abs(neighbours) < 0.05 if noise == "gaussian" else neighbours > 0.3


def learned_from(maps, monkeypatch, **settings):
    """The normal and the artificial vectors of all steps, (steps, patches, C) each, that a discriminator is shown."""
    seen = []
    discriminator = Discriminator(sum(each.shape[1] for each in maps), 4)
    answers = discriminator.answers
    monkeypatch.setattr(discriminator, "answers", lambda both: seen.append(both.detach()) or answers(both))
    fit_discriminator(
        discriminator,
        maps,
        noise="gaussian",
        noise_scale=0.5,
        margin=0.5,
        steps=20,
        images_per_step=8,
        patches_per_step=384,
        learning_rate=0.01,
        weight_decay=0.0,
        seed=0,
        device=torch.device("cpu"),
        description="test",
        **settings,
    )
    return torch.stack(seen).chunk(2, dim=1)


UNEQUAL = torch.randn(8, 2, 8, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 10.0]).view(2, 1, 1)


@pytest.mark.parametrize(("noise_shape", "ratio"), [("isotropic", 1.0), ("proportional", 10.0), ("squared", 100.0)])
def test_noise_is_relative_to_the_features_own_spread(noise_shape, ratio, monkeypatch):
    normal, anomalous = learned_from([UNEQUAL], monkeypatch, noise_shape=noise_shape)
    spread = (anomalous - normal).flatten(0, 1).std(dim=0)
    assert float(spread[1] / spread[0]) == pytest.approx(ratio, rel=0.05)
    if noise_shape == "proportional":
        assert float(spread[0]) == pytest.approx(0.5, rel=0.1)


def test_noise_on_members_passes_through_what_joins_them(monkeypatch):
    normal, anomalous = learned_from(
        [UNEQUAL, 5 * UNEQUAL],
        monkeypatch,
        noise_shape="proportional",
        join=lambda maps: torch.cat([maps[0], maps[1] / 5], dim=1),
        reflected=(False, False),
    )
    spread = (anomalous - normal).flatten(0, 1).std(dim=0)
    torch.testing.assert_close(spread, torch.tensor([0.5, 5.0, 0.5, 5.0]), rtol=0.1, atol=0)


def test_a_disturbed_distance_is_none_below_zero(monkeypatch):
    _, anomalous = learned_from(
        [UNEQUAL.abs(), UNEQUAL],
        monkeypatch,
        noise_shape="proportional",
        join=lambda maps: torch.cat(list(maps), dim=1),
        reflected=(True, False),
    )
    assert (anomalous[..., :2] >= 0).all()
    assert (anomalous[..., 2:] < 0).any()
    # what a signed difference with noise would show, without its sign
    signed = UNEQUAL + 0.5 * UNEQUAL.square().mean(dim=(0, 2, 3)).sqrt().view(-1, 1, 1) * torch.randn(
        50, *UNEQUAL.shape
    )
    assert float(anomalous[..., 1].mean()) == pytest.approx(float(signed[:, :, 1].abs().mean()), rel=0.05)


def test_the_noise_of_an_adapter_is_the_same_in_all_channels_behind_it(normal_images, monkeypatch):
    used = []
    fit = feature.fit_discriminator
    monkeypatch.setattr(feature, "fit_discriminator", lambda *a, **k: used.append(k["noise_shape"]) or fit(*a, **k))
    FeatureEnsemble(**SMALL | {"steps": 2, "projection_steps": 2}, projection="adapter", distances=False).fit(
        normal_images[:6]
    )
    assert used == ["isotropic", "squared"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"transform": "local"}, "transform"),
        ({"projection": "adapter", "members": {"padim": "deviation"}}, "nothing to project"),
        ({"projection": "joint", "noise_place": "joint"}, "mixes the channels"),
        ({"projection": "linear"}, "projection"),
        ({"noise": "perlin"}, "noise"),
        ({"noise_shape": "round"}, "noise_shape"),
        ({"noise_place": "images"}, "noise_place"),
        ({"equalise": True}, "equalise"),
        ({"noise_scale": 0}, "noise_scale"),
        ({"members": {}}, "members"),
        ({"members": {"patchcore": "adapted"}}, "has no cut"),
        ({"settings": {"padim": {}}}, "no member"),
    ],
)
def test_a_hyperparameter_out_of_range_raises(values, message):
    with pytest.raises(ValueError, match=message):
        FeatureEnsemble(**values)


def test_a_preset_keeps_what_it_says():
    made = asdict(FeatureEnsemble.preset("thesis", steps=5))
    assert {name: made[name] for name in PRESETS["thesis"]} == PRESETS["thesis"]
    differing = {name for name, value in PRESETS["thesis"].items() if value != getattr(FeatureEnsemble(), name)}
    assert differing > {"projection", "noise_place", "noise_shape", "distances", "image_score"}
    assert made["steps"] == 5
    with pytest.raises(ValueError, match="its own kept"):
        FeatureEnsemble.preset("thesis", kept=5)
    with pytest.raises(ValueError, match="no preset"):
        FeatureEnsemble.preset("theses")
