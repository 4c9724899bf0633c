import numpy as np
import pytest
import torch

from iadlib.ensemble.compositions import (
    LEAST_WEIGHT,
    MOST_IMAGES,
    changed_compositions,
    changed_places,
    weights_of,
)
from iadlib.types import Prediction


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(3, 3, 40, 60, generator=torch.Generator().manual_seed(0))


def test_every_image_has_an_anomaly_of_every_kind_in_a_box(images):
    changed = changed_compositions(images)
    assert changed.shape == (12, 3, 40, 60)
    assert changed.min() >= 0
    assert changed.max() <= 1
    for found, image in zip(changed, images.repeat(4, 1, 1, 1), strict=True):
        rows, columns = (found != image).any(dim=0).nonzero(as_tuple=True)
        height, width = (int(places.max() - places.min()) + 1 for places in (rows, columns))
        assert 0 < height * width <= 0.37 * 40 * 60


def test_the_kinds_differ_in_what_a_box_contains():
    dark, bright = torch.zeros(3, 40, 60), torch.ones(3, 40, 60)
    dark[:, :20] = 0.5
    removed, _, doubled, _, exchanged, _, displaced, _ = changed_compositions(torch.stack([dark, bright]))
    assert exchanged.max() == 1  # of the other image
    assert removed.max() == doubled.max() == 0.5  # of the same image
    assert displaced.max() <= 0.5 * 1.3


def test_the_anomalies_depend_on_the_images_and_the_seed_alone(images):
    torch.manual_seed(1)
    first = changed_compositions(images)
    torch.manual_seed(2)
    assert torch.equal(changed_compositions(images), first)
    assert not torch.equal(changed_compositions(images, seed=1), first)


def test_of_many_images_some_are_changed(images):
    assert len(changed_compositions(images[:1].repeat(MOST_IMAGES + 1, 1, 1, 1))) == 4 * MOST_IMAGES


def test_one_image_has_no_other_to_exchange_parts_with(images):
    with pytest.raises(ValueError, match="two or more"):
        changed_compositions(images[:1])


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (33, 7)])
def test_an_image_of_any_size_can_be_changed(size):
    assert changed_compositions(torch.rand(2, 3, *size)).shape == (8, 3, *size)


def test_changed_places_are_those_that_differ_visibly_from_the_image_they_were_made_of(images):
    artificial = images.repeat(4, 1, 1, 1)
    artificial[:, :, :5] += 0.03
    artificial[1, 2, 10:14, 20:23] += 0.2
    artificial[-1, :, 0, 0] -= 0.2
    expected = np.zeros((12, 40, 60), bool)
    expected[1, 10:14, 20:23] = expected[-1, 0, 0] = True
    assert np.array_equal(changed_places(artificial, images), expected)


def test_of_many_images_the_places_belong_to_those_that_are_changed(images):
    many = torch.cat([images, torch.zeros(MOST_IMAGES, 3, 40, 60)])
    places = changed_places(changed_compositions(many), many)
    assert places.shape == (4 * MOST_IMAGES, 40, 60)
    assert 0 < places[:3].mean() < 0.2


NORMAL = np.array([1.0, 2.0], np.float32)


@pytest.mark.parametrize(
    ("artificial", "weight"), [([3.0, 4.0], 1.0), ([1.5, 3.0], 0.5**4), ([0.0, 0.5], LEAST_WEIGHT)]
)
def test_the_weight_of_scores_is_that_of_the_auroc(artificial, weight):
    found = Prediction(np.array(artificial, np.float32), None)
    assert weights_of(Prediction(NORMAL, None), found, np.zeros((2, 4, 5), bool)) == pytest.approx(
        (weight, LEAST_WEIGHT)
    )


def test_the_weight_of_maps_is_that_of_the_changed_places_that_they_show():
    places = np.zeros((2, 10, 10), bool)
    places[0, 2:4, 2:4] = places[1, 6:8, 1:3] = True
    normal = Prediction(NORMAL, np.zeros((2, 10, 10), np.float32))

    def weight(maps):
        return weights_of(normal, Prediction(NORMAL, np.asarray(maps, np.float32)), places)[1]

    assert weight(places) == pytest.approx(1.0)
    chance = 0.05 / 2  # of the area up to a false positive rate of 5 %
    assert weight(places * [[[1]], [[0]]]) == pytest.approx(((1 + chance) / 2) ** 8)
    assert weight(~places) == LEAST_WEIGHT
