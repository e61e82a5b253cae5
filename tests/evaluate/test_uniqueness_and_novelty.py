"""Uniqueness and novelty are pymatgen's, with every comparison made."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.same_crystal import SAME_CRYSTAL, Tolerances
from crystal_ldm.evaluate.description import comparison_form
from crystal_ldm.evaluate.reference_set import Reference
from crystal_ldm.evaluate.uniqueness_and_novelty import find_duplicates, find_in_reference


@pytest.fixture(scope="module")
def mixture(known_crystals) -> list[Structure]:
    """200 crystals: repetitions, rattled and strained copies, supercells, polymorphs."""
    generator = np.random.default_rng(0)
    crystals = []
    for _ in range(200):
        crystal = known_crystals[generator.integers(len(known_crystals))].copy()
        moved = crystal.cart_coords + generator.normal(
            0, 0.35 * generator.random(), (len(crystal), 3)
        )
        crystal = Structure(crystal.lattice, crystal.species, moved, coords_are_cartesian=True)
        crystal.apply_strain(generator.uniform(-0.1, 0.1, 3))
        if generator.random() < 0.2:
            crystal.make_supercell([2, 1, 1])
        crystals.append(crystal)
    return crystals


def _forms(crystals):
    return [comparison_form(Cell.from_structure(crystal)) for crystal in crystals]


def test_unique_crystals_are_pymatgens_groups(mixture, pool):
    groups = StructureMatcher().group_structures(mixture)
    found = find_duplicates([cell for cell, _ in _forms(mixture)], SAME_CRYSTAL, pool)
    assert sum(entry.unique for entry in found) == len(groups)
    assert 30 < len(groups) < 150
    position = {id(crystal): i for i, crystal in enumerate(mixture)}
    for group in groups:
        first, *others = [position[id(crystal)] for crystal in group]
        assert found[first].unique
        assert found[first].of is None
        assert all(found[other].of == first for other in others)


def test_novelty_is_that_of_comparing_with_everything(mixture, known_crystals, pool):
    references = known_crystals[::2]
    matcher = StructureMatcher()
    plain = [not any(matcher.fit(crystal, known) for known in references) for crystal in mixture]
    known = Reference(references)
    found = find_in_reference(_forms(mixture), known, SAME_CRYSTAL, pool)
    assert [entry.novel for entry in found] == plain
    assert 20 < sum(plain) < 180
    for entry in found:
        if not entry.novel:
            assert entry.kind == "same crystal"
            assert entry.rmse <= 0.3


def test_a_set_is_not_novel_against_itself_and_each_crystal_is_its_own_nearest(
    known_crystals, pool
):
    known = Reference(known_crystals)
    found = find_in_reference(_forms(known_crystals), known, SAME_CRYSTAL, pool)
    assert not any(entry.novel for entry in found)
    assert [entry.nearest for entry in found] == list(range(len(known_crystals)))
    assert max(entry.rmse for entry in found) < 1e-6


def test_the_nearest_known_crystal_of_a_novel_one(known_crystals, pool):
    rutile, anatase, halide = known_crystals[0], known_crystals[1], known_crystals[2]
    known = Reference([halide, rutile])
    related = rutile.copy()
    related.replace_species({"Ti": "Sn"})
    found = find_in_reference(_forms([anatase, related]), known, SAME_CRYSTAL, pool)
    assert (found[0].novel, found[0].kind, found[0].nearest) == (True, "same formula", 1)
    assert (found[1].novel, found[1].kind, found[1].nearest) == (True, "closest composition", 1)
    assert found[1].composition_difference == pytest.approx(1 / 3)


def test_a_crystal_that_cannot_be_reduced_is_neither(pool, known_crystals):
    known = Reference(known_crystals[:3])
    assert find_in_reference([None], known, SAME_CRYSTAL, pool)[0].novel is False
    assert find_duplicates([None], SAME_CRYSTAL, pool)[0].unique is False


def test_wider_tolerances_find_more_repetitions(mixture, pool):
    cells = [cell for cell, _ in _forms(mixture)]
    counts = [
        sum(entry.unique for entry in find_duplicates(cells, Tolerances(0.2, stol, 5), pool))
        for stol in (0.02, 0.1, 0.3)
    ]
    assert counts[0] > counts[1] > counts[2]
