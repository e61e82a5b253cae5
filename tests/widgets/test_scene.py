"""Bonds, boundary images, stubs and the SDF they are sent as."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from crystal_ldm.widgets.viewers.scene import SceneTooLarge, build_scene, scene_to_sdf
from pymatgen.core import Lattice, Structure

from crystal_ldm.crystals.geometry.bonds import crystal_bonds, radius_bonds
from tests.widgets.crystals import copper, perovskite, rock_salt


def coordination(structure: Structure, bonds: list) -> list[int]:
    found = Counter()
    for bond in bonds:
        found[bond.start] += 1
        found[bond.end] += 1
    return [found[i] for i in range(len(structure))]


def test_radius_rule_knows_the_perovskite() -> None:
    # Ti has 6 O, Sr has 12 O, each O 2 Ti and 4 Sr; no Sr-Ti, no O-O.
    assert coordination(perovskite(), radius_bonds(perovskite())) == [12, 6, 6, 6, 6]


def test_crystal_nn_and_radius_rule_agree_on_rock_salt() -> None:
    salt = rock_salt()
    assert coordination(salt, radius_bonds(salt)) == [6] * 8
    assert set(crystal_bonds(salt)) == set(radius_bonds(salt))


def test_a_metal_bonds_to_its_own_images() -> None:
    bonds = radius_bonds(copper())
    assert len(bonds) == 6  # 12 neighbours, each bond shared by two
    assert all(bond.start == bond.end == 0 and any(bond.image) for bond in bonds)


@pytest.mark.parametrize("shift", [0.0, 0.3, 0.77, 1.5])
def test_bonds_do_not_depend_on_the_origin(shift: float) -> None:
    moved = perovskite()
    moved.translate_sites(range(5), [shift, -shift, 2 * shift], to_unit_cell=False)
    assert coordination(moved, radius_bonds(moved)) == [12, 6, 6, 6, 6]
    lengths = bond_lengths(moved)
    assert np.allclose(lengths, np.sort(bond_lengths(perovskite())), atol=1e-6)


def bond_lengths(structure: Structure) -> np.ndarray:
    wrapped = structure.frac_coords - np.floor(structure.frac_coords)
    found = [
        np.linalg.norm((wrapped[b.end] + b.image - wrapped[b.start]) @ structure.lattice.matrix)
        for b in radius_bonds(structure)
    ]
    return np.sort(found)


def test_atoms_that_coincide_are_not_bonded() -> None:
    heap = Structure(Lattice.cubic(6), ["O"] * 4, [[0.5, 0.5, 0.5]] * 4)
    assert radius_bonds(heap) == []
    assert len(build_scene(heap, crystal_bonds(heap))) == 4


def test_boundary_images_of_corner_edge_and_face() -> None:
    scene = build_scene(perovskite(), radius_bonds(perovskite()))
    assert Counter(scene.symbols) == {"Sr": 8, "Ti": 1, "O": 6}
    assert int((scene.cells == 0).all(axis=1).sum()) == 5
    low, high = scene.positions.min(axis=0), scene.positions.max(axis=0)
    assert np.allclose(low, 0) and np.allclose(high, 3.91)


def test_without_images_bonds_across_the_boundary_become_stubs() -> None:
    structure = perovskite()
    whole = build_scene(structure, radius_bonds(structure))
    cut = build_scene(structure, radius_bonds(structure), boundary_images=False)
    assert len(cut) == 5 and len(whole.stubs) == 0
    assert len(cut.stubs) == 2 * (len(radius_bonds(structure)) - len(cut.bonds))
    for atom, end in zip(cut.stub_atoms, cut.stubs, strict=True):
        assert 0.5 < np.linalg.norm(cut.positions[atom] - end) < 1.5


def test_supercell_repeats_atoms_and_bonds() -> None:
    structure = rock_salt()
    block = build_scene(structure, radius_bonds(structure), (2, 1, 3), boundary_images=False)
    assert len(block) == 8 * 6
    assert len(block.boxes) == 2
    assert np.allclose(block.boxes[1].max(axis=0), np.array([2, 1, 3]) * 5.64)


def test_every_drawn_bond_is_as_long_as_its_pair() -> None:
    structure = rock_salt()
    scene = build_scene(structure, radius_bonds(structure), (2, 2, 1))
    lengths = [np.linalg.norm(scene.positions[i] - scene.positions[j]) for i, j in scene.bonds]
    assert np.allclose(lengths, 5.64 / 2)


def test_sdf_counts_and_coordinates_are_those_of_the_scene() -> None:
    scene = build_scene(perovskite(), radius_bonds(perovskite()))
    lines = scene_to_sdf(scene).splitlines()
    atoms, bonds = int(lines[3][:3]), int(lines[3][3:6])
    assert atoms == 15 + 8 + 3
    assert bonds == len(scene.bonds) + 12
    body = lines[4 : 4 + atoms]
    assert [line[31:34].strip() for line in body] == [*scene.symbols, *["Xx"] * 11]
    read = np.array([[float(line[k : k + 10]) for k in (0, 10, 20)] for line in body])
    assert np.allclose(read[:15], scene.positions, atol=1e-4)
    pairs = [(int(line[:3]), int(line[3:6])) for line in lines[4 + atoms : 4 + atoms + bonds]]
    assert all(1 <= i <= atoms and 1 <= j <= atoms and i != j for i, j in pairs)


def test_too_large_a_block_is_refused_with_advice() -> None:
    structure = rock_salt()
    with pytest.raises(SceneTooLarge, match="smaller supercell"):
        scene_to_sdf(build_scene(structure, radius_bonds(structure), (5, 5, 5)))
