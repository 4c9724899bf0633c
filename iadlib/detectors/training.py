"""The one training loop that all learning detectors share.

Fixed schedules only: learning stops after so many steps, whatever any image says. Batches are drawn from shuffled
passes over the samples; a last, smaller batch of a pass is left out. On a CPU the same seed gives the same bits. The
history stays on the device while it grows: on a GPU nobody waits for a step's loss.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from iadlib.progress import track

STEPS_UNSEEN = 100  # on a GPU; looking whether a loss is finite makes the next step wait


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """PyTorch's random numbers start from `seed` inside, and go on outside as if nothing had happened."""
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
    after_step: Callable[[], None] | None = None,
) -> Tensor:
    """Minimise `loss(*batch)` for a number of steps, and return its history (steps,), on the CPU.

    `samples` are tensors of one length, of which every batch takes the same entries; they stay where they are and
    batches go to `device`. Whatever `loss` draws at random should come from PyTorch's own generator: it is seeded.
    Schedulers step once a step. `max_gradient_norm` is that of all parameters together. `after_step` may keep an
    average of weights. Raises at the first loss that is not finite, on a GPU up to STEPS_UNSEEN steps later.
    """
    count = len(samples[0])
    batch_size = min(batch_size, count)
    parameters = [p for optimiser in optimisers for group in optimiser.param_groups for p in group["params"]]
    unseen = 1 if device.type == "cpu" else STEPS_UNSEEN
    history = torch.empty(steps, device=device)
    with seeded(seed):
        batches = _batches(count, batch_size)
        for step in track(range(steps), description):
            chosen = next(batches)
            value = loss(*(sample[chosen].to(device, non_blocking=True) for sample in samples))
            history[step] = value.detach()
            if (step + 1) % unseen == 0 or step + 1 == steps:
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
            if after_step is not None:
                after_step()
    return history.cpu()


def _require_finite(history: Tensor, description: str) -> None:
    if not history.isfinite().all():
        step = int((~history.isfinite()).nonzero()[0])
        raise RuntimeError(f"{description}: the loss is no longer finite from step {step} on")


def _batches(count: int, batch_size: int) -> Iterator[Tensor]:
    while True:
        yield from (batch for batch in torch.randperm(count).split(batch_size) if len(batch) == batch_size)
