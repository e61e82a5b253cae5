"""Prototypes of a space group: training crystals whose orbits take the elements of a formula.

Where no crystal with as many atoms of each element has the group that is asked for, another one
with as many atoms in all may: its symmetry permutes atoms within orbits, and a formula fits if its
elements can be shared out among them. Such templates are how DiffCSP++ (Jiao et al., Space Group
Constrained Crystal Generation, ICLR 2024) starts; the space group and the occupied Wyckoff
positions come from a known crystal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.element_distances import element_distances
from crystal_ldm.crystals.prototype_search import Prototype
from crystal_ldm.crystals.space_groups import symmetry_dataset

_MOST_WAYS = 200
"""Ways to share out elements that are compared for each crystal."""


def orbit_prototypes(
    crystals: CrystalBatch, rows: Sequence[int], numbers: NDArray[np.int64], symprec: float
) -> list[Prototype]:
    """Return those of the crystals whose orbits a formula can fill, the nearest first.

    Args:
        crystals: training crystals in canonical form.
        rows: which of them have the group that is asked for, and as many atoms as the formula.
        numbers: (n,) atomic numbers of all atoms of the cell.
        symprec: tolerance of the symmetry, Å.
    """
    elements, counts = np.unique(numbers, return_counts=True)
    distances, prototypes = element_distances(), []
    for row in rows:
        old = crystals.atomic_numbers[row, : len(numbers)].numpy()
        orbits = _orbits(crystals, row, symprec)
        if not orbits:
            continue
        best: tuple[float, NDArray[np.int64]] | None = None
        for i, way in enumerate(_ways([len(orbit) for orbit in orbits], counts.tolist())):
            new = np.zeros(len(numbers), dtype=np.int64)
            for orbit, element in zip(orbits, way, strict=True):
                new[orbit] = elements[element]
            distance = float(distances[old, new].mean())
            if best is None or distance < best[0]:
                best = distance, new
            if i + 1 >= _MOST_WAYS:
                break
        if best is not None:
            prototypes.append(Prototype(row, best[0], {}, tuple(best[1].tolist())))
    return sorted(prototypes, key=lambda prototype: prototype.distance)


def _orbits(crystals: CrystalBatch, row: int, symprec: float) -> list[NDArray[np.int64]]:
    """Return which atoms symmetry exchanges, the largest orbit first."""
    (cell,) = crystals[[row]].to_cells()
    dataset = symmetry_dataset(cell, symprec)
    if dataset is None:
        return []
    labels = np.asarray(dataset.crystallographic_orbits)
    orbits = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return sorted(orbits, key=len, reverse=True)


def _ways(sizes: Sequence[int], counts: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield ways to give each orbit an element so that every element has its number of atoms."""
    left, way = list(counts), [0] * len(sizes)

    def place(orbit: int) -> Iterator[tuple[int, ...]]:
        if orbit == len(sizes):
            yield tuple(way)
            return
        for element in range(len(left)):
            if left[element] >= sizes[orbit]:
                left[element] -= sizes[orbit]
                way[orbit] = element
                yield from place(orbit + 1)
                left[element] += sizes[orbit]

    return place(0)
