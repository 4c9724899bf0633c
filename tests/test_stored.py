import pytest
import torch

from iadlib import stored as module
from iadlib.detectors import create
from iadlib.ensemble.feature import FeatureEnsemble
from iadlib.stored import stored

SETTINGS = {"patchcore": {"layers": (2, 3)}, "simplenet": {"epochs": 1, "layers": (3,)}}
DETECTORS = {
    "simplenet": {"epochs": 1},
    "component_counts": {"repetitions": 2},
    "reverse_distillation": {"layers": (1, 2), "blocks": (1, 1, 1), "epochs": 1},
    "gcad": {"steps": 2},
    "csflow": {"layer": 2, "epochs": 1},
    "asymmetric_student_teacher": {"teacher_epochs": 1, "student_epochs": 1},
}


def test_maps_in_a_file_are_those_in_memory(monkeypatch):
    batches = [[torch.rand(2, 3, 4, 5), torch.rand(2, 6, 1, 1)] for _ in range(3)]
    kept = stored(batches, 6)
    monkeypatch.setattr(module, "FEATURE_BYTES", 0)
    for one, other, position in zip(kept, stored(batches, 6), range(2), strict=True):
        assert torch.equal(one, torch.cat([maps[position] for maps in batches]))
        assert torch.equal(one, other)
        assert one.stride() == other.stride()


def test_an_ensemble_whose_maps_lie_in_files_learns_the_same(monkeypatch, normal_images):
    def fitted():
        members = {"patchcore": "difference", "simplenet": "adapted"}
        ensemble = FeatureEnsemble(members=members, settings=SETTINGS, steps=3, device="cpu")
        return ensemble.fit(normal_images, normal_images[:4]).state_dict()

    expected = fitted()
    monkeypatch.setattr(module, "FEATURE_BYTES", 0)
    assert all(torch.equal(value, expected[name]) for name, value in fitted().items())


@pytest.fixture
def in_files(monkeypatch) -> list[int]:
    """All maps lie in files from now on; the list of the files' sizes."""
    sizes, reserve = [], module._reserve
    monkeypatch.setattr(module, "FEATURE_BYTES", 0)
    monkeypatch.setattr(module, "_reserve", lambda file, size: sizes.append(size) or reserve(file, size))
    return sizes


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_whose_features_lie_in_files_learns_the_same(name, normal_images, request):
    def fitted():
        return create(name, **DETECTORS[name], batch_size=3, device="cpu").fit(normal_images).state_dict()

    expected = fitted()
    sizes = request.getfixturevalue("in_files")
    assert all(torch.equal(value, expected[key]) for key, value in fitted().items())
    assert sizes


def test_images_that_the_student_takes_as_they_are_need_no_file(in_files, normal_images):
    detector = create("gcad", student_layer=None, steps=1, device="cpu").fit(normal_images)
    targets = detector._features(normal_images)[1]
    assert in_files == [targets.nbytes]
