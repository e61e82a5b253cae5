"""The nearest neighbours of each atom, periodic images included."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.cell import Cell

NEIGHBOURS = 12
RADIUS_A = 8.0
_CROWDED_A3 = 2.0


def nearest_neighbours(
    crystal: Cell, count: int = NEIGHBOURS
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the nearest neighbours of each atom within 8 Å, periodic images included.

    Returns:
        Indices (N, M) and distances in Å (N, M), the nearest first; where there are too few, atom 0
        at 9 Å, as in CGCNN.

    Raises:
        ValueError: if the atoms are so crowded that the search would need unbounded memory.
    """
    n = len(crystal.numbers)
    if crystal.volume / n < _CROWDED_A3:
        raise ValueError(f"less than {_CROWDED_A3:g} Å³ for each atom")
    centres, others, _, distances = crystal.to_structure().get_neighbor_list(RADIUS_A)
    indices = np.zeros((n, count), dtype=np.int64)
    lengths = np.full((n, count), RADIUS_A + 1.0)
    order = np.lexsort((distances, centres))
    centres, others, distances = centres[order], others[order], distances[order]
    starts = np.searchsorted(centres, np.arange(n + 1))
    for atom in range(n):
        stop = min(starts[atom + 1], starts[atom] + count)
        nearest = slice(starts[atom], stop)
        indices[atom, : stop - starts[atom]] = others[nearest]
        lengths[atom, : stop - starts[atom]] = distances[nearest]
    return indices, lengths
