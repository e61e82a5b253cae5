"""Cells, Wyckoff positions and operations of known crystals; polyhedra; measurements."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from crystal_ldm.crystals.geometry.bonds import radius_bonds
from crystal_ldm.crystals.geometry.measurement import measure
from crystal_ldm.crystals.geometry.polyhedra import coordination_polyhedra
from crystal_ldm.crystals.symmetry.analysis import CELLS, cell_of_kind, symmetry_of, wyckoff_letters
from crystal_ldm.errors import DataError

QUARTZ = Structure.from_spacegroup(
    "P3_221",
    Lattice.hexagonal(4.91, 5.40),
    ["Si", "O"],
    [[0.4697, 0, 0], [0.4135, 0.2669, 0.1191]],
)
SPINEL = Structure.from_spacegroup(
    "Fd-3m",
    Lattice.cubic(8.08),
    ["Mg", "Al", "O"],
    [[0, 0, 0], [5 / 8, 5 / 8, 5 / 8], [0.3874, 0.3874, 0.3874]],
)


def test_spinel_has_the_positions_of_the_textbook() -> None:
    found = symmetry_of(SPINEL.get_primitive_structure())
    assert (found.symbol, found.number, found.system) == ("Fd-3m", 227, "cubic")
    table = {(s.element, s.multiplicity, s.site_symmetry, s.coordination) for s in found.sites}
    assert table == {("Mg", 8, "-43m", 4), ("Al", 16, ".-3m", 6), ("O", 32, ".3m", 4)}
    assert len(found.operations) == 192


@pytest.mark.parametrize("crystal", [QUARTZ, SPINEL, SPINEL.get_primitive_structure()])
def test_operations_take_the_conventional_cell_onto_itself(crystal: Structure) -> None:
    from pymatgen.core.operations import SymmOp

    found = symmetry_of(crystal)
    cell = cell_of_kind(crystal, "symmetrised")
    for text in found.operations:
        moved = SymmOp.from_xyz_str(text).operate_multi(cell.frac_coords)
        apart = moved[:, None] - cell.frac_coords[None]
        apart -= np.round(apart)
        assert np.linalg.norm(apart @ cell.lattice.matrix, axis=-1).min(axis=1).max() < 1e-3
    assert sum(site.multiplicity for site in found.sites) == len(cell)
    letters = set(wyckoff_letters(crystal))
    assert letters == {f"{site.multiplicity}{site.letter}" for site in found.sites}


@pytest.mark.parametrize("kind", CELLS)
def test_each_cell_holds_the_same_crystal(kind: str) -> None:
    made = SPINEL.get_primitive_structure()
    made.perturb(0.02)
    cell = cell_of_kind(made, kind)
    assert len(cell) == (14 if kind in ("as made", "primitive") else 56)
    assert StructureMatcher(primitive_cell=True).fit(made, cell)
    exact = cell.get_space_group_info(symprec=1e-4)[1]
    assert (exact == 227) is (kind == "symmetrised")


def test_atoms_on_one_place_have_no_symmetry() -> None:
    heap = Structure(Lattice.cubic(4), ["Cl", "Cl"], [[0, 0, 0], [0, 0, 0]])
    for look in (symmetry_of, wyckoff_letters, lambda s: cell_of_kind(s, "conventional")):
        with pytest.raises(DataError, match="finds no symmetry"):
            look(heap)
    with pytest.raises(DataError, match="no cell 'huge'"):
        cell_of_kind(QUARTZ, "huge")


def test_polyhedra_of_spinel_are_tetrahedra_and_octahedra() -> None:
    found = coordination_polyhedra(SPINEL, radius_bonds(SPINEL))
    corners = {(SPINEL[p.centre].specie.symbol, len(p.corners), len(p.faces)) for p in found}
    assert corners == {("Mg", 4, 4), ("Al", 6, 8)}
    assert len(found) == 8 + 16


def test_faces_look_outwards() -> None:
    frac = SPINEL.frac_coords % 1.0
    for shape in coordination_polyhedra(SPINEL, radius_bonds(SPINEL)):
        points = np.array([frac[s] + image for s, image in shape.corners]) @ SPINEL.lattice.matrix
        centre = frac[shape.centre] @ SPINEL.lattice.matrix
        a, b, c = (points[shape.faces[:, k]] for k in range(3))
        assert (np.einsum("ij,ij->i", np.cross(b - a, c - a), a - centre) > 0).all()


def test_measurements_agree_with_known_geometry() -> None:
    tetrahedron = np.array([[1, 1, 1], [0, 0, 0], [1, -1, -1]], dtype=float)
    assert measure(tetrahedron).value == pytest.approx(np.degrees(np.arccos(-1 / 3)))
    assert str(measure([[0, 0, 0], [0, 3, 4]])) == "distance 5.000 Å"
    gauche = [[1, 0, 0], [0, 0, 0], [0, 0, 1], [0.5, 3**0.5 / 2, 1]]
    assert measure(gauche).value == pytest.approx(60)
    mirrored = np.array(gauche) * [1, -1, 1]
    assert measure(mirrored).value == pytest.approx(-60), "the mirror image turns the other way"


@pytest.mark.parametrize(
    "points",
    [[[0, 0, 0]], [[0, 0, 0]] * 3, [[0, 0, 0], [1, 0, 0], [2, 0, 0], [0, 1, 0]], np.zeros((5, 3))],
)
def test_what_has_no_angle_is_refused(points: object) -> None:
    with pytest.raises(DataError):
        measure(points)
