"""Which space groups a formula can have, by the multiplicities of their Wyckoff positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import gcd
from typing import Any

import numpy as np

from crystal_ldm.crystals.symmetry.space_groups import NUM_GROUPS, group_symbol, group_types

_MOST_TIMES = 24

_GRID = 24
"""Coordinates of all positions without a free parameter are multiples of 1/24, and each line and
plane has points among these that lie on no other one."""


@dataclass(frozen=True)
class Multiplicities:
    """How many atoms the Wyckoff positions of a group have in the primitive cell.

    Attributes:
        fixed: (multiplicity, how many such positions) of those without a free parameter, which at
            most one orbit of atoms can take each.
        free: multiplicities of the others.
    """

    fixed: tuple[tuple[int, int], ...]
    free: tuple[int, ...]


@cache
def multiplicities(group: int) -> Multiplicities:
    """Return the multiplicities of a group's Wyckoff positions, from spglib's operations.

    The operations that leave a point where it is are its site symmetry; its orbit has as many
    points as the group has operations for each of these, and the mean of their traces is the number
    of free parameters (International Tables for Crystallography A, section 1.4.4).

    Args:
        group: 1 to 230.
    """
    import spglib

    operations: Any = spglib.get_symmetry_from_database(group_types()[group - 1].hall_number)
    rotations = np.asarray(operations["rotations"], dtype=np.int16)
    shifts = np.rint(np.asarray(operations["translations"]) * _GRID).astype(np.int16)
    steps = np.arange(_GRID, dtype=np.int16)
    points = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    stays = np.zeros(len(points), dtype=np.int32)
    traces = np.zeros(len(points), dtype=np.int32)
    for rotation, shift in zip(rotations, shifts, strict=True):
        moved = points @ (rotation - np.eye(3, dtype=np.int16)).T + shift
        stay = ~np.any(moved % _GRID, axis=1)
        stays += stay
        traces += stay * int(np.trace(rotation))
    centring = int((rotations == np.eye(3)).all(axis=(1, 2)).sum())
    orbits = len(rotations) // stays
    fixed = [
        (int(orbit) // centring, int((orbits[traces == 0] == orbit).sum() // orbit))
        for orbit in np.unique(orbits[traces == 0])
    ]
    free = {int(orbit) // centring for orbit in np.unique(orbits[traces > 0])}
    return Multiplicities(tuple(fixed), tuple(sorted(free | {len(rotations) // centring})))


def can_fill(group: int, counts: Sequence[int]) -> bool:
    """Return whether atoms of so many of each element can stand on a group's Wyckoff positions.

    The cell of a request may hold several primitive cells, each with its share of the atoms.

    Args:
        group: 1 to 230.
        counts: atoms of each element in the cell.
    """
    if not counts:
        return True
    common = gcd(*counts)
    return any(
        _fills(multiplicities(group), tuple(sorted(count // cells for count in counts)))
        for cells in range(1, common + 1)
        if common % cells == 0
    )


def groups_to_fill(counts: Sequence[int]) -> list[int]:
    """Return the space groups that atoms of so many of each element can fill; see `can_fill`."""
    return [group for group in range(1, NUM_GROUPS + 1) if can_fill(group, counts)]


def unfilled(groups: Sequence[int], counts: Sequence[int]) -> str:
    """Return in words why none of some groups can be filled, and the smallest larger cell that can
    fill one; empty: one can be.

    Args:
        groups: 1 to 230 each, at least one.
        counts: atoms of each element in the cell.
    """
    if any(can_fill(group, counts) for group in groups):
        return ""
    names = ", ".join(f"{group_symbol(group)} ({group})" for group in groups[:3])
    larger = (
        f"; {times * sum(counts)} atoms can fill {group_symbol(group)}"
        for times in range(2, _MOST_TIMES + 1)
        for group in groups
        if can_fill(group, [times * count for count in counts])
    )
    numbers = ", ".join(map(str, sorted(counts)))
    return (
        f"the positions of {names} cannot be filled by {numbers} atoms of the elements in this "
        f"cell{next(larger, '')}"
    )


@cache
def _fills(positions: Multiplicities, counts: tuple[int, ...]) -> bool:
    if not counts:
        return True
    first, others = counts[0], counts[1:]
    sizes = [size for size, _ in positions.fixed]
    for taken in product(*(range(number + 1) for _, number in positions.fixed)):
        rest = first - sum(size * n for size, n in zip(sizes, taken, strict=True))
        if rest < 0 or not _sums(positions.free, rest):
            continue
        left = tuple((s, n - t) for (s, n), t in zip(positions.fixed, taken, strict=True))
        if _fills(Multiplicities(left, positions.free), others):
            return True
    return False


@cache
def _sums(sizes: tuple[int, ...], total: int) -> bool:
    """Return whether multiples of the sizes add up to a total."""
    return total == 0 or any(size <= total and _sums(sizes, total - size) for size in sizes)
