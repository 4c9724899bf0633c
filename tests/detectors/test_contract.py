"""What every detector guarantees, whatever its method."""

import functools
import json
from dataclasses import fields

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from iadlib.detectors import DETECTORS, create, detector_class, name_of, titles
from iadlib.ensemble import OutputEnsemble
from iadlib.features import load_network
from iadlib.types import Prediction

# Settings that fit in an instant and learn next to nothing, for tests that fit anew.
TINY = {
    "simplenet": {"hidden_channels": 8, "epochs": 1},
    "padim": {"channels": 10},
    "reverse_distillation": {"epochs": 2},
    "asymmetric_student_teacher": {"teacher_blocks": 1, "teacher_epochs": 2, "student_blocks": 1, "student_epochs": 2},
    "csflow": {"kernel_sizes": (3,), "hidden_channels": 8, "epochs": 2},
    "draem": {"reconstructive_width": 4, "discriminative_width": 4, "steps": 3},
    "anoddpm": {"channels": (8, 16), "steps": 2, "reconstructions": 1},
    "component_counts": {"repetitions": 1},
    "gcad": {"hidden_channels": 8, "steps": 2},
}


def assert_same(first: Prediction, second: Prediction) -> None:
    """All bits of two predictions are the same."""
    assert np.array_equal(first.scores, second.scores)
    assert (first.maps is None and second.maps is None) or np.array_equal(first.maps, second.maps)


def test_prediction_has_one_score_for_each_image_and_one_map_where_the_detector_localises(fitted, judged_images):
    prediction = fitted.predict(judged_images)
    assert prediction.scores.shape == (4,)
    assert prediction.scores.dtype == np.float32
    assert np.isfinite(prediction.scores).all()
    if not fitted.localises:
        assert prediction.maps is None
        return
    assert prediction.maps.shape == (4, 96, 64)
    assert prediction.maps.dtype == np.float32
    assert np.isfinite(prediction.maps).all()


def test_defaults_score_defective_images_higher_than_the_same_images_without_the_defect(fitted, judged_images):
    scores = fitted.predict(judged_images).scores
    assert (scores[2:] > scores[:2]).all()


def test_defaults_give_maps_that_are_higher_at_the_defect(fitted, judged_images):
    if not fitted.localises:
        pytest.skip("the method cannot say where an anomaly is")
    maps = fitted.predict(judged_images).maps
    gain = maps[2:] - maps[:2]
    inside = np.zeros((96, 64), bool)
    inside[52:72, 28:48] = True
    assert (gain[:, inside].mean(axis=1) > 1.5 * gain[:, ~inside].mean(axis=1)).all()


@pytest.mark.parametrize("with_validation", [True, False])
def test_same_seed_gives_the_same_bits_and_inputs_stay_untouched(name, with_validation, training_images, judged_images):
    train, validation, test = training_images[:6].clone(), training_images[6:8].clone(), judged_images.clone()
    given = (train, validation) if with_validation else (train,)
    first, second = (create(name, **TINY.get(name, {})).fit(*given).predict(test) for _ in range(2))
    assert_same(first, second)
    assert torch.equal(train, training_images[:6])
    assert torch.equal(validation, training_images[6:8])
    assert torch.equal(test, judged_images)


def test_a_saved_detector_predicts_the_same_after_loading(fitted, name, settings, judged_images, tmp_path):
    fitted.save(tmp_path / "detector.safetensors")
    loaded = create(name, **settings).load(tmp_path / "detector.safetensors")
    assert_same(fitted.predict(judged_images), loaded.predict(judged_images))
    assert loaded.image_size_ == (96, 64)
    assert [path.name for path in tmp_path.iterdir()] == ["detector.safetensors"]


