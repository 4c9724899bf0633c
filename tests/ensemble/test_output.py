import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from iadlib.detectors import create
from iadlib.ensemble import OutputEnsemble, output
from iadlib.ensemble.compositions import LEAST_WEIGHT
from iadlib.ensemble.output import cawpe, stacked
from iadlib.metrics.combining import WITH_WEIGHTS, combined, standardised


@pytest.mark.parametrize("combination", ["mean", "maximum", "vote"])
def test_it_predicts_as_a_detector_does(combination, normal_images, test_images):
    members = {"patchcore": {"coreset_fraction": 0.2}, "padim": {"channels": 20}}
    ensemble = OutputEnsemble(members=members, combination=combination).fit(normal_images[:6], normal_images[6:])
    found = ensemble.predict(test_images)
    assert found.maps.shape == (4, 64, 48)
    assert (found.scores[2:] > found.scores[:2]).all() or combination == "vote"
    assert (found.scores[2:] >= found.scores[:2]).all()


MEMBERS = {"patchcore": {"coreset_fraction": 0.2, "layers": (2, 3)}, "padim": {"channels": 20, "layers": (1, 2)}}


def test_it_is_what_its_members_say_combined_and_a_file_keeps_it(normal_images, test_images, tmp_path):
    train, validation = normal_images[:6], normal_images[6:]
    members = {name: create(name, **values).fit(train, validation) for name, values in MEMBERS.items()}
    predictions = [[member.predict(images) for member in members.values()] for images in (test_images, validation)]
    expected = combined(*predictions, "mean")
    ensemble = OutputEnsemble(members=MEMBERS).fit(train, validation)
    found = ensemble.predict(test_images)
    np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_array_equal(found.maps, expected.maps)
    ensemble.save(tmp_path / "ensemble.safetensors")
    loaded = OutputEnsemble(members=MEMBERS).load(tmp_path / "ensemble.safetensors").predict(test_images)
    np.testing.assert_array_equal(loaded.maps, expected.maps)
    np.testing.assert_array_equal(loaded.scores, expected.scores)
    taken = OutputEnsemble(members=MEMBERS, batch_size=3).fit(train, validation, fitted=members).predict(test_images)
    np.testing.assert_allclose(taken.maps, expected.maps, atol=1e-4)


@pytest.mark.parametrize("combination", WITH_WEIGHTS)
def test_a_member_that_finds_no_artificial_anomaly_has_little_weight(normal_images, monkeypatch, combination):
    train, validation = normal_images[:6], normal_images[6:]
    found = iter([(1.0, LEAST_WEIGHT), (LEAST_WEIGHT, 1.0)])

    def weights_of(normal, artificial, places):
        assert len(artificial.scores) == len(places) == 4 * len(normal.scores) == 4 * len(validation)
        return next(found)

    monkeypatch.setattr(output, "weights_of", weights_of)
    ensemble = OutputEnsemble(members=MEMBERS, combination=combination).fit(train, validation)
    first, second = (member.predict(validation) for member in ensemble.members_.detectors.values())
    together = ensemble.predict(validation)
    np.testing.assert_allclose(together.scores, standardised(first.scores, first.scores), atol=0.02)
    np.testing.assert_allclose(together.maps, standardised(second.maps, second.maps), atol=0.02)


LABELS = np.arange(60) % 2
GENERATOR = np.random.default_rng(0)
SCORES = np.stack([LABELS + GENERATOR.normal(0, 0.5, 60), GENERATOR.normal(0, 1, 60)], axis=1)


@pytest.mark.parametrize("combine", [stacked, cawpe])
def test_labelled_ensembles_follow_the_member_that_knows(combine):
    probabilities = combine(SCORES, LABELS, 5, 0)
    assert ((probabilities > 0) & (probabilities < 1)).all()
    assert roc_auc_score(LABELS, probabilities) > 0.85


@pytest.mark.parametrize("combine", [stacked, cawpe])
def test_no_image_is_judged_by_what_has_seen_its_label(combine, monkeypatch):
    labels, marks = LABELS[:12], np.eye(12)  # a mark for every image, which says nothing about the others
    assert abs(roc_auc_score(labels, combine(marks, labels, 3, 0)) - 0.5) < 0.2
    everything = np.arange(12)
    monkeypatch.setattr(output, "_folds", lambda *_: [(everything, everything)])
    assert roc_auc_score(labels, combine(marks, labels, 3, 0)) > 0.95  # the result if an image had


def test_fewer_images_of_a_class_than_folds_raise():
    with pytest.raises(ValueError, match="5 folds"):
        stacked(SCORES[:8], LABELS[:8], 5, 0)


def test_what_is_no_combination_raises():
    with pytest.raises(ValueError, match="one of mean, weighted mean, soft maximum, maximum, vote"):
        OutputEnsemble(members={"padim": {}}, combination="median")
    with pytest.raises(ValueError, match="members"):
        OutputEnsemble(members={})


def test_one_validation_image_is_refused_and_a_few_are_warned_of(normal_images):
    ensemble = OutputEnsemble(members={"pooled_gaussian": {}, "set_features": {}})
    with pytest.raises(ValueError, match="1 normal validation image: standardising the members' scores needs 2"):
        ensemble.fit(normal_images[:7], normal_images[7:])
    with pytest.warns(UserWarning, match="2 normal validation images: the spread of the members' scores is uncertain"):
        ensemble.fit(normal_images[:6], normal_images[6:])
