import numpy as np
import pytest

from iadlib.metrics import bootstrap_interval, image_auroc


@pytest.fixture
def sample() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [30, 20])
    return rng.normal(size=50) + labels, labels


def test_interval_holds_the_value_and_repeats_with_its_seed(sample):
    low, high = bootstrap_interval(image_auroc, *sample)
    assert low < image_auroc(*sample) < high
    assert (low, high) == bootstrap_interval(image_auroc, *sample)
    assert (low, high) != bootstrap_interval(image_auroc, *sample, seed=1)


def test_interval_covers_the_true_value_about_as_often_as_it_says():
    # Normal scores one standard deviation apart: AUROC = Phi(1 / sqrt 2).
    truth, covered = 0.7602499389065233, 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        labels = np.repeat([0, 1], 40)
        ends = bootstrap_interval(image_auroc, rng.normal(size=80) + labels, labels, level=0.9, resamples=200)
        covered += ends[0] <= truth <= ends[1]
    assert 0.83 < covered / 100 < 0.95


def test_a_mean_over_seeds_of_equal_scores_is_that_of_one_seed(sample):
    scores, labels = sample
    assert bootstrap_interval(image_auroc, np.stack([scores, scores]), labels) == bootstrap_interval(
        image_auroc, *sample
    )


def test_scores_and_labels_of_different_numbers_raise(sample):
    with pytest.raises(ValueError, match="labels"):
        bootstrap_interval(image_auroc, sample[0], sample[1][:-1])


def test_one_class_has_no_interval():
    assert np.isnan(bootstrap_interval(image_auroc, [1, 2, 3], [0, 0, 0], resamples=10)).all()
