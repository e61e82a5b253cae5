"""Bonds: every neighbour within reach counts, in any cell, and nothing strange stops it."""

import numpy as np
import pytest
from pymatgen.core import DummySpecies, Lattice, Structure

from crystal_ldm.crystals.geometry.bonds import crystal_bonds, radius_bonds

SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)


@pytest.mark.parametrize(
    ("structure", "bonds"),
    [
        # 4.4 Å, the second neighbour along the axis, is within reach of two potassium atoms
        (Structure(Lattice.orthorhombic(2.2, 6, 8), ["K"], [[0, 0, 0]]), 2),
        (Structure(Lattice([[2.8, 0, 0], [8.4, 2.8, 0], [0, -11.2, 2.8]]), ["Po"], [[0.9] * 3]), 3),
        (SALT * (4, 4, 4), 3 * 512),  # of few MB, too
    ],
)
def test_bonds_reach_as_far_as_the_radii(structure: Structure, bonds: int) -> None:
    found = radius_bonds(structure)
    assert len(found) == len(set(found)) == bonds


@pytest.mark.parametrize(
    "structure",
    [
        Structure(Lattice.cubic(4), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]]),
        Structure(Lattice.cubic(4), [DummySpecies("X")], [[0, 0, 0]]),
        Structure(Lattice.cubic(4), ["Na"], [[np.nan, 0, 0]]),
        Structure(Lattice.cubic(1e-3), ["Na"], [[0, 0, 0]]),
    ],
)
def test_what_has_no_bonds_has_none(structure: Structure) -> None:
    assert radius_bonds(structure) == []
    if structure.volume > 1:  # CrystalNN has no answer, either
        assert crystal_bonds(structure) == []
