import numpy as np
import pytest
import timm
import torch
from scipy.ndimage import uniform_filter

from iadlib.features import Backbone, load_network, patch_features

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


def test_weights_of_another_network_raise(tmp_path):
    torch.save(timm.create_model("resnet10t").state_dict(), tmp_path / "other.pth")
    with pytest.raises(ValueError, match="not the weights of"):
        Backbone(NAME, (2,), str(tmp_path / "other.pth"))


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


def test_dimension_pools_neighbouring_channels():
    features = torch.arange(8.0).view(1, 8, 1, 1).expand(1, 8, 4, 3)
    pooled = patch_features([features], dimension=4)
    assert pooled.shape == (1, 4, 4, 3)
    assert torch.allclose(pooled[0, :, 0, 0], torch.tensor([0.5, 2.5, 4.5, 6.5]))
