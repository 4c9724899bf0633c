import numpy as np
import pytest
import torch

from iadlib.detectors import create, patchcore


@pytest.fixture(scope="module")
def whole_bank(normal_images):
    """Every patch of every image is in the bank."""
    return create("patchcore", coreset_fraction=1.0, smoothing_sigma=0).fit(normal_images)


def test_a_training_patch_in_the_bank_has_no_difference(whole_bank, normal_images):
    assert whole_bank.features(normal_images, "difference").abs().max() < 1e-3


def test_own_leaves_the_images_own_patches_out(whole_bank, normal_images):
    others = create("patchcore", coreset_fraction=1.0).fit(normal_images[1:])
    expected = others.features(normal_images[:1], "difference")
    found = whole_bank.features(normal_images[:1], "difference", own=torch.tensor([0]))
    assert expected.norm(dim=1).min() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_own_is_the_index_in_training_not_in_the_batch(whole_bank, normal_images):
    both = whole_bank.features(normal_images, "difference", own=torch.arange(8))
    alone = whole_bank.features(normal_images[5:6], "difference", own=torch.tensor([5]))
    np.testing.assert_allclose(both[5:6], alone, atol=1e-4)


def test_scores_are_the_distances_to_the_nearest_entry(normal_images, test_images):
    detector = create("patchcore", coreset_fraction=0.1, smoothing_sigma=0).fit(normal_images)
    vectors = detector.features(test_images, "embedding").permute(0, 2, 3, 1).flatten(1, 2)  # (N, h w, C)
    expected = torch.cdist(vectors, detector.memory_).amin(dim=2)  # (N, h w)
    detector.image_score = "patch"
    np.testing.assert_allclose(detector.predict(test_images).scores, expected.amax(dim=1), rtol=1e-4)


def test_the_image_score_is_the_mean_of_the_smoothed_maps_highest_half_percent(normal_images, test_images):
    detector = create("patchcore", coreset_fraction=0.1).fit(normal_images)
    prediction = detector.predict(test_images)
    highest = np.sort(prediction.maps.reshape(4, -1))[:, -15:]  # of 64 x 48 pixels
    np.testing.assert_allclose(prediction.scores, highest.mean(axis=1), rtol=1e-6)
    detector.image_score = "map"
    np.testing.assert_array_equal(detector.predict(test_images).scores, prediction.maps.max(axis=(1, 2)))
    detector.image_score = "patch"
    assert (detector.predict(test_images).scores > prediction.scores).all()


def test_reweighting_follows_equation_7(normal_images, test_images):
    detector = create("patchcore", coreset_fraction=0.1, image_score="patch", reweighting_neighbours=4).fit(
        normal_images
    )
    detector.memory_ /= 20  # distances small enough that the exponentials do not saturate
    detector.patches = lambda images: type(detector).patches(detector, images) / 20
    vectors = detector.features(test_images, "embedding").permute(0, 2, 3, 1).flatten(1, 2)
    expected = []
    for image in vectors.double():
        distances = torch.cdist(image, detector.memory_.double())
        patch = int(distances.amin(dim=1).argmax())
        star = int(distances[patch].argmin())
        neighbours = torch.cdist(detector.memory_[star : star + 1], detector.memory_)[0].topk(4, largest=False).indices
        weight = 1 - distances[patch, star].exp() / distances[patch, neighbours].exp().sum()
        assert 0.2 < weight < 0.99
        expected.append(float(weight * distances[patch, star]))
    np.testing.assert_allclose(detector.predict(test_images).scores, expected, rtol=1e-3)


def test_seed_decides_the_coreset(normal_images):
    banks = [create("patchcore", coreset_fraction=0.05, seed=seed).fit(normal_images).memory_ for seed in (0, 0, 1)]
    assert torch.equal(banks[0], banks[1])
    assert not torch.equal(banks[0], banks[2])


@pytest.mark.parametrize("projection_dimension", [16, None])
def test_computing_the_chosen_features_again_gives_the_same_bank(normal_images, monkeypatch, projection_dimension):
    hyperparameters = {"projection_dimension": projection_dimension, "batch_size": 3}
    kept = create("patchcore", **hyperparameters).fit(normal_images)
    passes = []
    monkeypatch.setattr(patchcore, "FEATURE_BYTES", 0)
    monkeypatch.setattr(patchcore, "track", lambda items, description: passes.append(description) or items)
    again = create("patchcore", **hyperparameters).fit(normal_images)
    assert torch.equal(again.memory_, kept.memory_)
    assert torch.equal(again.memory_image_, kept.memory_image_)
    assert len(passes) == (1 if projection_dimension is None else 2)  # vectors compared as they are, are kept


def test_the_bank_are_the_patches_that_the_selection_over_all_features_chooses(normal_images):
    detector = create("patchcore", coreset_fraction=0.05, batch_size=3, seed=2).fit(normal_images)
    patches = torch.cat([detector.patches(batch) for batch in normal_images.split(3)])
    vectors = patches.permute(0, 2, 3, 1).flatten(0, 2)  # (n h w, C)
    generator = torch.Generator().manual_seed(2)
    start = int(torch.randint(len(vectors), (1,), generator=generator))
    projected = vectors @ torch.randn(vectors.shape[1], 128, generator=generator) / 128**0.5
    chosen = patchcore.greedy_k_centre(projected, int(0.05 * len(vectors)), start).sort().values
    assert torch.equal(detector.memory_, vectors[chosen])
    assert torch.equal(detector.memory_image_, chosen // (len(vectors) // len(normal_images)))


def test_fitting_again_forgets_the_first_bank(normal_images, test_images):
    detector = create("patchcore").fit(normal_images[:2])
    detector.predict(test_images)
    again = detector.fit(normal_images[2:]).predict(test_images)
    fresh = create("patchcore").fit(normal_images[2:]).predict(test_images)
    assert np.array_equal(again.scores, fresh.scores)


def test_a_bank_of_one_image_cannot_leave_it_out(normal_images):
    with pytest.raises(ValueError, match="nothing remains"):
        create("patchcore").fit(normal_images[:1]).features(normal_images[:1], "difference", own=[0])


@pytest.mark.parametrize(("name", "value"), [("coreset_fraction", 0), ("coreset_fraction", 1.5), ("patch_size", 2)])
def test_a_hyperparameter_out_of_range_raises(name, value):
    with pytest.raises(ValueError, match=name):
        create("patchcore", **{name: value})


def test_reweighting_the_maximum_of_a_map_raises():
    with pytest.raises(ValueError, match='image_score "patch"'):
        create("patchcore", reweighting_neighbours=9)
