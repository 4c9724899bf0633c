"""What every detector promises, whatever its method."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from iadlib.detectors import DETECTORS, create
from iadlib.features import load_network

# Settings small enough for a test; every detector of the study needs an entry.
SMALL = {
    "patchcore": {"coreset_fraction": 0.2},
    "simplenet": {
        "hidden_channels": 64,
        "noise_std": 3.0,
        "epochs": 20,
        "training_batch_size": 128,
        "adapter_learning_rate": 0.001,
        "discriminator_learning_rate": 0.002,
    },
    "padim": {"channels": 20},
    "reverse_distillation": {"blocks": (1, 1, 1, 1), "epochs": 10},
    "asymmetric_student_teacher": {
        "standardise": True,
        "teacher_blocks": 2,
        "teacher_hidden_channels": 16,
        "student_blocks": 1,
        "student_hidden_channels": 32,
        "teacher_epochs": 10,
        "student_epochs": 10,
    },
    "csflow": {"standardise": True, "layer": 3, "kernel_sizes": (3, 3), "hidden_channels": 32, "epochs": 10},
    "draem": {
        "reconstructive_width": 4,
        "discriminative_width": 4,
        "perlin_octaves": 2,
        "perlin_threshold": 0.1,
        "lowest_opacity": 0.8,
        "steps": 100,
        "training_batch_size": 4,
        "learning_rate": 0.002,
        "smoothing_sigma": 4,
    },
    "anoddpm": {"channels": (16, 32), "layers_per_level": 1, "steps": 60, "reverse_steps": 2, "average_decay": 0.9},
}
CUTS = [
    ("patchcore", "embedding"),
    ("patchcore", "difference"),
    ("simplenet", "embedding"),
    ("simplenet", "adapted"),
    ("padim", "embedding"),
    ("padim", "deviation"),
    ("reverse_distillation", "embedding"),
    ("reverse_distillation", "difference"),
    ("asymmetric_student_teacher", "embedding"),
    ("asymmetric_student_teacher", "latent"),
    ("asymmetric_student_teacher", "difference"),
    ("csflow", "embedding"),
    ("csflow", "latent"),
    ("draem", "residual"),
    ("draem", "discriminative"),
    ("anoddpm", "residual"),
]


@pytest.fixture(scope="module", params=list(DETECTORS))
def fitted(request, normal_images):
    name = request.param
    return name, create(name, **SMALL[name], batch_size=3).fit(normal_images[:6], normal_images[6:])


def test_prediction_has_one_score_and_one_map_an_image(fitted, test_images):
    prediction = fitted[1].predict(test_images)
    assert prediction.scores.shape == (4,)
    assert prediction.maps.shape == (4, 64, 48)
    assert prediction.scores.dtype == prediction.maps.dtype == np.float32
    assert np.isfinite(prediction.maps).all()


def test_defective_images_score_higher_than_the_same_images_without_the_defect(fitted, test_images):
    scores = fitted[1].predict(test_images).scores
    assert (scores[2:] > scores[:2]).all()


def test_maps_are_highest_at_the_defect(fitted, test_images):
    maps = fitted[1].predict(test_images).maps[2:]
    rows, columns = np.unravel_index(maps.reshape(2, -1).argmax(1), maps.shape[1:])
    assert ((rows >= 36) & (rows < 52) & (columns >= 20) & (columns < 36)).all()


def test_same_seed_gives_the_same_bits(fitted, normal_images, test_images):
    name, detector = fitted
    again = create(name, **SMALL[name], batch_size=3).fit(normal_images[:6], normal_images[6:])
    assert np.array_equal(again.predict(test_images).maps, detector.predict(test_images).maps)


def test_a_saved_detector_predicts_the_same_after_loading_into_a_new_object(fitted, test_images, tmp_path):
    name, detector = fitted
    detector.save(tmp_path / "detector.safetensors")
    loaded = create(name, **SMALL[name], batch_size=3).load(tmp_path / "detector.safetensors")
    before, after = detector.predict(test_images), loaded.predict(test_images)
    assert np.array_equal(before.scores, after.scores)
    assert np.array_equal(before.maps, after.maps)
    assert [path.name for path in tmp_path.iterdir()] == ["detector.safetensors"]


def test_saving_twice_gives_the_same_bytes(fitted, tmp_path):
    for index in range(8):  # the order of a file's metadata is drawn anew for every file, where there are several
        fitted[1].save(tmp_path / f"{index}.safetensors")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_loading_what_other_hyperparameters_saved_raises(fitted, tmp_path):
    name, detector = fitted
    detector.save(tmp_path / "detector.safetensors")
    with pytest.raises(ValueError, match="saved by"):
        create(name, **SMALL[name], seed=1).load(tmp_path / "detector.safetensors")


def test_the_same_weights_under_another_path_do_not_keep_a_detector_from_loading(fitted, test_images, tmp_path):
    name, detector = fitted
    known = {field.name for field in fields(detector)}
    elsewhere = {"textures": "another/folder"} if "textures" in known else {}
    if "checkpoint" in known:
        elsewhere["checkpoint"] = str(tmp_path / "weights.pth")
        torch.save(load_network(detector.backbone).state_dict(), elsewhere["checkpoint"])
    detector.save(tmp_path / "detector.safetensors")
    loaded = create(name, **SMALL[name], batch_size=3, **elsewhere).load(tmp_path / "detector.safetensors")
    assert np.array_equal(loaded.predict(test_images).maps, detector.predict(test_images).maps)


def test_the_phases_are_the_history_of_the_loss_in_order(fitted):
    name, detector = fitted
    phases = detector.phases
    assert bool(phases) == ("losses_" in detector.learned)
    if phases:
        assert torch.equal(torch.cat(list(phases.values())), detector.losses_)
        assert all(len(losses) for losses in phases.values())
    with pytest.raises(RuntimeError, match="fit or load"):
        create(name, **SMALL[name]).phases  # noqa: B018


def test_loading_a_truncated_file_names_it(fitted, tmp_path):
    name, detector = fitted
    path = tmp_path / "detector.safetensors"
    detector.save(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"detector\.safetensors"):
        create(name, **SMALL[name]).load(path)


def test_a_detector_that_has_learned_nothing_says_so(fitted, test_images):
    with pytest.raises(RuntimeError, match="fit or load"):
        create(fitted[0], **SMALL[fitted[0]]).predict(test_images)


def test_inputs_stay_untouched(fitted, normal_images, test_images):
    name = fitted[0]
    train, test = normal_images.clone(), test_images.clone()
    create(name, **SMALL[name]).fit(train[:6], train[6:]).predict(test)
    assert torch.equal(train, normal_images)
    assert torch.equal(test, test_images)


def test_image_scores_do_not_depend_on_the_batch(fitted, test_images):
    detector = fitted[1]
    alone = np.concatenate([detector.predict(image[None]).scores for image in test_images])
    np.testing.assert_allclose(alone, detector.predict(test_images).scores, rtol=1e-4)


@pytest.mark.parametrize(
    "images",
    [torch.rand(2, 1, 64, 48), torch.rand(3, 64, 48), torch.full((1, 3, 64, 48), 255.0), torch.rand(0, 3, 64, 48)],
    ids=["grey", "no batch", "not in [0, 1]", "empty"],
)
def test_what_is_no_batch_of_images_raises(fitted, images):
    with pytest.raises(ValueError, match=r"images|image given"):
        fitted[1].predict(images)


def test_not_a_number_in_an_image_raises(fitted, test_images):
    images = test_images.clone()
    images[0, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="images lie in"):
        fitted[1].predict(images)


@pytest.mark.parametrize("name", list(DETECTORS))
def test_an_unknown_hyperparameter_raises_and_hints_at_the_likeliest(name):
    with pytest.raises(ValueError, match="did you mean 'smoothing_sigma'"):
        create(name, smoothing_sgima=3)


def test_an_unknown_detector_raises():
    with pytest.raises(ValueError, match="there are patchcore"):
        create("patchcor")


def test_features_at_a_cut_are_one_vector_a_patch(fitted, test_images):
    name, detector = fitted
    for cut in (cut for method, cut in CUTS if method == name):
        features = detector.features(test_images, cut)
        assert features.ndim == 4
        assert len(features) == 4
        assert features.dtype == torch.float32
    with pytest.raises(ValueError, match="no cut"):
        detector.features(test_images, "scroes")


def test_every_detector_and_cut_is_in_this_test():
    assert set(SMALL) == set(DETECTORS)
    assert set(CUTS) == {(name, cut) for name in DETECTORS for cut in type(create(name)).cuts}
