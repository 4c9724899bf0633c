import numpy as np
import pytest
import torch

from iadlib.detectors.set_features import SetFeatures, without_own
from tests.detectors.conftest import striped

FEW = {"projections": 8, "thresholds": 3, "layers": (2,), "joint": False}


def blobs(count: int, seed: int, parts: int = 6) -> torch.Tensor:
    """Images (count, 3, 96, 64) with that many bright squares on a grid, each image at other places."""
    generator, images = torch.Generator().manual_seed(seed), striped(count, seed) * 0.3
    for image in images:
        for place in torch.randperm(24, generator=generator)[:parts].tolist():
            top, left = 16 * (place // 4), 16 * (place % 4)
            image[:, top + 3 : top + 13, left + 3 : left + 13] = 0.9
    return images


def test_a_missing_object_is_found_though_objects_lie_anywhere():
    detector = SetFeatures().fit(blobs(24, seed=1), blobs(8, seed=2))
    good, missing = (detector.predict(blobs(12, seed=3, parts=parts)).scores for parts in (6, 4))
    assert np.median(missing) > good.max()


def test_histograms_are_numpys_shares_below_the_thresholds(normal_images):
    detector = SetFeatures(**FEW).fit(normal_images)
    [features] = detector.sets(normal_images[:1])
    projected = np.einsum("chw,cr->rhw", features[0].numpy(), detector.projection_.numpy())
    expected = (projected[:, None] < detector.threshold_[0].numpy()[:, :, None, None]).mean(axis=(2, 3))
    np.testing.assert_allclose(detector.histograms(normal_images[:1])[0, 0], expected.ravel(), atol=0.02)


def test_distances_are_those_of_numpys_whitened_histograms(normal_images, test_images):
    detector = SetFeatures(**FEW, shrinkage=0.3).fit(normal_images)
    train, test = (detector.histograms(images)[0].double().numpy() for images in (normal_images, test_images))
    covariance = 0.7 * np.cov(train, rowvar=False, bias=True)
    covariance += (0.3 * np.trace(np.cov(train, rowvar=False, bias=True)) / 24 + 1e-6) * np.eye(24)
    inverse = np.linalg.inv(covariance)
    difference = test[:, None] - train
    expected = np.sqrt(np.einsum("ijk,kl,ijl->ij", difference, inverse, difference)).min(axis=1)
    scale = float(detector.scale_)
    np.testing.assert_allclose(detector.predict(test_images).scores * scale, expected, rtol=1e-3)


@pytest.mark.parametrize(("projections", "thresholds"), [(8, 3), (2, 1)])  # more values than images, and fewer
def test_all_layers_together_have_one_covariance(projections, thresholds, normal_images, test_images):
    settings = {"layers": (1, 2), "crops": (1.0, 0.5), "pixel_weight": 0.1, "joint": True, "shrinkage": 0.3}
    detector = SetFeatures(projections=projections, thresholds=thresholds, **settings).fit(normal_images)
    crops, values = 10, 2 * projections * thresholds
    distances = detector.features(test_images, "distances")[:, :, 0, 0]  # of two layers, pixels and both layers
    train, test = (detector.histograms(images).double().numpy() for images in (normal_images, test_images))
    for crop in range(crops):
        normal, found = (np.concatenate([each[crop], each[crops + crop]], axis=1) for each in (train, test))
        covariance = np.cov(normal, rowvar=False, bias=True)
        covariance = 0.7 * covariance + (0.3 * np.trace(covariance) / values + 1e-6) * np.eye(values)
        difference = found[:, None] - normal
        squares = np.einsum("ijk,kl,ijl->ij", difference, np.linalg.inv(covariance), difference)
        scaled = np.sqrt(squares.min(axis=1)) / float(detector.scale_[3 * crops + crop])
        np.testing.assert_allclose(distances[:, 3 * crops + crop], scaled, rtol=2e-3)
    of_layers, pixels, together = (each.mean(dim=1) for each in distances.split([2 * crops, crops, crops], dim=1))
    expected = (of_layers + together) / 2 + 0.1 * pixels
    np.testing.assert_allclose(detector.predict(test_images).scores, expected, rtol=1e-5)


def test_one_layer_is_not_counted_twice(normal_images, test_images):
    alone, joint = (SetFeatures(**FEW | {"joint": joint}).fit(normal_images) for joint in (False, True))
    np.testing.assert_array_equal(alone.predict(test_images).scores, joint.predict(test_images).scores)
    assert joint.features(test_images, "distances").shape[1] == 1


def test_own_is_whitened_without_the_image_itself():
    samples, shrinkage, target = np.random.default_rng(0).normal(size=(10, 4)), 0.2, 0.3

    def covariance(chosen, variance):
        return (1 - shrinkage) * np.cov(chosen, rowvar=False, bias=True) + variance * np.eye(4)

    factor = np.linalg.cholesky(covariance(samples, target))
    whitened = torch.from_numpy(np.linalg.solve(factor, (samples - samples.mean(axis=0)).T).T)[None]
    to_mean, to_training = without_own(whitened, whitened, shrinkage, torch.arange(10))
    others = np.delete(samples, 3, axis=0)
    inverse = np.linalg.inv(covariance(others, target * 10 / 9))
    residual, difference = samples[3] - others.mean(axis=0), samples[3] - samples[5]
    assert float(to_mean[0, 3]) == pytest.approx(residual @ inverse @ residual)
    assert float(to_training[0, 3, 5]) == pytest.approx(difference @ inverse @ difference)
    assert torch.isinf(to_training[0].diagonal()).all()


@pytest.mark.parametrize("layers", [(2,), (1, 2)])
def test_own_is_farther_than_the_image_from_itself(layers, normal_images):
    detector = SetFeatures(**FEW | {"layers": layers, "joint": True}).fit(normal_images)
    own = detector.features(normal_images, "distances", torch.arange(8))
    assert (own > detector.features(normal_images, "distances") + 0.1).all()
    with pytest.raises(ValueError, match="indices below 8"):
        detector.features(normal_images[:1], "distances", torch.tensor([8]))


@pytest.mark.parametrize(
    ("changes", "spaces"),
    [
        ({}, 1),
        ({"crops": (1.0, 0.5)}, 10),
        ({"crops": (1.0, 0.5), "crop_side": 64}, 10),
        ({"repeats": 3, "pixel_weight": 0.1}, 6),
        ({"repeats": 3, "pixel_weight": 0.1, "layers": (1, 2), "joint": True}, 12),
        ({"crops": (1.0, 0.5), "layers": (1, 2), "joint": True}, 30),
    ],
)
def test_sets_crops_and_repeats_have_distances_of_their_own(changes, spaces, normal_images, test_images):
    detector = SetFeatures(**FEW | changes).fit(normal_images[:6], normal_images[6:])
    distances = detector.features(test_images, "distances")
    assert distances.shape == (4, spaces, 1, 1)
    assert (distances[2:].mean(dim=1) > distances[:2].mean(dim=1)).all()


@pytest.mark.parametrize(("name", "value"), [("crops", ()), ("crops", (1.5,)), ("shrinkage", 0.0), ("projections", 0)])
def test_a_hyperparameter_out_of_range_raises(name, value):
    with pytest.raises(ValueError, match=name):
        SetFeatures(**{name: value})
