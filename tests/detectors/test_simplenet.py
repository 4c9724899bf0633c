import pytest
import torch

from iadlib.detectors.simplenet import SimpleNet, truncated_l1

SMALL = {"hidden_channels": 16, "noise_std": 0.5, "epochs": 2, "most_steps": None, "training_batch_size": 64}


def test_the_loss_is_zero_beyond_the_margin_and_linear_within():
    margin = 0.5
    assert truncated_l1(torch.tensor([0.5, 3.0]), torch.tensor([-0.5, -9.0]), margin) == 0
    assert truncated_l1(torch.tensor([0.0]), torch.tensor([-0.5]), margin) == 0.5
    assert truncated_l1(torch.tensor([0.5]), torch.tensor([0.25]), margin) == 0.75
    answers = torch.tensor([0.6, 0.4], requires_grad=True)
    truncated_l1(answers, torch.tensor([-1.0]), margin).backward()
    assert answers.grad.tolist() == [0.0, -0.5]


def test_adapter_and_discriminator_learn_and_the_backbone_does_not(normal_images):
    detector = SimpleNet(**SMALL)
    before = [parameter.clone() for parameter in detector._backbone.network.parameters()]
    detector.build()
    fresh = [p.clone() for module in (detector.adapter_, detector.discriminator_) for p in module.parameters()]
    detector.fit(normal_images)
    learned = [p for module in (detector.adapter_, detector.discriminator_) for p in module.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, detector._backbone.network.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(fresh, learned, strict=True))
    assert not any(p.requires_grad for p in learned)


def test_the_moving_average_of_the_weights_is_kept(normal_images):
    last, none, average = (
        SimpleNet(**SMALL, average_decay=decay).fit(normal_images).adapter_.weight for decay in (None, 0.0, 1.0)
    )
    torch.testing.assert_close(none, last)
    assert SimpleNet().average_decay == 1.0
    assert (average - last).abs().max() > 1e-4


def test_the_adapter_is_one_linear_map_of_every_patch_for_itself(normal_images):
    detector = SimpleNet(**SMALL).fit(normal_images)
    embedding, adapted = (detector.features(normal_images[:2], cut) for cut in ("embedding", "adapted"))
    expected = torch.einsum("dc,nchw->ndhw", detector.adapter_.weight, embedding)
    torch.testing.assert_close(adapted, expected + detector.adapter_.bias.view(-1, 1, 1), rtol=1e-4, atol=1e-3)


def test_the_codes_image_score_is_the_largest_patch_score(normal_images):
    detector = SimpleNet(**SMALL, image_score="patch").fit(normal_images)
    scores = dict(detector.stations(normal_images[:3]))["scores"]
    assert detector.predict(normal_images[:3]).scores.tolist() == pytest.approx(scores.amax(dim=(1, 2, 3)).tolist())


def test_outputs_are_positive_for_normal_features_and_negative_for_noisy_ones(normal_images):
    rates = {"adapter_learning_rate": 0.0001, "discriminator_learning_rate": 0.005}
    detector = SimpleNet(**SMALL | {"noise_std": 2.0, "epochs": 20}, **rates).fit(normal_images)
    adapted = detector.features(normal_images, "adapted").permute(0, 2, 3, 1).flatten(0, 2)
    noisy = adapted + 2.0 * torch.randn(adapted.shape, generator=torch.Generator().manual_seed(0))
    assert (detector.discriminator_(adapted) > 0).float().mean() > 0.9
    assert (detector.discriminator_(noisy) < 0).float().mean() > 0.9
    assert detector.losses_[-1] < 0.5 * detector.losses_[0]


def test_training_ends_at_epochs_or_most_steps_whichever_is_first(normal_images):
    steps = {
        most: len(SimpleNet(**SMALL | {"most_steps": most}).fit(normal_images).losses_) for most in (None, 1000, 3)
    }
    assert steps[None] == steps[1000] == 2 * (8 * 8 * 6 // 64)  # epochs of 8 images of 8 x 6 patches
    assert steps[3] == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("patch_size", 2),
        ("hidden_channels", 0),
        ("epochs", 0),
        ("most_steps", 0),
        ("noise_std", 0),
        ("training_batch_size", 1),
        ("average_decay", 2),
    ],
)
def test_a_hyperparameter_out_of_range_raises(name, value):
    with pytest.raises(ValueError, match=name):
        SimpleNet(**{name: value})
