import torch

from iadlib.ensemble import stored as module
from iadlib.ensemble.feature import FeatureEnsemble
from iadlib.ensemble.stored import stored

SETTINGS = {"patchcore": {"layers": (2, 3)}, "simplenet": {"epochs": 1, "layers": (3,)}}


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
