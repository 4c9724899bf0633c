import pytest
import torch

from iadlib.detectors import create
from iadlib.ensemble.members import Members, share_backbones

SETTINGS = {
    "patchcore": {"coreset_fraction": 0.2, "layers": (2, 3)},
    "simplenet": {"hidden_channels": 8, "noise_std": 3.0, "epochs": 1, "training_batch_size": 128, "layers": (2, 3)},
}
CUTS = {"patchcore": "embedding", "simplenet": "embedding"}


@pytest.fixture
def detectors(normal_images):
    return {name: create(name, **values).fit(normal_images) for name, values in SETTINGS.items()}


@pytest.fixture
def calls(monkeypatch):
    """Counts the passes of networks, from the moment when `watch` is called with one."""
    found = []

    def watch(network):
        run = network.forward_intermediates
        monkeypatch.setattr(network, "forward_intermediates", lambda *a, **k: found.append(1) or run(*a, **k))
        return found

    return watch


def test_members_with_the_same_backbone_run_it_once(detectors, normal_images, calls):
    members = Members(detectors, CUTS)
    apart = members.features(normal_images[:2])
    members.share_backbones()
    network = detectors["patchcore"]._backbone.network
    assert network is detectors["simplenet"]._backbone.network
    count = calls(network)
    together = members.features(normal_images[:2])
    assert len(count) == 1
    assert all(torch.equal(a, b) for a, b in zip(apart, together, strict=True))


def test_smaller_copies_that_a_member_looks_at_do_not_make_others_run_the_backbone_again(normal_images, calls):
    members = {name: create(name, **values).fit(normal_images) for name, values in SETTINGS.items()}
    flow = create("csflow", layer=2, kernel_sizes=(3,), hidden_channels=8, epochs=1).fit(normal_images)
    together = Members(
        {"patchcore": members["patchcore"], "csflow": flow, "simplenet": members["simplenet"]},
        CUTS | {"csflow": "embedding"},
    )
    expected = together.features(normal_images[:2])
    together.share_backbones()
    count = calls(flow._backbone.network)
    together.features(normal_images[2:4])
    found = together.features(normal_images[:2])
    assert len(count) == 2 * 3  # every batch, and two smaller copies
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_images_that_change_in_place_are_seen_again(detectors, normal_images):
    members = Members(detectors, CUTS)
    expected = members.maps(normal_images[2:4], 2)
    members.share_backbones()
    buffer = normal_images[:2].clone()
    members.maps(buffer, 2)
    buffer.copy_(normal_images[2:4])
    assert all(torch.equal(a, b) for a, b in zip(members.maps(buffer, 2), expected, strict=True))


def test_a_backbone_that_keeps_all_batches_sees_each_once(detectors, normal_images, calls):
    members = Members(detectors, CUTS)
    expected = members.maps(normal_images, 3)
    [shared] = share_backbones(detectors.values(), keep_all=True)
    count = calls(shared.backbone.network)
    for _ in range(2):
        found = members.maps(normal_images, 3)
    assert len(count) == 3
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_training_images_are_not_compared_with_their_own_patches(detectors, normal_images):
    members = Members({"patchcore": detectors["patchcore"]}, {"patchcore": "difference"})
    [own] = members.training_maps(normal_images, 3)
    [met] = members.maps(normal_images, 3)
    assert (met.abs().sum(dim=1) == 0).any()  # a patch that the coreset kept
    assert (own.abs().sum(dim=1) > 0).all()
