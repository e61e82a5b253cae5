"""The running average of weights: what is validated, saved and used of every model in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


@dataclass(frozen=True)
class _MovingAverage:
    """An exponential moving average of weights; unlike torch's own function it can be pickled."""

    decay: float

    def __call__(self, average: Any, present: Any, steps: Any) -> None:
        get_ema_multi_avg_fn(self.decay)(average, present, steps)


def running_average(module: nn.Module, decay: float) -> AveragedModel:
    """Return a copy of `module` that will follow its weights (Polyak & Juditsky 1992).

    Args:
        module: in training.
        decay: share of the average that a step keeps.
    """
    average = AveragedModel(module, multi_avg_fn=_MovingAverage(decay))
    average.requires_grad_(False)
    return average


def update_average(average: AveragedModel, module: nn.Module, step: int) -> None:
    """Take in the weights of `module` after its training step number `step`, from 1.

    `AveragedModel.update_parameters` does the same after a wait for the GPU to say which step it
    is.
    """
    if step <= 1:
        average.update_parameters(module)  # a copy
        return
    multi_avg_fn: Any = average.multi_avg_fn
    multi_avg_fn(list(average.module.parameters()), list(module.parameters()), average.n_averaged)
    average.n_averaged.add_(1)
