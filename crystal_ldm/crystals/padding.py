"""Joining and choosing the rows of padded arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crystal_ldm.config.numbers import short
from crystal_ldm.crystals.elements import electronegativity_rank, symbols
from crystal_ldm.errors import DataError

Values = Tensor | list[Any]
"""A condition's values, one a row: a float tensor (B,) or (B, 2), or a list."""


def chosen_rows(index: Any, size: int) -> Tensor:
    """Return the rows (n,) int64 of `size` that an index, a slice, a list or a mask chooses.

    Raises:
        DataError: if it is none of them.
        IndexError: for a row that does not exist.
    """
    every = np.arange(size)
    try:
        if not isinstance(index, slice):
            index = np.asarray(index.cpu() if isinstance(index, Tensor) else index)
            index = index if index.size else index.astype(np.int64)
        chosen = np.atleast_1d(every[index])
        if chosen.ndim > 1:
            raise ValueError("several axes")
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        if "out of bounds" in str(error):
            raise IndexError(f"The batch of {size} has no such crystal: {error}.") from None
        raise DataError(
            "A batch is indexed by a number, a slice, a list of numbers or a mask of "
            f"{size} values, not {short(index)}."
        ) from None
    return torch.from_numpy(chosen.copy())


def atom_mask(num_atoms: Tensor, width: int) -> Tensor:
    """Return (B, width) bool, True where there is one of the atoms (B,)."""
    return torch.arange(width, device=num_atoms.device) < num_atoms.unsqueeze(1)


def take(values: Any, rows: Tensor) -> Any:
    """Return the chosen rows of a tensor or list."""
    if isinstance(values, Tensor):
        return values[rows.to(values.device)]
    return [values[i] for i in rows.tolist()]


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Return a tensor on `device`; the way to a GPU does not wait for what it is doing."""
    if torch.device(device).type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def pad(tensor: Tensor, width: int) -> Tensor:
    """Return a tensor (B, N, ...) with zeros up to N = `width`."""
    return torch.nn.functional.pad(
        tensor, (*(0, 0) * (tensor.ndim - 2), 0, width - tensor.shape[1])
    )


def plain_list(values: Values) -> list[Any]:
    """Return values as a list of Python's own."""
    return values.tolist() if isinstance(values, Tensor) else list(values)


def join(values: Sequence[Values]) -> Values:
    """Return the values of several batches, one after the other."""
    if all(isinstance(v, Tensor) for v in values):
        tensors = [v for v in values if isinstance(v, Tensor)]
        if any(t.ndim == 2 for t in tensors):  # a single target is a range of no width
            tensors = [t if t.ndim == 2 else t.unsqueeze(1).expand(-1, 2) for t in tensors]
        return torch.cat(tensors)
    return [x for v in values for x in plain_list(v)]


def reduced_formula(numbers: Sequence[int]) -> str:
    """Return the reduced formula of atomic numbers, by electronegativity; 0 is written `?`."""
    unique, counts = np.unique(np.asarray(numbers), return_counts=True)
    divisor = int(np.gcd.reduce(counts)) if len(counts) else 1
    rank = electronegativity_rank()
    pairs = sorted(zip(unique, counts, strict=True), key=lambda p: (p[0] == 0, rank[p[0]]))
    return "".join(f"{symbols()[z]}{c // divisor if c > divisor else ''}" for z, c in pairs)
