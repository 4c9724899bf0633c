import numpy as np
import pytest
import timm
import torch
from scipy.ndimage import uniform_filter

from iadlib.features import Backbone, load_network, patch_features, resolve_device

NAME = "tf_efficientnet_lite0"


def test_layer_i_has_stride_two_to_the_i_plus_one():
    maps = Backbone(NAME, (3, 2))(torch.rand(2, 3, 64, 96))
    assert [features.shape[1:] for features in maps] == [(112, 4, 6), (40, 8, 12)]


def test_packaged_weights_find_their_places(normal_images):
    # The classifier's confidence is the plainest witness: chance is 0.001, and an untrained network stays below 0.05.
    images = torch.nn.functional.interpolate(normal_images, size=(224, 224)) * 2 - 1
    with torch.inference_mode():
        confidence, classes = load_network(NAME).eval()(images).softmax(1).max(1)
    assert confidence.min() > 0.1
    assert len(classes.unique()) == 1  # all are the same texture


def test_backbone_normalises_as_its_weights_were_trained():
    backbone = Backbone(NAME, (2,))
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected = load_network(NAME).eval().forward_intermediates(image * 2 - 1, indices=[2], intermediates_only=True)
    np.testing.assert_allclose(backbone(image)[0], expected[0], atol=1e-3)


def test_a_checkpoint_file_gives_the_same_features(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(load_network(NAME).state_dict(), path)
    image = torch.rand(1, 3, 64, 64)
    packaged, from_file = Backbone(NAME, (2,))(image)[0], Backbone(NAME, (2,), str(path))(image)[0]
    assert torch.equal(packaged, from_file)


def test_a_missing_checkpoint_says_what_to_put_where(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"nowhere.pth.*{NAME}"):
        Backbone(NAME, (2,), str(tmp_path / "nowhere.pth"))


def as_trained(state):
    """As training programs save it: inside a checkpoint, with the prefix of a wrapper."""
    return {"state_dict": {f"module.{key}": value for key, value in state.items()}, "epoch": 3}


def without_classifier(state):
    return {key: value for key, value in state.items() if not key.startswith("classifier")}


def with_other_names(state):
    return {f"layer{i}.{key.rpartition('.')[2]}": value for i, (key, value) in enumerate(state.items())}


@pytest.mark.parametrize(
    "changed", [as_trained, without_classifier, with_other_names, lambda s: with_other_names(without_classifier(s))]
)
def test_weights_are_unwrapped_and_matched(tmp_path, changed):
    state = load_network(NAME).state_dict()
    torch.save(changed(state), tmp_path / "weights.pth")
    found = load_network(NAME, str(tmp_path / "weights.pth")).state_dict()
    assert all(torch.equal(value, found[key]) for key, value in without_classifier(state).items())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: timm.create_model("resnet10t").state_dict(), r"conv_stem\.weight has the shape \(32, 3, 3, 3\)"),
        (lambda: {"epoch": 3}, "the file holds a dictionary with epoch"),
        (lambda: [1, 2], "the file holds list"),
        (lambda: torch.nn.Linear(2, 2), "objects other than tensors"),
    ],
    ids=["another network", "no weights", "a list", "a module"],
)
def test_a_checkpoint_that_is_something_else_raises_with_what_is_expected(tmp_path, content, message):
    torch.save(content(), tmp_path / "other.pth")
    with pytest.raises(ValueError, match=rf"other\.pth: .*{message}") as raised:
        load_network(NAME, str(tmp_path / "other.pth"))
    assert f"timm's {NAME}" in str(raised.value)


@pytest.mark.parametrize("name", ["text.pth", "text.safetensors"])
def test_a_file_that_is_no_checkpoint_raises(tmp_path, name):
    (tmp_path / name).write_text("hello")
    with pytest.raises(ValueError, match=rf"{name}: not a file of weights .* a state dict of timm's"):
        load_network(NAME, str(tmp_path / name))


def test_folding_batch_norms_changes_nothing_but_rounding(monkeypatch):
    images = torch.rand(2, 3, 64, 96)
    folded = Backbone(NAME, (1, 3))
    monkeypatch.setattr(Backbone, "_folded", lambda self, network: network)
    plain = Backbone(NAME, (1, 3))
    count = [sum(isinstance(m, torch.nn.BatchNorm2d) for m in b.network.modules()) for b in (folded, plain)]
    assert count == [0, 49]
    for one, other in zip(folded(images), plain(images), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5 * float(other.abs().max()))


def test_batch_norms_stay_where_folding_would_change_a_layer():
    backbone = Backbone(NAME, ("conv_stem", "blocks.2"))
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in backbone.network.modules())
    assert [maps.shape[1] for maps in backbone(torch.rand(1, 3, 64, 64))] == [32, 40]


def test_an_unknown_device_raises():
    with pytest.raises(ValueError, match="device 'gpu': auto, cpu or cuda"):
        resolve_device("gpu")


def test_weights_that_cannot_be_downloaded_say_what_to_do(monkeypatch):
    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(RuntimeError, match="`checkpoint` in the params file"):
        load_network("wide_resnet50_2.tv_in1k")


def test_unknown_backbones_and_layers_raise():
    with pytest.raises(ValueError, match="no backbone"):
        Backbone("resnet5000", (1,))
    with pytest.raises(ValueError, match="layers 0 to 4"):
        Backbone(NAME, (2, 7))


def test_patch_features_average_the_neighbourhood_inside():
    features = torch.rand(1, 2, 6, 5)
    expected = uniform_filter(features.numpy(), size=(1, 1, 3, 3))
    np.testing.assert_allclose(patch_features([features])[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], rtol=1e-5)


def test_patch_features_of_a_constant_are_constant_up_to_the_border():
    assert torch.allclose(patch_features([torch.ones(1, 2, 6, 5), torch.ones(1, 3, 3, 2)]), torch.ones(1, 5, 6, 5))


def test_counted_padding_is_zeros():
    features = torch.rand(1, 2, 6, 5)
    expected = uniform_filter(features.numpy(), size=(1, 1, 3, 3), mode="constant")
    np.testing.assert_allclose(patch_features([features], count_padding=True), expected, rtol=1e-5)


def test_dimension_pools_neighbouring_channels():
    features = torch.arange(8.0).view(1, 8, 1, 1).expand(1, 8, 4, 3)
    pooled = patch_features([features], dimension=4)
    assert pooled.shape == (1, 4, 4, 3)
    assert torch.allclose(pooled[0, :, 0, 0], torch.tensor([0.5, 2.5, 4.5, 6.5]))