def test_saving_twice_gives_the_same_bytes(fitted, tmp_path):
    for index in range(3):
        fitted.save(tmp_path / f"{index}.safetensors")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_loading_what_other_hyperparameters_saved_raises_and_names_them(fitted, name, settings, tmp_path):
    fitted.save(tmp_path / "detector.safetensors")
    with pytest.raises(ValueError, match=r"detector\.safetensors: saved by \w+ with seed 0, but this one has seed 1"):
        create(name, **settings, seed=1).load(tmp_path / "detector.safetensors")


def test_loading_what_another_detector_saved_raises(fitted, name, tmp_path):
    other = next(other for other in DETECTORS if other != name)
    fitted.save(tmp_path / "detector.safetensors")
    with pytest.raises(ValueError, match=f"saved by {DETECTORS[name]}, but this is {DETECTORS[other]}"):
        create(other).load(tmp_path / "detector.safetensors")


def test_files_under_other_paths_do_not_prevent_loading(fitted, name, settings, judged_images, tmp_path):
    elsewhere = {field: str(tmp_path / "another") for field in fitted.paths}
    if "checkpoint" in elsewhere:
        torch.save(load_network(fitted.backbone).state_dict(), elsewhere["checkpoint"])
    fitted.save(tmp_path / "detector.safetensors")
    loaded = create(name, **settings, **elsewhere).load(tmp_path / "detector.safetensors")
    assert_same(loaded.predict(judged_images), fitted.predict(judged_images))


@pytest.mark.parametrize("kept", [-10, 0])
def test_loading_a_truncated_or_empty_file_names_it(fitted, name, settings, tmp_path, kept):
    path = tmp_path / "detector.safetensors"
    fitted.save(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"detector\.safetensors"):
        create(name, **settings).load(path)


def test_losses_are_the_history_of_the_loss_by_phase(fitted, name):
    losses = fitted.losses
    assert bool(losses) == ("losses_" in fitted.learned)
    if losses:
        assert torch.equal(torch.cat(list(losses.values())), fitted.losses_)
        assert all(len(each) for each in losses.values())
    with pytest.raises(RuntimeError, match="call fit or load first"):
        create(name).losses  # noqa: B018


def test_an_unfitted_detector_says_so(name, judged_images):
    with pytest.raises(RuntimeError, match="call fit or load first"):
        create(name).predict(judged_images)


def test_image_scores_do_not_depend_on_the_batch(fitted, judged_images):
    alone = np.concatenate([fitted.predict(image[None]).scores for image in judged_images])
    np.testing.assert_allclose(alone, fitted.predict(judged_images).scores, rtol=1e-4)


def test_features_at_a_cut_are_vectors_of_the_kind_that_the_class_names(fitted, judged_images):
    for cut, kind in fitted.cuts.items():
        features = fitted.features(judged_images, cut)
        assert features.ndim == 4
        assert len(features) == 4
        assert features.dtype == torch.float32
        assert (features.shape[2:] == (1, 1)) == (cut in fitted.whole)
        assert kind in ("features", "distance", "deviation")
        if kind != "features":
            assert (features.min() >= 0) == (kind == "distance")
            distance = features.norm(dim=1).amax(dim=(1, 2))
            assert (distance[2:] > distance[:2]).all()
    with pytest.raises(ValueError, match="no cut"):
        fitted.features(judged_images, "scroes")


@pytest.mark.parametrize(
    "images",
    [
        torch.rand(2, 1, 96, 64),
        torch.rand(2, 96, 64, 3),
        torch.rand(3, 96, 64),
        torch.full((1, 3, 96, 64), 255.0),
        torch.full((1, 3, 96, 64), torch.nan),
        torch.rand(0, 3, 96, 64),
    ],
    ids=["grey", "channels last", "no batch", "not in [0, 1]", "not a number", "empty"],
)
def test_what_is_no_batch_of_images_raises(fitted, images):
    with pytest.raises(ValueError, match=r"\(N, 3, 96, 64\), not|must lie in \[0, 1\]|no image given"):
        fitted.predict(images)


