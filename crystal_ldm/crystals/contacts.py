"""Whether neighbours are as far apart as those of their elements are in known crystals."""

from __future__ import annotations

import csv
import gzip
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.distances import pair_distances
from crystal_ldm.crystals.elements import atomic_number, covalent_radii

KNOWN_DISTANCES = Path(__file__).with_name("known_distances.csv.gz")
"""Shortest distance in Å of each two elements in the training crystals of the shipped models
(`python -m benchmarks.quality contacts --write`)."""
_OF_RADII = 0.84


@lru_cache(maxsize=1)
def usual_distances() -> NDArray[np.float64]:
    """Return how close atoms of each two elements come to each other, (119, 119), Å.

    It is the shortest distance in the training crystals of the shipped models, and where these have
    none, or none so near, 0.84 times the sum of the covalent radii (Cordero et al., Dalton Trans.
    2832 (2008)).
    """
    radii = covalent_radii()
    distances: NDArray[np.float64] = _OF_RADII * (radii[:, None] + radii[None])
    with gzip.open(KNOWN_DISTANCES, "rt", encoding="ascii") as file:
        for first, second, distance in csv.reader(file):
            a, b = atomic_number(first), atomic_number(second)
            shortest = min(distances[a, b], float(distance))
            distances[a, b] = distances[b, a] = shortest
    return distances


def closest_contact(crystal: Cell, distances: NDArray[np.float64] | None = None) -> float:
    """Return the smallest distance of two atoms in units of the usual one of their elements.

    Of real crystals that no training has seen 99.7 to 100 % are above 0.95.

    Args:
        crystal: the crystal.
        distances: what `pair_distances` says of it, where that is known; Å.

    Raises:
        ValueError: if the cell has no volume.
    """
    numbers = np.asarray(crystal.numbers)
    distances = pair_distances(crystal) if distances is None else distances
    return float((distances / usual_distances()[numbers[:, None], numbers]).min())
