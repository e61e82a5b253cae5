"""Prototypes: training crystals of similar formulas, with the elements of another in their places.

That a compound often has the structure of its chemical relatives is the oldest way of predicting
one (Hautier et al., Data Mined Ionic Substitutions, Inorg. Chem. 50, 656 (2011); prototype search
by machine learning: Kusaba et al., Comput. Mater. Sci. 211, 111496 (2022)).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.canonical import canonical_setting, standard_orientation
from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.elements import atomic_radii, element_distances
from crystal_ldm.crystals.symmetry.space_groups import symmetry_dataset

REMEMBERED = 10_000
"""Formulas whose prototypes are kept in memory."""
_MOST_WAYS = 200
"""Ways to share out elements that are compared for each crystal."""
Counts = tuple[int, ...]


@dataclass(frozen=True)
class Prototype:
    """A training crystal that another formula may look like.

    Attributes:
        row: of the training crystals.
        distance: mean over atoms of the distance of the elements that are exchanged
            (`element_distances`).
        replaced: which atomic number takes the place of which.
        elements: atomic numbers of the atoms, where `replaced` does not say them all.
    """

    row: int
    distance: float
    replaced: dict[int, int]
    elements: tuple[int, ...] = ()


class PrototypeSearch:
    """Finds prototypes among crystals in canonical form.

    Those of a formula are crystals with as many elements and as many atoms of each; of the ways to
    exchange the elements the one with the smallest distance counts.

    Args:
        crystals: where to search.
        distances: of each two elements by atomic number, (119, 119); None: `element_distances`.
    """

    def __init__(
        self, crystals: CrystalBatch, distances: NDArray[np.float64] | None = None
    ) -> None:
        self.crystals = crystals
        self._distances = element_distances() if distances is None else distances
        found: dict[Counts, dict[tuple[int, ...], list[int]]] = defaultdict(dict)
        for row, (z, n) in enumerate(
            zip(crystals.atomic_numbers.numpy(), crystals.num_atoms.tolist(), strict=True)
        ):
            elements, counts = _composition(z[:n])
            found[counts].setdefault(elements, []).append(row)
        self._groups = {
            counts: (np.array(list(rows)), list(rows.values())) for counts, rows in found.items()
        }
        self._found: dict[tuple[bytes, int], list[Prototype]] = {}

    def nearest(self, numbers: NDArray[np.int64], count: int) -> list[Prototype]:
        """Return at most `count` prototypes of a formula, the nearest first.

        Args:
            numbers: (n,) atomic numbers of all atoms of the cell.
            count: how many.

        Crystals of the formula itself are none, and a formula with open atoms (0) has none. Of
        several crystals of one formula the first known is the first returned.
        """
        key = np.sort(numbers).tobytes(), count
        if key not in self._found:  # a thousand crystals of one formula ask once
            if len(self._found) >= REMEMBERED:
                self._found.clear()
            self._found[key] = self._nearest(numbers, count)
        return self._found[key]

    def count(self, numbers: NDArray[np.int64]) -> int:
        """Return how many crystals have as many elements and atoms of each as a formula (n,)."""
        _, rows = self._groups.get(_composition(numbers)[1], ((), []))
        return sum(map(len, rows))

    def _nearest(self, numbers: NDArray[np.int64], count: int) -> list[Prototype]:
        elements, counts = _composition(numbers)
        if 0 in elements or counts not in self._groups:
            return []
        known, rows = self._groups[counts]
        ways = np.array(list(_ways(elements, counts)))  # (P, kinds)
        distances = self._distances[known[:, None], ways[None]] @ np.array(counts)
        best = distances.argmin(axis=1)
        smallest = distances[np.arange(len(known)), best] / len(numbers)
        prototypes: list[Prototype] = []
        for i in np.argsort(smallest, kind="stable"):
            if len(prototypes) >= count:
                break
            if smallest[i] > 0:
                replaced = dict(zip(known[i].tolist(), ways[best[i]].tolist(), strict=True))
                prototypes += [Prototype(row, float(smallest[i]), replaced) for row in rows[i]]
        return prototypes[:count]

    def exchanged(
        self, prototype: Prototype
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], np.float64]:
        """Return the elements of a prototype's crystal, those in their places, both (n,), and the
        factor by which lengths change.

        The volume changes with the sum of the cubes of the atomic radii.
        """
        size = int(self.crystals.num_atoms[prototype.row])
        old = self.crystals.atomic_numbers[prototype.row, :size].numpy()
        new = np.array(prototype.elements or [prototype.replaced[z] for z in old.tolist()])
        volumes = atomic_radii() ** 3
        return old, new, (volumes[new].sum() / volumes[old].sum()) ** (1 / 3)

    def cell(self, prototype: Prototype) -> Cell:
        """Return the cell that a prototype gives its formula, canonical; see `exchanged`."""
        assert self.crystals.frac_coords is not None and self.crystals.lattices is not None
        _, new, scale = self.exchanged(prototype)
        size = len(new)
        lattice = self.crystals.lattices[prototype.row].double().numpy() * scale
        coords = self.crystals.frac_coords[prototype.row, :size].double().numpy()
        lattice, coords, order = canonical_setting(lattice, coords, new)
        return Cell(standard_orientation(lattice), coords, new[order])


def _composition(numbers: NDArray[np.int64]) -> tuple[tuple[int, ...], Counts]:
    """Return the elements and their numbers of atoms, the most frequent first."""
    elements, counts = np.unique(numbers, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return tuple(elements[order].tolist()), tuple(counts[order].tolist())


def _ways(elements: tuple[int, ...], counts: Counts) -> Iterator[tuple[int, ...]]:
    """Return all orders of the elements in which the numbers of atoms stay what they are."""
    alike = [
        list(permutations(e for e, c in zip(elements, counts, strict=True) if c == number))
        for number in sorted(set(counts), reverse=True)
    ]
    return (sum(way, ()) for way in product(*alike))


def orbit_prototypes(
    crystals: CrystalBatch, rows: Sequence[int], numbers: NDArray[np.int64], symprec: float
) -> list[Prototype]:
    """Return those of the crystals whose orbits a formula can fill, the nearest first.

    Where no crystal with as many atoms of each element has the group that is asked for, another one
    with as many atoms in all may: its symmetry permutes atoms within orbits, and a formula fits if
    its elements can be shared out among them. Such templates are how DiffCSP++ (Jiao et al., Space
    Group Constrained Crystal Generation, ICLR 2024) starts; the space group and the occupied
    Wyckoff positions come from a known crystal.

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
        for i, way in enumerate(_fillings([len(orbit) for orbit in orbits], counts.tolist())):
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


def _fillings(sizes: Sequence[int], counts: Sequence[int]) -> Iterator[tuple[int, ...]]:
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
