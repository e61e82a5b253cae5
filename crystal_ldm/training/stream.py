"""The order of training crystals, as a pure function of seed and step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import IterableDataset

from crystal_ldm.data.datamodule import bucketed_batches


class Items(Protocol):
    """Training crystals in memory, indexed by a tensor of rows."""

    def __getitem__(self, rows: torch.Tensor) -> Any: ...


class StepStream(IterableDataset):
    """Endless batches, bucketed by atom count and shuffled anew each epoch.

    The batch of a step depends on seed and step alone: a run that was stopped and resumed at any
    step sees the batches that an uninterrupted run would have seen.

    Args:
        items: training crystals, indexed by a tensor of rows.
        num_atoms: (M,) atoms of each of them.
        batch_size: crystals in a batch.
        seed: seed of the order.
    """

    def __init__(self, items: Items, num_atoms: np.ndarray, batch_size: int, seed: int) -> None:
        self.items = items
        self.num_atoms = num_atoms
        self.batch_size = batch_size
        self.seed = seed
        self.start_step = 0

    def __iter__(self) -> Iterator[Any]:
        first = self._epoch(0)
        epoch, position = divmod(self.start_step, len(first))
        while True:
            batches = self._epoch(epoch)
            for rows in batches[position:]:
                yield self.items[torch.as_tensor(rows)]
            epoch, position = epoch + 1, 0

    def _epoch(self, epoch: int) -> list[np.ndarray]:
        return bucketed_batches(self.num_atoms, self.batch_size, seed=self.seed, epoch=epoch)
