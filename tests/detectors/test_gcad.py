import numpy as np
import pytest
import torch

from iadlib.detectors.base import smooth_maps
from iadlib.detectors.gcad import GCAD, Autoencoder, Regression, Student

FEW = {"steps": 2, "hidden_channels": 8, "latent_dimension": 3, "training_batch_size": 4}


def test_everything_that_the_autoencoder_reconstructs_comes_through_the_latent_vector(normal_images, test_images):
    detector = GCAD(**FEW).fit(normal_images)
    values = dict(detector.stations(test_images))
    latent = values["latent"]
    assert latent.shape == (4, 3, 1, 1)
    predicted = detector.regression_(values["embedding"])
    expected = predicted - detector.autoencoder_.decode(latent.flatten(1))
    torch.testing.assert_close(values["global"], expected)


def test_one_patch_changes_the_reconstruction_everywhere_but_the_student_only_nearby():
    torch.manual_seed(0)
    grid = (24, 22)
    features = torch.randn(1, 5, *grid)
    changed = features.clone()
    changed[0, :, 3, 4] += 5
    autoencoder, student = Autoencoder(5, 8, 4, grid), Student(5, 5, 8, stride=1)
    with torch.inference_mode():
        far = [abs(autoencoder(changed) - autoencoder(features)), abs(student(changed, grid) - student(features, grid))]
    everywhere, nearby = (each.amax(dim=1)[0] > 0 for each in far)
    assert everywhere.float().mean() > 0.95
    assert nearby[3, 4]
    assert not nearby[12:].any()


def test_networks_keep_grids_whose_sides_are_odd():
    features = torch.randn(2, 5, 13, 9)
    assert Autoencoder(5, 8, 4, (13, 9))(features).shape == features.shape
    assert Regression(5, 8)(features).shape == features.shape
    assert Student(3, 5, 8, stride=4)(torch.randn(2, 3, 50, 34), (13, 9)).shape == features.shape


def test_branches_are_standardised_by_the_scores_of_validation_images(normal_images):
    detector = GCAD(**FEW).fit(normal_images[:3], validation := normal_images[3:])
    for branch in standardised_branches(detector, validation).split(1, dim=1):
        scores = detector.score_of(smooth_maps(branch, detector.image_size_, detector.smoothing_sigma))
        assert float(scores.mean()) == pytest.approx(0, abs=1e-3)
        assert float(scores.std()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("count", "standardised_by"), [(5, "patches"), (4, "images")])
def test_branches_are_standardised_by_the_patches_as_published_or_for_few_images(count, standardised_by, normal_images):
    validation = normal_images[:count]
    detector = GCAD(**FEW, standardised_by=standardised_by).fit(normal_images, validation)
    branches = standardised_branches(detector, validation)
    torch.testing.assert_close(branches.mean(dim=(0, 2, 3)), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(branches.std(dim=(0, 2, 3)), torch.ones(2), atol=1e-3, rtol=0)


def test_the_score_is_the_sum_of_both_branches_and_but_for_a_constant_the_square_of_the_deviation(
    normal_images, test_images
):
    detector = GCAD(**FEW).fit(normal_images)
    values = dict(detector.stations(test_images))
    scores = values["scores"]
    torch.testing.assert_close(scores, standardised_branches(detector, test_images).sum(dim=1, keepdim=True))
    means, deviations = detector.scales_.unbind(1)
    squares = values["deviation"].square().sum(dim=1, keepdim=True)
    torch.testing.assert_close(squares - (means / deviations).sum(), scores, atol=1e-3, rtol=1e-4)


def test_the_regression_network_does_not_train_the_autoencoder():
    detector = GCAD(**FEW)
    detector.image_size_ = (64, 48)
    detector.build()
    for network in (detector.autoencoder_, detector.regression_):
        network.requires_grad_(True)
    *_, distance = detector.distances(torch.randn(1, 40, 8, 6), torch.randn(1, 112, 4, 3))
    distance.backward()
    assert all(weight.grad is None for weight in detector.autoencoder_.parameters())
    assert all(weight.grad is not None for weight in detector.regression_.parameters())


def test_the_student_may_start_from_the_image(normal_images, test_images):
    detector = GCAD(**FEW, student_layer=None).fit(normal_images)
    assert detector.input_mean_.shape == (3,)
    assert np.isfinite(detector.predict(test_images).maps).all()


@pytest.mark.parametrize(
    ("name", "value"), [("latent_dimension", 0), ("steps", 0), ("student_layer", 3), ("standardised_by", "pixels")]
)
def test_a_hyperparameter_out_of_range_raises(name, value):
    with pytest.raises(ValueError, match=name):
        GCAD(**{name: value})


def standardised_branches(detector, images):
    """The squared differences (N, 2, h, w) of both branches, standardised."""
    branches = dict(detector.stations(images))["branches"]
    means, deviations = detector.scales_.T[..., None, None]
    return (branches - means) / deviations
