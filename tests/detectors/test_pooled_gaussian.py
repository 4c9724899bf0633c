import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

from iadlib.detectors.base import without_itself
from iadlib.detectors.pooled_gaussian import PooledGaussian, evened, gaussians


def expected_distance(detector, train, images, index):
    """The sum over the layers of scipy's distances to scikit-learn's Gaussians, of averages over the image."""
    score = 0
    for normal, found in zip(detector._backbone(train), detector._backbone(images[index : index + 1]), strict=True):
        normal, found = (each.mean(dim=(2, 3)).double().numpy() for each in (normal, found))
        score += distance_to(LedoitWolf().fit(normal).covariance_, normal, found)
    return score


def distance_to(covariance, normal, found):
    inverse = np.linalg.inv(covariance + 1e-6 * np.eye(len(covariance)))
    return mahalanobis(found[0], normal.mean(axis=0), inverse)


def test_distances_are_sums_of_scipys_distances_to_scikit_learns_gaussians(normal_images, test_images):
    validation_images = test_images[:2]
    detector = PooledGaussian(layers=(1, 3), grids=(1,)).fit(normal_images, validation_images)
    normal = [expected_distance(detector, normal_images, validation_images, index) for index in range(2)]
    mean, spread = detector.scales_[0].tolist()
    assert mean == pytest.approx(np.mean(normal), rel=1e-3)
    assert spread == pytest.approx(max(np.std(normal), 0.05 * mean), rel=1e-3)
    expected = expected_distance(detector, normal_images, test_images, 3)
    assert float(detector.predict(test_images).scores[3]) == pytest.approx(
        np.logaddexp(0, (expected - mean) / spread), rel=1e-3
    )


def test_a_grid_scores_its_most_anomalous_cell_and_cells_overlap_by_half(normal_images, test_images):
    layers = {"layers": (2, 3), "cell_layers": (2,)}
    detector = PooledGaussian(**layers, grids=(1, 2), shared=0.3).fit(normal_images, test_images[:2])
    normal, found = (detector._backbone(images)[0].double() for images in (normal_images, test_images[:1]))
    assert normal.shape[-2:] == (8, 6)
    rows, columns = (
        [slice(0, 4), slice(2, 6), slice(4, 8)],
        [slice(0, 3), slice(1, 5), slice(3, 6)],  # the middle one rounded up to whole positions
    )
    cells = [
        [maps[..., down, across].mean(dim=(2, 3)).numpy() for maps in (normal, found)]
        for down in rows
        for across in columns
    ]
    residuals = np.stack([normal - normal.mean(axis=0) for normal, _ in cells])
    deviation = residuals.reshape(-1, residuals.shape[2]).std(axis=0)
    model = LedoitWolf(assume_centered=True)
    together = model.fit((residuals / deviation).reshape(-1, len(deviation))).covariance_
    distances = []
    for residual, (normal, image) in zip(residuals, cells, strict=True):
        covariance = 0.7 * model.fit(residual / deviation).covariance_ + 0.3 * together
        distances.append(distance_to(covariance * np.outer(deviation, deviation), normal, image))
    (factors, summands) = detector.level_[:, 1:].double().numpy()
    evened_distances = factors * distances + summands
    assert not np.allclose(evened_distances, distances, rtol=1e-2)
    by_grid = [expected_distance(detector, normal_images, test_images, 0), max(evened_distances)]
    mean, spread = detector.scales_.double().numpy().T
    expected = np.log1p(np.exp((by_grid - mean) / spread).sum())
    assert float(detector.predict(test_images).scores[0]) == pytest.approx(expected, rel=1e-3)


def test_a_covariance_of_a_cell_is_taken_to_change_with_its_own_share_alone():
    averages = torch.randn(9, 12, 3, generator=torch.Generator().manual_seed(0)).double()  # the cells of grid 2
    residuals = averages - averages.mean(dim=1, keepdim=True)
    standardised = residuals[4] / residuals.square().mean(dim=(0, 1)).sqrt()
    shrinkage = LedoitWolf(assume_centered=True).fit(standardised).shrinkage_
    assert float(gaussians(averages, 0.4)[2][4]) == pytest.approx(1 - 0.6 * (1 - shrinkage), rel=1e-4)
    assert float(gaussians(averages[4:5], 0.4)[2]) == pytest.approx(LedoitWolf().fit(averages[4]).shrinkage_)


