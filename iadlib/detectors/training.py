"""The training loop that all detectors with learned weights share.

Schedules are fixed: training ends after a given number of steps, without early stopping. Batches come from shuffled
passes over the samples; the last batch of a pass is left out if it is smaller. On a CPU the same seed gives the same
bits. The history of the loss stays on the device, so that a GPU need not wait after every step.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from iadlib.progress import track

STEPS_BETWEEN_CHECKS = 100  # on a GPU, where a check whether the loss is finite makes the next step wait


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed PyTorch's random numbers inside the block, and restore their state after it."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def train(
    loss: Callable[..., Tensor],
    samples: Sequence[Tensor],
    optimisers: Sequence[torch.optim.Optimizer],
    *,
    steps: int,
    batch_size: int,
    seed: int,
    device: torch.device,
    description: str,
    schedulers: Sequence[torch.optim.lr_scheduler.LRScheduler] = (),
    max_gradient_norm: float | None = None,
    average_decay: float | None = None,
    after_step: Callable[[], None] | None = None,
) -> Tensor:
    """Minimise `loss(*batch)` for a number of steps, and return its history (steps,), on the CPU.

    `samples` are tensors of equal length; every batch takes the same entries of each and is moved to `device`. Random
    numbers in `loss` should come from PyTorch's own generator, which is seeded with `seed`. Every scheduler makes one
    step after each step of the optimisers. Gradients of all parameters together are clipped to `max_gradient_norm`.
    With `average_decay`, the parameters end as the moving averages of their values; the decay at step n is at most
    (1 + n) / (10 + n), so that an average does not keep the untrained weights. `after_step` is called after each step.
    Raises `RuntimeError` if a loss is not finite, on a GPU up to STEPS_BETWEEN_CHECKS steps later.
    """
    count = len(samples[0])
    batch_size = min(batch_size, count)
    parameters = [p for optimiser in optimisers for group in optimiser.param_groups for p in group["params"]]
    interval = 1 if device.type == "cpu" else STEPS_BETWEEN_CHECKS
    history = torch.empty(steps, device=device)
    averages = None if average_decay is None else [parameter.detach().clone() for parameter in parameters]
    with seeded(seed):
        batches = _batches(count, batch_size)
        for step in track(range(steps), description):
            chosen = next(batches)
            value = loss(*(sample[chosen].to(device, non_blocking=True) for sample in samples))
            history[step] = value.detach()
            if (step + 1) % interval == 0 or step + 1 == steps:
                _require_finite(history[: step + 1], description)
            for optimiser in optimisers:
                optimiser.zero_grad(set_to_none=True)
            value.backward()
            if max_gradient_norm is not None:
                nn.utils.clip_grad_norm_(parameters, max_gradient_norm)
            for optimiser in optimisers:
                optimiser.step()
            for scheduler in schedulers:
                scheduler.step()
            if averages is not None:
                weight = 1 - min(average_decay, (1 + step) / (10 + step))
                for average, parameter in zip(averages, parameters, strict=True):
                    average.lerp_(parameter.detach(), weight)
            if after_step is not None:
                after_step()
    if averages is not None:
        for average, parameter in zip(averages, parameters, strict=True):
            parameter.data.copy_(average)
    return history.cpu()


def _require_finite(history: Tensor, description: str) -> None:
    if not history.isfinite().all():
        step = int((~history.isfinite()).nonzero()[0])
        raise RuntimeError(f"{description}: the loss is no longer finite from step {step} on")


def _batches(count: int, batch_size: int) -> Iterator[Tensor]:
    while True:
        yield from (batch for batch in torch.randperm(count).split(batch_size) if len(batch) == batch_size)
