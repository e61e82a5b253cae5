"""The order of training crystals, as a pure function of seed and step."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset

from crystal_ldm.crystals.padding import pad
from crystal_ldm.random import crystal_generator


def bucketed_batches(
    num_atoms: np.ndarray, batch_size: int, seed: int = 0, epoch: int = 0
) -> list[np.ndarray]:
    """Return every index once, in batches of crystals of (nearly) the same size, in random order.

    Indices are shuffled, sorted by size, cut into batches, and the batches shuffled: padding occurs
    only where a batch spans two sizes, and which crystals meet changes with the epoch.

    Args:
        num_atoms: (n,) atoms of each crystal.
        seed: with `epoch`, decides the order.
        epoch: number of the pass over the data.
    """
    rng = crystal_generator(seed, epoch)
    sizes = np.asarray(num_atoms)
    order = rng.permutation(len(sizes))
    order = order[np.argsort(sizes[order], kind="stable")]
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


class StepStream(IterableDataset):
    """Endless batches, bucketed by atom count and shuffled anew each epoch.

    The batch of a step depends on seed and step alone: a run that was stopped and resumed at any
    step sees the batches that an uninterrupted run would have seen. Of several processes that
    train together each gets its own rows of that batch, every `processes`-th one.

    Args:
        items: training crystals in memory, indexed by a tensor of rows.
        num_atoms: (M,) atoms of each of them.
        batch_size: crystals in a batch, over all processes.
    """

    def __init__(self, items: Any, num_atoms: np.ndarray, batch_size: int, seed: int) -> None:
        self.items = items
        self.num_atoms = num_atoms
        self.batch_size = batch_size
        self.seed = seed
        self.start_step = 0
        self.process, self.processes = 0, 1
        self._totals: dict[int, int] = {}

    def __iter__(self) -> Iterator[Any]:
        first = self._epoch(0)
        step = self.start_step
        epoch, position = divmod(step, len(first))
        while True:
            batches = self._epoch(epoch)
            for rows in batches[position:]:
                yield self._share(rows, step)
                step += 1
            epoch, position = epoch + 1, 0

    def batch_total(self, step: int) -> int:
        """Return the crystals of all processes at a step whose batch was drawn; ask once."""
        return self._totals.pop(step)

    def _share(self, rows: np.ndarray, step: int) -> Any:
        if self.processes == 1:
            return self.items[torch.as_tensor(rows)]
        self._totals[step] = len(rows)
        mine = rows[own_rows(len(rows), self.process, self.processes)]
        # Numbers are drawn in the shape of the whole batch, so its padding is kept.
        return _widened(self.items[torch.as_tensor(mine)], int(self.num_atoms[rows].max()))

    def _epoch(self, epoch: int) -> list[np.ndarray]:
        return bucketed_batches(self.num_atoms, self.batch_size, seed=self.seed, epoch=epoch)


def own_rows(total: int, process: int, processes: int) -> np.ndarray:
    """Return the rows of a batch of `total` crystals that a process trains on.

    Where there are more processes than crystals, the idle ones get the last crystal: each has to
    take part in every step (`LightningTraining` gives it no weight).
    """
    rows = np.arange(total)[process::processes]
    return rows if len(rows) else np.array([total - 1])


def _widened(batch: Any, width: int) -> Any:
    """Pad `VAEItems`, or a `LatentBatch`, to `width` atoms."""
    atoms = batch.crystals
    crystals = dataclasses.replace(
        atoms,
        atomic_numbers=pad(atoms.atomic_numbers, width),
        frac_coords=None if atoms.frac_coords is None else pad(atoms.frac_coords, width),
    )
    if hasattr(batch, "latents"):
        return dataclasses.replace(batch, crystals=crystals, latents=pad(batch.latents, width))
    return dataclasses.replace(batch, crystals=crystals)
