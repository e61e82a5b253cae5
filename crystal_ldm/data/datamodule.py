"""Batches of crystals of similar size, the same ones for the same seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import DataLoader, Sampler

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.data.dataset import CrystalDataset
from crystal_ldm.errors import DataError
from crystal_ldm.random import crystal_generator


def bucketed_batches(
    num_atoms: np.ndarray,
    batch_size: int,
    seed: int | np.random.Generator = 0,
    max_tokens: int | None = None,
    epoch: int = 0,
) -> list[np.ndarray]:
    """Return every index once, in batches of crystals of (nearly) the same size, in random order.

    Indices are shuffled, sorted by size, cut into batches, and the batches shuffled: padding occurs
    only where a batch spans two sizes, and which crystals meet changes with the epoch.

    Args:
        num_atoms: (n,) atoms of each crystal.
        batch_size: most crystals in a batch.
        seed: with `epoch`, decides the order; a generator is used as it is.
        max_tokens: most atoms in a batch, padding included; a larger crystal comes alone.
        epoch: number of the pass over the data.

    Raises:
        DataError: if a size is below 1.
    """
    if batch_size < 1 or (max_tokens is not None and max_tokens < 1):
        raise DataError("batch_size and max_tokens must be at least 1.")
    rng = seed if isinstance(seed, np.random.Generator) else crystal_generator(seed, epoch)
    sizes = np.asarray(num_atoms)
    order = rng.permutation(len(sizes))
    order = order[np.argsort(sizes[order], kind="stable")]
    batches, start = [], 0
    while start < len(order):
        stop = min(start + batch_size, len(order))
        if max_tokens is not None:
            # Sizes ascend, so a batch of k crystals has k times the size of its last one.
            padded = np.arange(1, stop - start + 1) * sizes[order[start:stop]]
            stop = start + max(1, int(np.searchsorted(padded, max_tokens, side="right")))
        batches.append(order[start:stop])
        start = stop
    return [batches[i] for i in rng.permutation(len(batches))]


class BucketSampler(Sampler[list[int]]):
    """Batch sampler over `bucketed_batches`; `set_epoch` (called by Lightning) reshuffles."""

    def __init__(
        self,
        num_atoms: np.ndarray,
        batch_size: int,
        seed: int = 0,
        max_tokens: int | None = None,
    ) -> None:
        self.num_atoms, self.batch_size = num_atoms, batch_size
        self.seed, self.max_tokens, self.epoch = seed, max_tokens, 0

    def set_epoch(self, epoch: int) -> None:
        """Use the order of `epoch` from the next iteration on."""
        self.epoch = epoch

    def _batches(self) -> list[np.ndarray]:
        return bucketed_batches(
            self.num_atoms, self.batch_size, self.seed, self.max_tokens, self.epoch
        )

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self._batches():
            yield batch.tolist()

    def __len__(self) -> int:
        return len(self._batches())


class CrystalDataModule(pl.LightningDataModule):
    """Loaders of `CrystalBatch` for the parts of a data set.

    Args:
        dataset: the crystals.
        batch_size: most crystals in a batch.
        seed: decides the order of the training batches.
        max_tokens: most atoms in a batch, padding included.
    """

    def __init__(
        self,
        dataset: CrystalDataset,
        batch_size: int = 256,
        seed: int = 0,
        max_tokens: int | None = None,
    ) -> None:
        super().__init__()
        self.dataset, self.batch_size = dataset, batch_size
        self.seed, self.max_tokens = seed, max_tokens

    def train_dataloader(self) -> DataLoader[CrystalBatch]:
        """Return the training part, in a new order each epoch."""
        return self._loader("train")

    def val_dataloader(self) -> DataLoader[CrystalBatch]:
        """Return the part that chooses checkpoints, always in the same order."""
        return self._loader("val")

    def test_dataloader(self) -> DataLoader[CrystalBatch]:
        """Return the part that is reported, always in the same order."""
        return self._loader("test")

    def _loader(self, part: str) -> DataLoader[CrystalBatch]:
        rows = self.dataset.indices(part)
        sampler = BucketSampler(
            self.dataset.num_atoms[rows], self.batch_size, self.seed, self.max_tokens
        )
        return DataLoader(rows, batch_sampler=sampler, collate_fn=self.dataset.batch)  # type: ignore[arg-type]
