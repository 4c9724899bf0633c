import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

from iadlib.detectors.base import without_itself
from iadlib.detectors.pooled_gaussian import PooledGaussian


def expected_score(detector, train, images, index):
    """The sum of scipy's distances to scikit-learn's Gaussians."""
    levels = zip(detector.pooled(train), detector.pooled(images), strict=True)
    score = 0
    for normal, found in ((each.double().numpy() for each in level) for level in levels):
        model = LedoitWolf().fit(normal)
        inverse = np.linalg.inv(model.covariance_ + 1e-6 * np.eye(normal.shape[1]))
        score += mahalanobis(found[index], model.location_, inverse)
    return score


def test_scores_are_the_sum_of_scipys_distances_to_scikit_learns_gaussians(normal_images, test_images):
    detector = PooledGaussian(layers=(1, 3)).fit(normal_images)
    scores = detector.predict(test_images).scores
    for index in (0, 3):
        assert scores[index] == pytest.approx(expected_score(detector, normal_images, test_images, index), rel=1e-3)


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
    naive = detector.features(normal_images, "deviation").norm(dim=1)
    own = detector.features(normal_images, "deviation", torch.arange(8)).norm(dim=1)
    assert (own > naive).all()
    with pytest.raises(ValueError, match="indices below 8"):
        detector.features(normal_images[:1], "deviation", torch.tensor([8]))


def test_identical_training_images_give_finite_scores(normal_images, test_images):
    detector = PooledGaussian().fit(normal_images[:1].repeat(4, 1, 1, 1))
    assert np.isfinite(detector.predict(test_images).scores).all()


def test_a_single_training_image_raises(normal_images):
    with pytest.raises(ValueError, match="two or more"):
        PooledGaussian().fit(normal_images[:1])
