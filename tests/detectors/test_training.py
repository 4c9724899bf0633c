from contextlib import nullcontext

import pytest
import torch
from torch import nn

from iadlib.detectors.training import train

SAMPLES = torch.arange(10.0).view(-1, 1)
SETTINGS = {"steps": 6, "batch_size": 4, "seed": 0, "device": torch.device("cpu"), "description": "a network"}


def descent(*weights, rate=1.0):
    return torch.optim.SGD(weights, lr=rate)


def learned(**settings):
    """The weights of a linear layer after training with noise on its answers, and the history."""
    torch.manual_seed(0)
    layer = nn.Linear(1, 1)

    def loss(batch):
        return (layer(batch) + torch.randn_like(batch)).square().mean()

    return layer.weight, train(loss, [SAMPLES], [descent(*layer.parameters(), rate=0.01)], **SETTINGS | settings)


def batches_of(**settings):
    """The values of every batch that the loss is given."""
    weight, batches = torch.zeros((), requires_grad=True), []

    def loss(batch):
        batches.append(batch.flatten().tolist())
        return weight * batch.mean()

    train(loss, [SAMPLES], [descent(weight)], **SETTINGS | settings)
    return batches


def test_the_same_seed_gives_the_same_history_and_weights_and_another_does_not():
    (weight, history), (same_weight, same_history), (_, other) = learned(), learned(), learned(seed=1)
    assert history.shape == (6,)
    assert torch.equal(history, same_history)
    assert torch.equal(weight, same_weight)
    assert not torch.equal(history, other)


@pytest.mark.parametrize("last", [1.0, torch.nan])
def test_the_callers_random_numbers_go_on_as_if_nothing_had_happened(last):
    weight, values = torch.zeros((), requires_grad=True), iter([1.0, last])
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    with pytest.raises(RuntimeError) if last != 1 else nullcontext():
        train(lambda _: weight + next(values) * torch.rand(()), [SAMPLES], [descent(weight)], **SETTINGS | {"steps": 2})
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_the_first_loss_that_is_not_finite_raises_with_its_step_and_moves_no_weight(bad):
    weight, values = torch.ones((), requires_grad=True), iter([1.0, 1.0, bad, 5.0])
    with pytest.raises(RuntimeError, match="a network: the loss is no longer finite from step 2 on"):
        train(lambda _: weight * next(values), [SAMPLES], [descent(weight, rate=0.25)], **SETTINGS)
    assert weight.item() == 0.5  # two steps of 0.25
    assert next(values) == 5.0  # nobody asked for the step after


def test_gradients_are_cut_off_at_the_norm_of_all_parameters_of_all_optimisers():
    one, other = (torch.zeros((), requires_grad=True) for _ in range(2))
    once = SETTINGS | {"steps": 1}

    def moved(**options):
        before = torch.stack([one, other]).detach()
        train(lambda _: 3 * one + 4 * other, [SAMPLES], [descent(one), descent(other)], **once, **options)
        return torch.stack([one, other]).detach() - before

    torch.testing.assert_close(moved(max_gradient_norm=0.5), torch.tensor([-0.3, -0.4]))
    torch.testing.assert_close(moved(max_gradient_norm=50.0), torch.tensor([-3.0, -4.0]))
    torch.testing.assert_close(moved(), torch.tensor([-3.0, -4.0]))


def test_a_last_smaller_batch_of_a_pass_is_left_out():
    batches = batches_of()  # two batches of 4 are a pass over the 10 samples
    assert [len(batch) for batch in batches] == [4] * 6
    passes = [batches[start] + batches[start + 1] for start in (0, 2, 4)]
    assert [len(set(values)) for values in passes] == [8] * 3
    assert passes[0] != passes[1]  # shuffled anew


def test_fewer_samples_than_a_batch_are_one_batch():
    assert [sorted(batch) for batch in batches_of(batch_size=64)] == [SAMPLES.flatten().tolist()] * 6


def test_a_batch_takes_the_same_entries_of_all_samples():
    weight, found = torch.zeros((), requires_grad=True), []

    def loss(batch, doubled):
        found.append(torch.equal(2 * batch, doubled))
        return weight * batch.mean()

    train(loss, [SAMPLES, 2 * SAMPLES], [descent(weight)], **SETTINGS)
    assert found == [True] * 6


def test_the_kept_parameters_are_moving_averages_that_forget_the_untrained_ones():
    def kept(decay, steps):
        weight = torch.zeros((), requires_grad=True)
        train(lambda _: -weight, [SAMPLES], [descent(weight)], average_decay=decay, **SETTINGS | {"steps": steps})
        return weight.item()

    assert kept(0.15, 2) == pytest.approx(0.15 * (0.1 * 0 + 0.9 * 1) + 0.85 * 2)  # 1 / 10, then 2 / 11 is above 0.15
    assert kept(1.0, 300) > 0.85 * 300  # about the last tenth


def test_schedulers_and_what_follows_a_step_run_once_a_step():
    weight, followed = torch.zeros((), requires_grad=True), []
    optimiser = descent(weight)
    train(
        lambda _: -weight,
        [SAMPLES],
        [optimiser],
        schedulers=[torch.optim.lr_scheduler.ExponentialLR(optimiser, gamma=0.5)],
        after_step=lambda: followed.append(weight.item()),
        **SETTINGS | {"steps": 3},
    )
    assert followed == [1.0, 1.5, 1.75]
