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


WHOLE = (slice(None), slice(None))


def test_distances_are_sums_of_scipys_distances_to_scikit_learns_gaussians(normal_images, test_images):
    validation_images = test_images[:2]
    detector = PooledGaussian(layers=(1, 3), grids=(1,)).fit(normal_images, validation_images)
    normal = [expected_distance(detector, normal_images, validation_images, index, *WHOLE) for index in range(2)]
    mean, spread = detector.scales_[0].tolist()
    assert mean == pytest.approx(np.mean(normal), rel=1e-3)
    assert spread == pytest.approx(max(np.std(normal), 0.05 * mean), rel=1e-3)
    expected = expected_distance(detector, normal_images, test_images, 3, *WHOLE)
    assert float(detector.predict(test_images).scores[3]) == pytest.approx(
        np.logaddexp(0, (expected - mean) / spread), rel=1e-3
    )


def test_a_grid_scores_its_most_anomalous_cell_and_cells_overlap_by_half(normal_images, test_images):
    detector = PooledGaussian(layers=(2,), grids=(1, 2), shared=0.0).fit(normal_images, test_images[:2])
    height, width = detector._backbone(test_images)[0].shape[-2:]
    assert (height, width) == (8, 6)
    rows, columns = (
        [slice(0, 4), slice(2, 6), slice(4, 8)],
        [slice(0, 3), slice(1, 5), slice(3, 6)],  # the middle one rounded up to whole positions
    )
    cells = [
        expected_distance(detector, normal_images, test_images, 0, down, across) for down in rows for across in columns
    ]
    by_grid = [expected_distance(detector, normal_images, test_images, 0, *WHOLE), max(cells)]
    mean, spread = detector.scales_.double().numpy().T
    expected = np.log1p(np.exp((by_grid - mean) / spread).sum())
    assert float(detector.predict(test_images).scores[0]) == pytest.approx(expected, rel=1e-3)


def test_a_share_of_a_covariance_is_that_of_all_cells_of_the_grid():
    averages = torch.randn(1 + 9, 12, 3, generator=torch.Generator().manual_seed(0)).double()  # grids 1 and 2
    whole, *cells = (each - each.mean(dim=0) for each in averages)
    alone = LedoitWolf(assume_centered=True).fit(cells[4])
    together = LedoitWolf(assume_centered=True).fit(torch.cat(cells)).covariance_
    found, unchanged = PooledGaussian(grids=(1, 2), shared=0.4)._covariances(averages)
    expected = 0.6 * alone.covariance_ + 0.4 * together + 1e-6 * np.eye(3)
    np.testing.assert_allclose(found[5].numpy(), expected)
    np.testing.assert_allclose(found[0].numpy(), LedoitWolf().fit(whole).covariance_ + 1e-6 * np.eye(3))
    assert float(unchanged[5]) == pytest.approx(1 - 0.6 * (1 - alone.shrinkage_))


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


def test_own_with_a_shared_covariance_is_close_to_a_fit_without_the_image():
    averages = torch.randn(9, 60, 4, generator=torch.Generator().manual_seed(0))  # of the cells of grid 2

    def fitted(averages):
        detector = PooledGaussian(grids=(2,), shared=0.5)
        covariance, unchanged = detector._covariances(averages.double())
        detector.mean_, detector.channels_ = averages.mean(dim=1, keepdim=True), torch.tensor([4])
        detector.factor_ = torch.linalg.cholesky(covariance).float().flatten(1)
        detector.unchanged_, detector.count_ = unchanged.float()[:, None], torch.tensor(averages.shape[1])
        return detector

    whole = fitted(averages)
    own = torch.arange(5)
    found = whole._by_grid(averages[:, :5], own)[0]
    expected = [
        float(fitted(averages[:, torch.arange(60) != index])._by_grid(averages[:, index : index + 1], None)[0, 0])
        for index in own
    ]
    assert found.tolist() == pytest.approx(expected, rel=0.02)
    whole.unchanged_ = torch.zeros_like(whole.unchanged_)
    assert whole._by_grid(averages[:, :5], own)[0].tolist() != pytest.approx(expected, rel=0.02)


def test_identical_training_images_give_finite_scores(normal_images, test_images):
    detector = PooledGaussian().fit(normal_images[:1].repeat(4, 1, 1, 1))
    assert np.isfinite(detector.predict(test_images).scores).all()


def test_a_single_training_image_raises(normal_images):
    with pytest.raises(ValueError, match="two or more"):
        PooledGaussian().fit(normal_images[:1])
