import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from iadlib.detectors.anoddpm import AnoDDPM, reverse_step

TINY = {
    "channels": (8, 16),
    "patch_size": 1,
    "steps": 2,
    "reverse_steps": 2,
    "stochasticity": 1.0,
    "reconstructions": 1,
}
WHOLE = {"trained_timesteps": 1000, "depth": 500}


@pytest.fixture(scope="module")
def fitted(normal_images):
    return AnoDDPM(**TINY).fit(normal_images)


def weights_of(network):
    return torch.cat([parameter.flatten() for parameter in network.parameters()])


def test_gaussian_noise_has_unit_variance_and_independent_pixels():
    noise = AnoDDPM(**TINY, noise="gaussian")._noise(20, 64, 64, torch.Generator().manual_seed(0))
    assert abs(float(noise.var()) - 1) < 0.02
    assert abs(float((noise[..., 1:] * noise[..., :-1]).mean())) < 0.02


@pytest.mark.parametrize("noise", ["simplex", "gaussian"])
@pytest.mark.parametrize("step", [1, 250, 1000])
def test_q_has_the_mean_and_variance_of_the_schedule(noise, step):
    detector = AnoDDPM(**TINY, noise=noise, octaves=3, largest_structure=8)
    signal = np.prod(1 - np.linspace(1e-4, 0.02, 1000)[:step])  # equation 4 of DDPM
    generator = torch.Generator().manual_seed(0)
    image = torch.linspace(-1, 1, 32 * 32).view(1, 1, 32, 32).expand(1, 3, 32, 32)
    drawn = [detector.diffused(image, detector._noise(8, 32, 32, generator), step) for _ in range(50)]
    difference = torch.cat(drawn) - signal**0.5 * image
    scale = (1 - signal) ** 0.5
    assert abs(float(difference.mean())) < 0.05 * scale
    assert float(difference.mean(dim=0).abs().max()) < 0.35 * scale  # at every pixel; 400 draws, standard error 0.05
    assert abs(float(difference.var()) / scale**2 - 1) < 0.05


def test_a_depth_of_zero_returns_the_image(normal_images, test_images):
    detector = AnoDDPM(**TINY | {"reverse_steps": 1}, depth=0).fit(normal_images[:2])
    assert torch.equal(detector.reconstruct(test_images), test_images)
    prediction = detector.predict(test_images)  # errors of 0, relative to errors of 0
    assert not prediction.maps.any()
    assert not prediction.scores.any()
    torch.testing.assert_close(detector.diffused(test_images, torch.randn(4, 3, 64, 48), 0), test_images)


@pytest.mark.parametrize("stochasticity", [0.0, 0.5, 1.0])
def test_a_step_back_agrees_with_the_scheduler_of_diffusers(stochasticity):
    scheduler = DDIMScheduler(beta_schedule="linear", clip_sample=True)
    scheduler.set_timesteps(20)
    noised, estimate, fresh = (torch.randn(2, 3, 8, 6) for _ in range(3))
    options = {"eta": stochasticity, "variance_noise": fresh, "use_clipped_model_output": True}
    expected = scheduler.step(estimate, 251, noised, **options).prev_sample
    signal, following = (float(scheduler.alphas_cumprod[step]) for step in (251, 201))
    found = reverse_step(noised, estimate, signal, following, stochasticity, fresh)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_every_step_back_is_the_ancestral_sampling_of_ddpm():
    scheduler = DDPMScheduler(beta_schedule="linear", clip_sample=True)
    noised, estimate = torch.randn(2, 3, 8, 6), torch.randn(2, 3, 8, 6)
    signal, following = (float(scheduler.alphas_cumprod[t]) for t in (100, 99))
    alpha, beta = float(1 - scheduler.betas[100]), float(scheduler.betas[100])
    image = ((noised - (1 - signal) ** 0.5 * estimate) / signal**0.5).clamp(-1, 1)
    assert (image.abs() == 1).any()
    of_image, of_noised = following**0.5 * beta / (1 - signal), alpha**0.5 * (1 - following) / (1 - signal)
    mean = reverse_step(noised, estimate, signal, following, 1.0, 0.0)
    torch.testing.assert_close(mean, of_image * image + of_noised * noised, atol=1e-5, rtol=1e-4)  # equation 7 of DDPM
    moved = reverse_step(noised, estimate, signal, following, 1.0, 1.0)
    variance = beta * (1 - following) / (1 - signal)
    torch.testing.assert_close((moved - mean).mean(), torch.tensor(variance**0.5), rtol=1e-3, atol=0)


def test_a_perfect_estimate_of_the_noise_restores_the_image(test_images):
    detector = AnoDDPM(**TINY | WHOLE | {"reverse_steps": 5})
    detector.build()
    image = test_images * 2 - 1
    detector._estimate = lambda network, noised, step: (
        (noised - detector._signal[step].view(-1, 1, 1, 1).sqrt() * image)
        / (1 - detector._signal[step].view(-1, 1, 1, 1)).sqrt()
    )
    torch.testing.assert_close(detector.reconstruct(test_images), test_images, atol=1e-4, rtol=0)