def test_images_of_another_size_raise_with_both_sizes(fitted):
    message = r"images are 64 x 96 pixels \(height x width\), but the detector was fitted to 96 x 64"
    with pytest.raises(ValueError, match=message):
        fitted.predict(torch.rand(1, 3, 64, 96))
    with pytest.raises(ValueError, match=message):
        fitted.features(torch.rand(1, 3, 64, 96), next(iter(fitted.cuts)))


def test_validation_images_of_another_size_raise_before_training(name, training_images):
    with pytest.raises(ValueError, match="fitted to 96 x 64"):
        create(name).fit(training_images, training_images[..., :32])


def test_zero_where_one_is_the_least_raises_and_names_the_field(name):
    present = {each.name for each in fields(detector_class(name))}
    for field in present & {"batch_size", "training_batch_size", "learning_rate", "epochs", "steps"}:
        with pytest.raises(ValueError, match=f"^{field} 0"):
            create(name, **{field: 0})


@pytest.mark.parametrize("sigma", [-1, 1e8, float("nan")])
def test_smoothing_that_no_photograph_needs_raises(name, sigma):
    with pytest.raises(ValueError, match="smoothing_sigma"):
        create(name, smoothing_sigma=sigma)


def test_an_unknown_hyperparameter_raises_and_hints_at_the_likeliest(name):
    with pytest.raises(ValueError, match=f"^{name}: .* did you mean 'smoothing_sigma'"):
        create(name, smoothing_sgima=3)


def test_a_hyperparameter_of_another_type_raises(name):
    with pytest.raises(ValueError, match=f"^{name}: seed is '1', not a whole number"):
        create(name, seed="1")


def test_an_unknown_detector_raises():
    with pytest.raises(ValueError, match="there are patchcore"):
        create("patchcor")


def test_detectors_are_found_by_name_and_named_by_class():
    assert [name_of(create(name)) for name in DETECTORS] == list(DETECTORS)
    assert list(titles()) == list(DETECTORS)
    assert len(set(titles().values())) == len(DETECTORS)


def test_the_fields_that_are_paths_exist(name):
    known = {field.name for field in fields(detector_class(name))}
    assert set(detector_class(name).paths) <= known
    assert ("checkpoint" in known) == ("checkpoint" in detector_class(name).paths)


@pytest.mark.parametrize("left_out", ["memory_image_", "image_size_"])
def test_a_file_of_an_older_version_is_refused_by_name(left_out, normal_images, tmp_path):
    create("patchcore").fit(normal_images).save(tmp_path / "detector.safetensors")
    with safe_open(tmp_path / "detector.safetensors", framework="pt") as file:
        state = {key: file.get_tensor(key) for key in set(file.keys()) - {left_out}}
        save_file(state, tmp_path / "older.safetensors", metadata=file.metadata())
    with pytest.raises(ValueError, match=f"older.safetensors: saved by an older version, without {left_out}; fit"):
        create("patchcore").load(tmp_path / "older.safetensors")


@pytest.mark.parametrize(
    ("detector", "left_out"),
    [
        (create("patchcore"), "image_score"),
        (create("feature_ensemble", members={"padim": "deviation"}, steps=2), "settings.padim.patch_size"),
        (OutputEnsemble(members={"padim": {"layers": (2,)}}), "members.padim.patch_size"),
    ],
)
def test_a_file_without_a_hyperparameter_is_refused_by_name(detector, left_out, normal_images, tmp_path):
    detector.fit(normal_images[:6], normal_images[6:]).save(tmp_path / "detector.safetensors")
    with safe_open(tmp_path / "detector.safetensors", framework="pt") as file:
        described = json.loads(file.metadata()["detector"])
        *above, last = left_out.split(".")
        del functools.reduce(dict.get, above, described["hyperparameters"])[last]
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    save_file(state, tmp_path / "older.safetensors", metadata={"detector": json.dumps(described)})
    with pytest.raises(ValueError, match=f"saved by an older version, without {left_out}; fit"):
        detector.load(tmp_path / "older.safetensors")
