"""Batches of crystals of similar size, the same ones for the same seed and epoch."""

from __future__ import annotations

import numpy as np

from crystal_ldm.errors import DataError
from crystal_ldm.random import crystal_generator


def bucketed_batches(
    num_atoms: np.ndarray, batch_size: int, seed: int = 0, epoch: int = 0
) -> list[np.ndarray]:
    """Return every index once, in batches of crystals of (nearly) the same size, in random order.

    Indices are shuffled, sorted by size, cut into batches, and the batches shuffled: padding occurs
    only where a batch spans two sizes, and which crystals meet changes with the epoch.

    Args:
        num_atoms: (n,) atoms of each crystal.
        batch_size: most crystals in a batch.
        seed: with `epoch`, decides the order.
        epoch: number of the pass over the data.

    Raises:
        DataError: if `batch_size` is below 1.
    """
    if batch_size < 1:
        raise DataError("batch_size must be at least 1.")
    rng = crystal_generator(seed, epoch)
    sizes = np.asarray(num_atoms)
    order = rng.permutation(len(sizes))
    order = order[np.argsort(sizes[order], kind="stable")]
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]