def test_the_kept_weights_are_the_moving_average(normal_images):
    fresh = AnoDDPM(**TINY)
    fresh.build()
    weights = [weights_of(fresh.network_)]
    for steps in (1, 2):  # with a decay of 0, the weights themselves
        detector = AnoDDPM(**TINY | {"steps": steps}, learning_rate=0.01, average_decay=0.0).fit(normal_images)
        weights.append(weights_of(detector.network_))
    averaged = AnoDDPM(**TINY, learning_rate=0.01, average_decay=0.15).fit(normal_images)
    first, second = 0.1, 0.15  # 1 / 10, and then 2 / 11 is above the decay that was asked for
    expected = second * (first * weights[0] + (1 - first) * weights[1]) + (1 - second) * weights[2]
    assert (weights[2] - weights[0]).abs().max() > 0.01
    torch.testing.assert_close(weights_of(averaged.network_), expected, atol=1e-6, rtol=1e-4)


def missing_by(missed, **changes):
    """A detector whose reconstructions miss images of brightness 0, 0.01 and so on by `missed` (count, 1, H, W)."""
    detector = AnoDDPM(**TINY, **changes)
    detector.reconstruct = lambda images: images + missed[(100 * images[:, 0, 0, 0]).round().long()]
    return detector


def test_errors_are_relative_to_the_mean_of_training_images_at_the_same_place():
    images = (torch.arange(2.0) / 100).view(-1, 1, 1, 1).expand(-1, 3, 64, 48).contiguous()
    missed = torch.full((2, 1, 64, 48), 0.1)
    missed[0, :, :, :24] = 0.3  # the left half of one image
    relative, absolute = (
        dict(missing_by(missed, smoothing_sigma=0, **each).fit(images).stations(images))
        for each in ({}, {"relative_errors": False})
    )
    assert torch.equal(relative["residual"], absolute["residual"])
    torch.testing.assert_close(absolute["scores"][0, 0, 0, [0, 40]], torch.tensor([0.09, 0.01]))
    left, right = (0.09 + 0.01) / 2, 0.01
    mean = 0.2 * (left + right) / 2  # a fifth of the mean over all places
    expected = torch.tensor([0.09 / (left + mean), 0.01 / (right + mean)])
    torch.testing.assert_close(relative["scores"][0, 0, 0, [0, 40]], expected)


def test_errors_of_training_images_are_smoothed_and_no_more_than_asked_for_are_used():
    images = (torch.arange(100.0) / 100).view(-1, 1, 1, 1).expand(-1, 3, 64, 48).contiguous()
    missed = torch.zeros(100, 1, 64, 48)
    missed[:, :, :, 24:] = 1.0
    missed[torch.arange(100) % 3 != 0] = 100.0  # every third image is used
    errors = missing_by(missed, smoothing_sigma=2.0).fit(images).errors_[0, 0, 0]
    assert float(errors[0]) == pytest.approx(0.1, abs=1e-3)
    assert float(errors[-1]) == pytest.approx(1.1, abs=1e-3)
    assert (errors[18:30].diff() > 0).all()


def test_the_unet_learns_what_the_noise_is(normal_images):
    learning = TINY | {"steps": 60, "learning_rate": 0.005, "noise": "gaussian"}
    detector = AnoDDPM(**learning).fit(normal_images[..., :32, :32])
    assert detector.losses_.shape == (60,)
    assert detector.losses_[-10:].mean() < 0.6 * detector.losses_[0]
    assert not any(parameter.requires_grad for parameter in detector.network_.parameters())


def test_attention_stands_on_the_levels_named_and_its_heads_are_as_wide_as_fits_them_all():
    detector = AnoDDPM(**TINY | {"channels": (8, 8, 16, 16, 32, 32)}, attention=(3, 4, 5))
    detector.build()
    network = detector.network_
    blocks = [*network.down_blocks, network.mid_block, *reversed(network.up_blocks)]
    heads = [[a.heads for a in getattr(block, "attentions", None) or [] if a is not None] for block in blocks]
    on_levels = [[], [], [], [1], [2], [2]]  # of 16 channels each
    assert heads[:6] == on_levels
    assert heads[6] == [2]
    assert [sorted(set(found)) for found in heads[7:]] == on_levels


@pytest.mark.parametrize("size", [(33, 50), (64, 47), (16, 17)])
def test_any_size_is_padded_inside(fitted, size):
    assert fitted.reconstruct(torch.rand(1, 3, *size)).shape == (1, 3, *size)


def test_images_too_small_to_be_padded_raise():
    detector = AnoDDPM(**TINY | {"channels": (8, 8, 8, 8)})
    with pytest.raises(ValueError, match="more than 4 pixels are needed"):
        detector.fit(torch.rand(2, 3, 64, 4))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("noise", {"noise": "perlin"}),
        ("octaves", {"octaves": 4, "largest_structure": 8}),
        ("depth", {"depth": 500, "trained_timesteps": 400}),
        ("reverse_steps", {"reverse_steps": 300}),
        ("stochasticity", {"stochasticity": 2}),
        ("channels", {"channels": (12,)}),
        ("attention", {"channels": (8, 16), "attention": (2,)}),
        ("steps", {"steps": 0}),
    ],
)
def test_a_hyperparameter_out_of_range_raises(name, values):
    with pytest.raises(ValueError, match=name):
        AnoDDPM(**values)
