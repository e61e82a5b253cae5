"""Crystals in few bytes: a model file carries those of its training set.

An atom takes four bytes (its atomic number, and coordinates in 240ths of the cell's axes, which
hold multiples of 1/16, 1/3 and 1/5 exactly), a cell twelve; then LZMA halves them.
"""

from __future__ import annotations

import lzma
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.lattice import lattice_to_log, log_to_lattice

GRID = 240
"""Points along an axis: coordinates are off by 1/480 at most."""
_LATTICE_STEPS = 1024  # of S (`crystals.lattice`): lengths are off by half a per mille at most


def pack(crystals: CrystalBatch) -> torch.Tensor:
    """Return crystals as uint8 (L,); coordinates and lattices are rounded, the order is kept."""
    assert crystals.frac_coords is not None and crystals.lattices is not None
    mask = crystals.mask
    sizes = crystals.num_atoms.numpy().astype(np.uint8)
    numbers = crystals.atomic_numbers[mask].numpy().astype(np.uint8)
    coords = (crystals.frac_coords[mask].double() * GRID).round().long() % GRID
    cells = (lattice_to_log(crystals.lattices.double()) * _LATTICE_STEPS).round()
    columns = [
        np.array([len(sizes)], dtype="<u4"),
        sizes,
        numbers,
        *coords.numpy().astype(np.uint8).T,
        *_halves(cells.numpy().astype("<i2")),
    ]
    content = b"".join(np.ascontiguousarray(column).tobytes() for column in columns)
    packed = lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)
    return torch.from_numpy(np.frombuffer(packed, dtype=np.uint8).copy())


def unpack(packed: torch.Tensor) -> CrystalBatch:
    """Return the crystals of `pack`.

    Raises:
        ValueError: if the bytes are not those of crystals.
    """
    if packed.dtype != torch.uint8 or packed.ndim != 1:
        raise ValueError(f"These are no packed crystals ({packed.dtype}, {packed.ndim} axes).")
    try:
        content = lzma.decompress(packed.cpu().numpy().tobytes())
        (count,) = np.frombuffer(content, dtype="<u4", count=1)
        sizes = np.frombuffer(content, dtype=np.uint8, count=count, offset=4)
        atoms = int(sizes.sum())
        rest = np.frombuffer(content, dtype=np.uint8, offset=4 + count)
        numbers, x, y, z = rest[: 4 * atoms].reshape(4, atoms)
        low, high = rest[4 * atoms :].reshape(2, 6, count)
    except (lzma.LZMAError, ValueError, IndexError) as error:
        raise ValueError(f"These are no packed crystals ({error}).") from None
    cells = (low.astype(np.uint16) | high.astype(np.uint16) << 8).view(np.int16).T
    mask = np.arange(sizes.max(initial=0)) < sizes[:, None]
    padded = np.zeros(mask.shape, dtype=np.int64)
    padded[mask] = numbers
    coords = np.zeros((*mask.shape, 3), dtype=np.float32)
    coords[mask] = np.stack([x, y, z], axis=1).astype(np.float32) / GRID
    lattices = log_to_lattice(torch.from_numpy(cells / _LATTICE_STEPS))
    return CrystalBatch(
        torch.from_numpy(padded),
        torch.from_numpy(sizes.astype(np.int64)),
        torch.from_numpy(coords),
        lattices.float(),
    )


def _halves(values: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the low and the high bytes (6, M) of int16 (M, 6): the latter hardly vary."""
    bits = np.ascontiguousarray(values.T).view(np.uint16)
    return [(bits & 255).astype(np.uint8), (bits >> 8).astype(np.uint8)]
