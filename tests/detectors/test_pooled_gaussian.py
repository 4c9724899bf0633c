import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

from iadlib.detectors.base import without_itself
from iadlib.detectors.pooled_gaussian import PooledGaussian


def expected_distance(detector, train, images, index, down, across):
    """The sum over the layers of scipy's distances to scikit-learn's Gaussians, in one cell of the maps."""
    score = 0
    for normal, found in zip(detector._backbone(train), detector._backbone(images[index : index + 1]), strict=True):
        normal, found = (each[..., down, across].mean(dim=(2, 3)).double().numpy() for each in (normal, found))
        model = LedoitWolf().fit(normal)
        inverse = np.linalg.inv(model.covariance_ + 1e-6 * np.eye(normal.shape[1]))
        score += mahalanobis(found[0], model.location_, inverse)
    return score


def test_scores_are_sums_of_scipys_distances_to_scikit_learns_gaussians(normal_images, test_images):
    validation_images = test_images[:2]
    detector = PooledGaussian(layers=(1, 3), grids=(1,)).fit(normal_images, validation_images)
    whole = (slice(None), slice(None))
    expected = [expected_distance(detector, normal_images, test_images, index, *whole) for index in (0, 3)]
    scores = detector.predict(test_images).scores[[0, 3]]
    assert scores * float(detector.scale_) == pytest.approx(expected, rel=1e-3)
    normal = [expected_distance(detector, normal_images, validation_images, index, *whole) for index in range(2)]
    assert float(detector.scale_) == pytest.approx(np.mean(normal), rel=1e-3)


def test_a_grid_scores_its_most_anomalous_cell(normal_images, test_images):
    validation_images = test_images[:2]
    detector = PooledGaussian(layers=(2,), grids=(1, 2)).fit(normal_images, validation_images)
    height, width = detector._backbone(test_images)[0].shape[-2:]  # of odd ones the halves share the middle
    rows, columns = ((slice(None, -(-side // 2)), slice(side // 2, None)) for side in (height, width))
    cells = [
        expected_distance(detector, normal_images, test_images, 0, down, across) for down in rows for across in columns
    ]
    whole = expected_distance(detector, normal_images, test_images, 0, slice(None), slice(None))
    by_grid = np.array([whole, max(cells)]) / detector.scale_.numpy()
    assert float(detector.predict(test_images).scores[0]) == pytest.approx(by_grid.sum(), rel=1e-3)


def test_grids_need_cells():
    with pytest.raises(ValueError, match="grids"):
        PooledGaussian(grids=(1, 0))


def test_without_itself_is_the_distance_to_the_gaussian_of_the_others():
    samples = np.random.default_rng(0).normal(size=(12, 5))
    shrinkage, target = 0.2, 0.3
    count = len(samples)

    def distance(index, others, variance):
        covariance = (1 - shrinkage) * np.cov(others, rowvar=False, bias=True) + variance * np.eye(5)
        return mahalanobis(samples[index], others.mean(axis=0), np.linalg.inv(covariance))

    covariance = (1 - shrinkage) * np.cov(samples, rowvar=False, bias=True) + target * np.eye(5)
    factor = np.linalg.cholesky(covariance)
    deviation = torch.from_numpy(np.linalg.solve(factor, (samples - samples.mean(axis=0)).T).T)
    found = without_itself(deviation, count, shrinkage).norm(dim=1)
    for index in (0, 7):
        others = np.delete(samples, index, axis=0)
        assert float(found[index]) == pytest.approx(distance(index, others, target * count / (count - 1)), rel=1e-6)


def test_own_makes_a_training_image_no_closer_than_it_is(normal_images):
    detector = PooledGaussian(layers=(2,)).fit(normal_images)
    naive = detector.features(normal_images, "distances")
    own = detector.features(normal_images, "distances", torch.arange(8))
    assert (own > naive).all()
    with pytest.raises(ValueError, match="indices below 8"):
        detector.features(normal_images[:1], "distances", torch.tensor([8]))


def test_identical_training_images_give_finite_scores(normal_images, test_images):
    detector = PooledGaussian().fit(normal_images[:1].repeat(4, 1, 1, 1))
    assert np.isfinite(detector.predict(test_images).scores).all()


def test_a_single_training_image_raises(normal_images):
    with pytest.raises(ValueError, match="two or more"):
        PooledGaussian().fit(normal_images[:1])