def test_evened_distances_have_one_mean_and_deviation_in_all_cells():
    normal = torch.randn(3, 4000, generator=torch.Generator().manual_seed(0))
    distances = torch.tensor([[4.0], [6.0], [8.0]]) + torch.tensor([[0.5], [1.0], [1.5]]) * normal
    factor, summand = evened(distances, 1.0)[..., None]
    even = factor * distances + summand
    np.testing.assert_allclose(even.mean(dim=1), distances.mean(), rtol=1e-4)
    np.testing.assert_allclose(even.var(dim=1), distances.var(dim=1).mean(), rtol=1e-4)
    np.testing.assert_allclose(evened(distances, 0.0), [[1, 1, 1], [0, 0, 0]], atol=1e-5)
    np.testing.assert_allclose(evened(distances[:1], 0.7), [[1], [0]], atol=1e-5)  # one cell: the whole image


def test_distances_of_training_images_from_the_others_even_the_cells(normal_images):
    detector = PooledGaussian(grids=(1, 2)).fit(normal_images)
    distances = detector._by_cell(detector.pooled(normal_images), torch.arange(8))[1]
    np.testing.assert_allclose(detector.level_[:, 1:], evened(distances, 8 / 48), rtol=1e-3, atol=1e-3)
    two = PooledGaussian(grids=(1, 2)).fit(normal_images[:2])  # nothing is left to compare an image with
    np.testing.assert_allclose(two.level_, [[1] * 10, [0] * 10], atol=1e-5)


def test_grids_need_cells():
    with pytest.raises(ValueError, match="grids"):
        PooledGaussian(grids=(1, 0))


def test_cells_are_described_by_some_of_the_layers():
    for cell_layers in ((), (1, 5), (1, 1)):
        with pytest.raises(ValueError, match=r"cell_layers .*one or more of `layers`"):
            PooledGaussian(cell_layers=cell_layers)
    PooledGaussian(layers=("bn1", "blocks.0"), grids=(1,))  # no cells, as in the paper


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
    detector = PooledGaussian(layers=(2, 3), cell_layers=(2,)).fit(normal_images)
    naive = detector.features(normal_images, "distances")
    own = detector.features(normal_images, "distances", torch.arange(8))
    assert (own > naive).all()
    with pytest.raises(ValueError, match="indices below 8"):
        detector.features(normal_images[:1], "distances", torch.tensor([8]))


def test_own_with_a_shared_covariance_is_close_to_a_fit_without_the_image():
    averages = torch.randn(9, 60, 4, generator=torch.Generator().manual_seed(0))  # of the cells of grid 2

    def fitted(averages):
        detector = PooledGaussian(layers=(2,), cell_layers=(2,), grids=(2,), shared=0.5)
        found = (part.flatten().float() for part in gaussians(averages, detector.shared))
        detector.mean_, detector.factor_, detector.unchanged_ = found
        detector.count_ = torch.tensor(averages.shape[1])
        detector.level_ = torch.tensor([[1.0], [0.0]]).expand(2, len(averages))
        return detector

    whole = fitted(averages)
    own = torch.arange(5)
    found = whole._by_grid(whole._by_cell([averages[:, :5]], own))[0]
    others = [fitted(averages[:, torch.arange(60) != index]) for index in own]
    expected = [
        float(detector._by_grid(detector._by_cell([averages[:, index : index + 1]], None))[0, 0])
        for index, detector in zip(own, others, strict=True)
    ]
    assert found.tolist() == pytest.approx(expected, rel=0.02)
    whole.unchanged_ = torch.zeros_like(whole.unchanged_)
    assert whole._by_grid(whole._by_cell([averages[:, :5]], own))[0].tolist() != pytest.approx(expected, rel=0.02)


def test_identical_training_images_give_finite_scores(normal_images, test_images):
    detector = PooledGaussian().fit(normal_images[:1].repeat(4, 1, 1, 1))
    assert np.isfinite(detector.predict(test_images).scores).all()


def test_a_single_training_image_raises(normal_images):
    with pytest.raises(ValueError, match="two or more"):
        PooledGaussian().fit(normal_images[:1])
