"""How close atoms come to each other in known crystals, and that others are told from these."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.geometry.distances import (
    closest_contact,
    pair_distances,
    shortest_distance,
    usual_distances,
)
from crystal_ldm.evaluate import evaluate
from crystal_ldm.evaluate.thresholds import Thresholds


def test_real_crystals_pass(known_crystals: list[Structure]) -> None:
    for structure in known_crystals:
        assert closest_contact(Cell.from_structure(structure)) > Thresholds().contact


def test_a_bond_far_shorter_than_known_ones_is_not_valid() -> None:
    """Rock salt with bonds of 1.6 Å: the field's 0.5 Å lets it pass, known MgO has 2.1."""
    real = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(4.21), ["Mg", "O"], [[0] * 3, [0.5] * 3]
    )
    dense = Structure(Lattice.cubic(3.2), real.species, real.frac_coords)
    result = evaluate([real, dense], metrics=("validity",), workers=1)
    assert result.table["structure_valid"].tolist() == [True, True]
    assert result.table["contacts_valid"].tolist() == [True, False]
    assert result.table["valid"].tolist() == [True, False]
    assert result.value("valid (CDVAE)") == 1.0
    assert result.table["contact"].iloc[1] == pytest.approx(1.6 / usual_distances()[8, 12])


def test_distances_are_those_of_pymatgen(known_crystals: list[Structure]) -> None:
    for structure in known_crystals:
        cell = Cell.from_structure(structure)
        between = pair_distances(cell)
        own = ~np.eye(len(structure), dtype=bool)
        assert np.allclose(between[own], structure.distance_matrix[own], atol=1e-4)
        assert shortest_distance(cell) == between.min()


def test_what_is_usual_is_symmetric_and_no_more_than_radii() -> None:
    usual = usual_distances()
    assert np.array_equal(usual, usual.T)
    assert usual[8, 15] == pytest.approx(1.449)  # P-O
    assert 1.0 < usual[26, 8] < 1.7
