import math

import pytest
import torch

from iadlib.detectors.csflow import CrossScaleFlow, CSFlow, negative_log_likelihood

SMALL = {"kernel_sizes": (3, 3), "hidden_channels": 8, "epochs": 2, "image_score": "latent"}
GRIDS = [(5, 4), (3, 2), (2, 1)]


@pytest.fixture
def flow():
    torch.manual_seed(0)
    flow = CrossScaleFlow(5, (3, 5), 6, clamp=1.5).double()
    for block in flow.blocks:
        for network in (block.of_first, block.of_second):
            torch.nn.init.normal_(network.gamma)  # it starts at 0
    return flow.requires_grad_(False)


def drawn(count=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(count, 5, *grid, generator=generator, dtype=torch.float64) for grid in GRIDS]


def test_the_flow_inverts(flow):
    maps = drawn()
    latent, there = flow(maps)
    again, back = flow(latent, rev=True)
    assert all((a - b).abs().max() > 0.1 for a, b in zip(maps, latent, strict=True))
    for expected, found in zip(maps, again, strict=True):
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(back, -there)


def test_the_log_determinant_is_autograds(flow):
    maps = drawn(count=1)
    sizes = [m.numel() for m in maps]

    def flat(vector):
        parts = [part.view(m.shape) for part, m in zip(vector.split(sizes), maps, strict=True)]
        return torch.cat([z.flatten() for z in flow(parts)[0]])

    jacobian = torch.autograd.functional.jacobian(flat, torch.cat([m.flatten() for m in maps]))
    torch.testing.assert_close(flow(maps)[1], torch.linalg.slogdet(jacobian).logabsdet.view(1))


def test_a_fresh_flow_only_shuffles_channels():
    flow = CrossScaleFlow(5, (3,), 6, clamp=1.5)
    maps = [m.float() for m in drawn()]
    latent, log_determinant = flow(maps)
    assert torch.equal(log_determinant, torch.zeros(2))
    assert all(torch.equal(a.sort(dim=1).values, b.sort(dim=1).values) for a, b in zip(maps, latent, strict=True))


@pytest.mark.parametrize(("changed", "reached"), [(0, 1), (1, 0), (1, 2), (2, 1)])
def test_neighbouring_scales_depend_on_each_other(flow, changed, reached):
    maps, moved = drawn(), drawn()
    moved[changed] = moved[changed] + 1
    assert not torch.allclose(flow(maps)[0][reached], flow(moved)[0][reached])


def test_the_likelihood_is_the_standard_normals_by_change_of_variables(flow):
    maps = drawn()
    latent, log_determinant = flow(maps)
    dimensions = sum(m[0].numel() for m in maps)
    normal = torch.distributions.Normal(0.0, 1.0)
    log_likelihood = sum(normal.log_prob(z).flatten(1).sum(1) for z in latent) + log_determinant
    expected = -log_likelihood.mean() / dimensions - math.log(2 * math.pi) / 2
    torch.testing.assert_close(negative_log_likelihood(latent, log_determinant), expected)


def test_scores_are_z_squared(normal_images, test_images):
    detector = CSFlow(**SMALL).fit(normal_images)
    stations = dict(detector.stations(test_images))
    latent, _ = detector.flow_(detector._standardised(detector.pyramid(test_images)))
    whole = torch.cat([z.flatten(1) for z in latent], dim=1)
    torch.testing.assert_close(stations["image_scores"], whole.square().sum(1) / whole.shape[1])
    assert [tuple(z.shape[-2:]) for z in latent] == [(4, 3), (2, 2), (1, 1)]
    torch.testing.assert_close(stations["latent"][:, : latent[0].shape[1]], latent[0])
    torch.testing.assert_close(stations["latent"].square().sum(dim=1, keepdim=True) / 3, stations["scores"])
    detector.image_score = "map"
    prediction = detector.predict(test_images)
    assert prediction.scores.tolist() == prediction.maps.max(axis=(1, 2)).tolist()


def test_training_raises_the_likelihood(normal_images):
    losses = CSFlow(**SMALL | {"epochs": 30, "learning_rate": 0.01}).fit(normal_images).losses_
    assert losses[0] == pytest.approx(0.5, abs=0.05)  # standardised maps, and a flow that only shuffles
    assert losses[-1] < 0.4


def test_standardised_maps_have_no_mean_and_unit_spread(normal_images):
    detector = CSFlow(**SMALL).fit(normal_images)
    for maps in detector._standardised(detector.pyramid(normal_images)):
        torch.testing.assert_close(maps.mean(dim=(0, 2, 3)), torch.zeros(maps.shape[1]), atol=1e-4, rtol=0)
        assert ((maps.std(dim=(0, 2, 3)) - 1).abs() < 1e-3).float().mean() > 0.9  # a channel may be constant


@pytest.mark.parametrize("width", [20, 32])
def test_an_image_too_small_for_three_scales_raises(normal_images, width):
    with pytest.raises(ValueError, match="33 pixels or more are needed"):
        CSFlow(**SMALL).fit(normal_images[..., :width])


def test_an_image_just_large_enough_fits(normal_images):
    prediction = CSFlow(**SMALL).fit(normal_images[..., :33, :33]).predict(normal_images[:2, :, :33, :33])
    assert prediction.maps.shape == (2, 33, 33)


def test_a_layer_may_be_a_module(normal_images):
    named = CSFlow(**SMALL | {"layer": "blocks.4"}).pyramid(normal_images[:2])
    numbered = CSFlow(**SMALL).pyramid(normal_images[:2])
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(named, numbered, strict=True))


@pytest.mark.parametrize(
    ("name", "value"),
    [("image_score", "median"), ("kernel_sizes", (2,)), ("hidden_channels", 0), ("clamp", 0), ("epochs", 0)],
)
def test_a_hyperparameter_out_of_range_raises(name, value):
    with pytest.raises(ValueError, match=name):
        CSFlow(**{name: value})
