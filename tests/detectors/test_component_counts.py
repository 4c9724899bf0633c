import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import ledoit_wolf

from iadlib.detectors.base import without_itself
from iadlib.detectors.component_counts import PROPERTIES, ComponentCounts, count_regions
from iadlib.metrics import image_auroc

SQUARE = 24  # pixels
PLACES = [(row, column) for row in (8, 56, 104) for column in (8, 56)]  # corners of the squares on a grid of places
FEW = {"components": 6, "repetitions": 2}


def scene(squares, seed):
    """An image (3, 136, 88) of dark ground with bright squares at some of PLACES."""
    generator = torch.Generator().manual_seed(seed)
    image = 0.3 + 0.02 * torch.randn(3, 136, 88, generator=generator)
    for place in squares:
        row, column = PLACES[place]
        image[:, row : row + SQUARE, column : column + SQUARE] += 0.5
    return image.clamp(0, 1)


def scenes(count, squares, seed):
    """Images (count, 3, 136, 88) with that many squares at random places."""
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randperm(len(PLACES), generator=generator)[:squares].tolist() for _ in range(count)]
    return torch.stack([scene(places, seed * 1000 + index) for index, places in enumerate(drawn)])


@pytest.fixture(scope="module")
def detector():
    return ComponentCounts(**FEW).fit(scenes(24, squares=3, seed=1))


def test_a_part_too_many_and_a_part_missing_are_found_wherever_the_parts_lie(detector):
    normal = detector.predict(scenes(8, squares=3, seed=2)).scores
    for squares in (2, 4):
        anomalous = detector.predict(scenes(8, squares=squares, seed=3)).scores
        assert image_auroc(np.concatenate([normal, anomalous]), np.repeat([0, 1], 8)) > 0.95


def test_the_map_marks_the_parts_that_are_too_many_and_not_the_ground(detector):
    extra = scene((0, 2, 3, 5), seed=7)[None]
    parts = np.zeros((136, 88), bool)
    for place in (0, 2, 3, 5):
        row, column = PLACES[place]
        parts[row : row + SQUARE, column : column + SQUARE] = True
    here = detector.predict(extra).maps[0]
    assert here[parts].mean() > 1.1 * here[~parts].mean()


def test_the_image_score_is_the_norm_of_the_deviation_and_of_the_components_contributions(detector):
    values = dict(detector.stations(scenes(3, squares=2, seed=4)))
    torch.testing.assert_close(values["image_scores"], values["deviation"].flatten(1).norm(dim=1))
    shares = detector._shares(values["deviation"].view(3, 2, -1))
    torch.testing.assert_close(values["image_scores"], shares.flatten(1).norm(dim=1))


def test_the_deviation_of_one_property_is_scipys_mahalanobis_distance():
    train, test = scenes(10, squares=3, seed=1), scenes(2, squares=4, seed=2)
    detector = ComponentCounts(components=4, repetitions=1, properties=("area",)).fit(train)
    samples, others = (detector.features(each, "composition").flatten(1).double().numpy() for each in (train, test))
    covariance = ledoit_wolf(samples)[0] + detector.regularisation * np.eye(4)
    expected = [mahalanobis(other, samples.mean(axis=0), np.linalg.inv(covariance)) for other in others]
    found = detector.predict(test).scores * float(detector.scales_)
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_own_compares_a_training_image_with_the_gaussian_of_the_others():
    samples = torch.randn(12, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mean, covariance = samples.mean(dim=0), samples.T.cov(correction=0)
    values, vectors = torch.linalg.eigh(covariance)
    whitened = (samples - mean) @ (vectors / values.sqrt() @ vectors.T)
    found = without_itself(whitened[:, None], count=12, shrinkage=torch.zeros(1, 1)).norm(dim=2).flatten()
    for index in range(12):
        others = np.delete(samples.numpy(), index, axis=0)
        inverse = np.linalg.inv(np.cov(others, rowvar=False, ddof=0))
        assert float(found[index]) == pytest.approx(mahalanobis(samples[index], others.mean(axis=0), inverse))


def test_training_images_are_farther_from_the_others_than_from_all(detector):
    train = scenes(24, squares=3, seed=1)
    own = detector.features(train, "deviation", torch.arange(24)).flatten(1).norm(dim=1)
    assert (own > detector.features(train, "deviation").flatten(1).norm(dim=1)).all()
    with pytest.raises(ValueError, match="indices below 24"):
        detector.features(train[:1], "deviation", torch.tensor([24]))


def test_a_component_without_a_patch_has_the_training_mean_of_what_it_lacks():
    detector = ComponentCounts(**FEW, properties=tuple(PROPERTIES)).fit(scenes(6, squares=3, seed=1))
    composition = detector.features(torch.full((1, 3, 136, 88), 0.3), "composition").view(2, -1)
    absent = composition[:, detector._blocks[0]] == 0  # (R, K), by area
    assert absent.any()
    colours, means = (each[:, detector._blocks[2]].unflatten(1, (6, 3)) for each in (composition, detector.mean_))
    torch.testing.assert_close(colours[absent], means[absent])


def test_regions_are_counted_in_every_mask_alone():
    masks = torch.zeros(2, 1, 2, 4, 5)
    masks[0, 0, 0, 0, :2] = masks[0, 0, 0, 3, 3] = masks[0, 0, 0, 2, 2] = 1  # the last two touch at a corner
    masks[0, 0, 1, 0, 2] = masks[1, 0, 0, 0, 0] = 1
    assert count_regions(masks).tolist() == [[[2, 1]], [[1, 0]]]


def test_the_seed_draws_the_patches_and_the_starting_points():
    train = scenes(6, squares=3, seed=1)
    centres = [ComponentCounts(**FEW, seed=seed).fit(train).centres_ for seed in (0, 0, 1)]
    assert torch.equal(centres[0], centres[1])
    assert not torch.equal(centres[0], centres[2])
    assert not torch.equal(centres[0][0], centres[0][1])


def test_two_training_images_raise():
    with pytest.raises(ValueError, match="3 or more"):
        ComponentCounts(**FEW).fit(scenes(2, squares=3, seed=1))


@pytest.mark.parametrize(
    ("name", "value"),
    [("properties", ("weight",)), ("properties", ()), ("components", 1), ("repetitions", 0), ("regularisation", 0)],
)
def test_a_hyperparameter_out_of_range_raises(name, value):
    with pytest.raises(ValueError, match=name):
        ComponentCounts(**{name: value})
