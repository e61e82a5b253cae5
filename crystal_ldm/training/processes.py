"""Several processes that train one model: together they do what one process would do.

Lightning starts the processes (`strategy="ddp"`, on one machine or under SLURM) and averages their
gradients. What is left to do: each process gets its share of every batch (`StepStream`), the random
numbers that these crystals would have got in one process, and a weight by the size of its share
(`LightningTraining`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch.overrides import TorchFunctionMode

from crystal_ldm.training.batches import own_rows

_DRAWS: Mapping[Callable[..., Any], int] = {torch.rand: 0, torch.randn: 0, torch.randint: 1}
"""Functions that draw random numbers, and where among their arguments the size begins."""


class SharedDraws(TorchFunctionMode):
    """Random numbers as one process would draw them for the whole batch; own rows are kept.

    While it is active, each draw from a generator whose first dimension is a multiple of the
    crystals here is made for all crystals of the batch, and the rows of the others are dropped.
    Draws of a few hundred numbers a crystal cost nothing beside a step of training.
    """

    def __init__(self, total: int, process: int, processes: int) -> None:
        super().__init__()
        self.total = total
        self.rows = torch.from_numpy(own_rows(total, process, processes))

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func not in _DRAWS or kwargs.get("generator") is None:
            return func(*args, **kwargs)
        start = _DRAWS[func]
        first = args[start]
        size = tuple(first) if isinstance(first, (tuple, list)) else tuple(args[start:])
        here = len(self.rows)
        if not size or size[0] % here:
            return func(*args, **kwargs)
        # A flat draw has several numbers for each crystal, one crystal after the other.
        each = size[0] // here
        drawn = func(*args[:start], (self.total * each, *size[1:]), **kwargs)
        return drawn.view(self.total, each, *size[1:])[self.rows].reshape(size)


def any_process(trainer: pl.Trainer, decision: bool) -> bool:
    """Return whether any process decided so: clocks differ, and all must do the same."""
    return trainer.strategy.reduce_boolean_decision(decision, all=False)


def sum_over_processes(trainer: pl.Trainer, values: Mapping[str, float]) -> dict[str, float]:
    """Return the sum of each value over all processes; the names must be the same in each."""
    if trainer.world_size == 1:
        return dict(values)
    here = torch.tensor(
        list(values.values()), dtype=torch.float64, device=trainer.strategy.root_device
    )
    total: Any = trainer.strategy.reduce(here, reduce_op="sum")
    return dict(zip(values, total.tolist(), strict=True))
