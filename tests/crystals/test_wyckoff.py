"""Multiplicities of Wyckoff positions against the International Tables, and which groups can be
filled by known crystals."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import spglib
from pymatgen.core import Structure

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.symmetry.space_groups import space_group
from crystal_ldm.crystals.symmetry.wyckoff import (
    can_fill,
    groups_to_fill,
    multiplicities,
    unfilled,
)


@pytest.mark.parametrize(
    ("group", "fixed", "free"),
    [  # International Tables for Crystallography A, divided by the points of the centring
        (1, (), (1,)),
        (2, ((1, 8),), (2,)),
        (62, ((4, 2),), (4, 8)),
        (141, ((2, 2), (4, 2)), (4, 8, 16)),
        (166, ((1, 2), (3, 2)), (2, 6, 12)),
        (194, ((2, 4), (6, 1)), (4, 6, 12, 24)),
        (225, ((1, 2), (2, 1), (6, 1)), (6, 8, 12, 24, 48)),
        (227, ((2, 2), (4, 2)), (8, 12, 24, 48)),
        (230, ((8, 2), (12, 2)), (16, 24, 48)),
    ],
)
def test_multiplicities_are_those_of_the_tables(
    group: int, fixed: tuple[tuple[int, int], ...], free: tuple[int, ...]
) -> None:
    assert (multiplicities(group).fixed, multiplicities(group).free) == (fixed, free)


def test_what_can_be_filled() -> None:
    perovskite = groups_to_fill([1, 1, 3])
    assert {1, 99, 221} <= set(perovskite) and not {62, 225, 227} & set(perovskite)
    assert can_fill(62, [4, 4, 12]) and not can_fill(62, [3, 3, 9])
    assert can_fill(225, [4, 4])  # the conventional cell of rock salt is four primitive ones
    assert not can_fill(225, [1, 1, 1])  # two positions for one atom each
    assert len(groups_to_fill([])) == 230
    assert unfilled([136, 221], [1, 1, 3]) == ""
    assert unfilled([136, 141], [1, 2]).endswith("; 6 atoms can fill P4_2/mnm")


def test_every_group_that_symmetry_shows_can_be_filled(known_crystals: list[Structure]) -> None:
    generator = np.random.default_rng(0)
    for structure in known_crystals:
        cell = Cell.from_structure(structure.get_primitive_structure())
        counts = list(Counter(np.asarray(cell.numbers).tolist()).values())
        assert can_fill(space_group(cell, 0.01) or 1, counts)
    for hall in generator.choice(np.arange(1, 531), 40, replace=False):
        operations = spglib.get_symmetry_from_database(int(hall))
        group = spglib.get_spacegroup_type(int(hall)).number
        points: list[tuple[str, tuple[float, ...]]] = []  # one orbit anywhere, one on an axis
        for element, seed in (("Fe", generator.random(3)), ("O", generator.random(3) * [1, 0, 0])):
            images = operations["rotations"] @ seed + operations["translations"]
            points += [(element, tuple(np.round(image % 1, 6) % 1)) for image in images]
        counts = Counter(element for element, _ in dict.fromkeys(points))
        assert can_fill(group, list(counts.values())), (hall, group, counts)
