"""Prototypes: training crystals of similar formulas, with the elements of another in their places.

That a compound often has the structure of its chemical relatives is the oldest way of predicting
one (Hautier et al., Data Mined Ionic Substitutions, Inorg. Chem. 50, 656 (2011); prototype search
by machine learning: Kusaba et al., Comput. Mater. Sci. 211, 111496 (2022)).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.canonical import canonical_setting, standard_orientation
from crystal_ldm.crystals.element_distances import atomic_radii, element_distances

_REMEMBERED = 10_000
Counts = tuple[int, ...]
Cell = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]


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
    """

    def __init__(self, crystals: CrystalBatch) -> None:
        self.crystals = crystals
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
            if len(self._found) >= _REMEMBERED:
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
        distances = element_distances()[known[:, None], ways[None]] @ np.array(counts)
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

    def cell(self, prototype: Prototype) -> Cell:
        """Return lattice (3, 3) in Å, coordinates (n, 3) and atomic numbers (n,), canonical.

        The volume changes with the sum of the cubes of the atomic radii.
        """
        assert self.crystals.frac_coords is not None and self.crystals.lattices is not None
        size = int(self.crystals.num_atoms[prototype.row])
        old = self.crystals.atomic_numbers[prototype.row, :size].numpy()
        new = np.array(prototype.elements or [prototype.replaced[z] for z in old.tolist()])
        volumes = atomic_radii() ** 3
        scale = (volumes[new].sum() / volumes[old].sum()) ** (1 / 3)
        lattice = self.crystals.lattices[prototype.row].double().numpy() * scale
        coords = self.crystals.frac_coords[prototype.row, :size].double().numpy()
        lattice, coords, order = canonical_setting(lattice, coords, new)
        return standard_orientation(lattice), coords, new[order]


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
