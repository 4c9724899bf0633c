import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis

from iadlib.detectors import padim
from iadlib.detectors.padim import PaDiM, estimate, factorise

FEW = {"layers": (1, 2, 3), "channels": 5, "patch_size": 1, "shrinkage": 0.0, "regularisation": 0.5}


def distance(sample, samples, regularisation):
    """Of `sample` (d,) to the Gaussian of `samples` (n, d), by NumPy and SciPy."""
    covariance = np.cov(samples, rowvar=False) + regularisation * np.eye(samples.shape[1])
    return mahalanobis(sample, samples.mean(axis=0), np.linalg.inv(covariance))


def test_scores_are_scipys_mahalanobis_distances(normal_images, test_images):
    detector = PaDiM(**FEW).fit(normal_images)
    train, test = (detector.patches(images).double().numpy() for images in (normal_images, test_images))
    scores = dict(detector.stations(test_images))["scores"]
    for image, row, column in ((0, 0, 0), (2, 10, 7), (3, 15, 11)):
        expected = distance(test[image, :, row, column], train[:, :, row, column], 0.5)
        assert float(scores[image, 0, row, column]) == pytest.approx(expected, rel=1e-4)


def test_own_compares_a_training_image_with_the_gaussians_of_the_others(normal_images):
    detector = PaDiM(**FEW | {"regularisation": 1e-6}).fit(normal_images)
    train = detector.patches(normal_images).double().numpy()
    own = detector.features(normal_images, "deviation", torch.arange(8)).norm(dim=1)
    naive = detector.features(normal_images, "deviation").norm(dim=1)
    for image, row, column in ((0, 0, 0), (5, 10, 7)):
        samples = np.delete(train[:, :, row, column], image, axis=0)
        expected = distance(train[image, :, row, column], samples, 1e-6)
        assert float(own[image, row, column]) == pytest.approx(expected, rel=0.01)
    assert (own > naive).all()


def test_own_with_shared_covariance_is_close_to_a_fit_without_the_image():
    samples = torch.randn(40, 6, 50, generator=torch.Generator().manual_seed(0))  # independent: as in the formula
    mean, factor = gaussians(samples, 0.3, 1e-6)

    def deviation(image, mean, factor):
        return torch.linalg.solve_triangular(factor, (image - mean).T[:, :, None], upper=False)[:, :, 0].T  # (d, p)

    found = padim.leave_one_out(deviation(samples[3], mean, factor)[None, :, None], 40, 0.3).norm(dim=1).flatten()
    expected = deviation(samples[3], *gaussians(samples[torch.arange(40) != 3], 0.3, 1e-6)).norm(dim=0)
    torch.testing.assert_close(found, expected, rtol=0.03, atol=0)
    wrong = padim.leave_one_out(deviation(samples[3], mean, factor)[None, :, None], 40, 0.0).norm(dim=1).flatten()
    assert not torch.allclose(wrong, expected, rtol=0.03, atol=0)


def test_positions_of_very_different_variance_have_factors():
    samples = torch.randn(40, 152, 20, generator=torch.Generator().manual_seed(0))
    samples[:, :, :2] *= 2000
    assert torch.isfinite(gaussians(samples, 0.0, 0.01)[1]).all()


def gaussians(samples, shrinkage, regularisation):
    """Means (d, p) and factors (p, d, d)."""
    _, dimension, positions = samples.shape
    mean, factor = torch.empty(dimension, positions), torch.empty(positions, dimension, dimension)
    estimate(samples, mean, factor)
    factorise(factor, shrinkage, regularisation)
    return mean, factor


def test_a_share_of_every_covariance_is_their_mean_over_all_positions():
    samples = torch.randn(9, 4, 11, generator=torch.Generator().manual_seed(0))
    _, factor = gaussians(samples, 0.2, 0.1)
    covariances = np.stack([np.cov(samples[:, :, position].double().numpy(), rowvar=False) for position in range(11)])
    expected = 0.8 * covariances + 0.2 * covariances.mean(axis=0) + 0.1 * np.eye(4)
    np.testing.assert_allclose((factor @ factor.mT).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_two_images_and_a_tiny_regulariser_have_factors():
    samples = torch.randn(2, 30, 5, generator=torch.Generator().manual_seed(0))
    assert torch.isfinite(gaussians(samples, 0.0, 1e-12)[1]).all()


def test_features_are_averages_over_the_neighbourhood_inside_the_map(test_images):
    alone, averaged = (PaDiM(layers=(2,), patch_size=side) for side in (1, 3))
    for detector in (alone, averaged):
        detector.channels_ = detector._draw_channels()
    maps, found = alone.patches(test_images), averaged.patches(test_images)
    torch.testing.assert_close(found[:, :, 3, 2], maps[:, :, 2:5, 1:4].mean(dim=(2, 3)))
    torch.testing.assert_close(found[:, :, 0, 0], maps[:, :, :2, :2].mean(dim=(2, 3)))


def test_gaussians_do_not_depend_on_how_many_are_fitted_together(monkeypatch):
    samples = torch.randn(9, 4, 11, generator=torch.Generator().manual_seed(0))
    whole = gaussians(samples, 0.2, 0.1)
    monkeypatch.setattr("iadlib.detectors.padim.CHUNK_BYTES", 8 * 4 * 9 * 3)
    for expected, found in zip(whole, gaussians(samples, 0.2, 0.1), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("positions", [1, 37])
def test_several_passes_over_the_images_give_the_same_gaussians(normal_images, monkeypatch, positions):
    hyperparameters = FEW | {"layers": (2, 3), "shrinkage": 0.1, "batch_size": 3}  # 8 x 6 positions
    kept = PaDiM(**hyperparameters).fit(normal_images)
    passes = []
    monkeypatch.setattr(padim, "FEATURE_BYTES", 4 * len(normal_images) * 5 * positions)
    monkeypatch.setattr(padim, "track", lambda items, description: passes.append(description) or items)
    again = PaDiM(**hyperparameters).fit(normal_images)
    for name in PaDiM.learned:
        assert torch.equal(getattr(again, name), getattr(kept, name)), name
    assert passes.count("padim: features") == -(-again.mean_[0].numel() // positions)


def test_the_seed_draws_the_channels(normal_images):
    drawn = [PaDiM(**FEW, seed=seed).fit(normal_images).channels_.tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 5
    every = PaDiM(channels=None, layers=(1,)).fit(normal_images).channels_
    assert every.tolist() == list(range(24))


def test_more_channels_than_there_are_raise(normal_images):
    with pytest.raises(ValueError, match="have 24"):
        PaDiM(channels=25, layers=(1,)).fit(normal_images)


def test_a_single_training_image_raises(normal_images):
    with pytest.raises(ValueError, match="two or more"):
        PaDiM(**FEW).fit(normal_images[:1])


def test_an_index_beyond_the_training_images_raises(normal_images):
    with pytest.raises(ValueError, match="indices below 8"):
        PaDiM(**FEW).fit(normal_images).features(normal_images[:1], "deviation", torch.tensor([8]))


@pytest.mark.parametrize(
    ("name", "value"),
    [("layers", (2, 1)), ("channels", 0), ("regularisation", 0), ("patch_size", 2), ("shrinkage", 1.5)],
)
def test_a_hyperparameter_out_of_range_raises(name, value):
    with pytest.raises(ValueError, match=name):
        PaDiM(**{name: value})
