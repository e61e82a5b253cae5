"""Neighbours of each atom as CGCNN takes them, and crystals as graphs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.cell import Cell

NEIGHBOURS = 12
RADIUS_A = 8.0
_CROWDED_A3 = 2.0


class CrystalGraph(NamedTuple):
    """A crystal as its atoms and their nearest neighbours.

    Attributes:
        numbers: atomic numbers, (N,).
        neighbours: atoms that are neighbours, (N, M), the nearest first.
        distances: to them in Å, (N, M).
        volume: Å³ for each atom.
    """

    numbers: NDArray[np.int64]
    neighbours: NDArray[np.int64]
    distances: NDArray[np.float32]
    volume: float


def nearest_neighbours(
    crystal: Cell, count: int = NEIGHBOURS, radius: float = RADIUS_A
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the nearest neighbours of each atom, periodic images included.

    Args:
        crystal: any cell.
        count: number of neighbours, M.
        radius: no neighbour lies beyond it, Å; the places of missing ones point to atom 0 at
            `radius` + 1 Å, as in CGCNN.

    Returns:
        Indices (N, M) and distances in Å (N, M), the nearest first.

    Raises:
        ValueError: if the atoms are so crowded that the search would need unbounded memory.
    """
    n = len(crystal.numbers)
    if crystal.volume / n < _CROWDED_A3:
        raise ValueError(f"less than {_CROWDED_A3:g} Å³ for each atom")
    centres, others, _, distances = crystal.to_structure().get_neighbor_list(radius)
    indices = np.zeros((n, count), dtype=np.int64)
    lengths = np.full((n, count), radius + 1.0)
    order = np.lexsort((distances, centres))
    centres, others, distances = centres[order], others[order], distances[order]
    starts = np.searchsorted(centres, np.arange(n + 1))
    for atom in range(n):
        stop = min(starts[atom + 1], starts[atom] + count)
        found = slice(starts[atom], stop)
        indices[atom, : stop - starts[atom]] = others[found]
        lengths[atom, : stop - starts[atom]] = distances[found]
    return indices, lengths
