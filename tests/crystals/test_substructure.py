"""A part of a crystal is found again in the canonical description of the crystal."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Structure

from crystal_ldm.crystals.canonical import canonical_form
from crystal_ldm.crystals.substructure import Substructure

CHANGES = ([[1, 0, 0], [1, 1, 0], [-1, 0, 1]], [[0, 1, 0], [0, 0, 1], [1, 0, 0]])


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_found_in_another_cell_origin_and_order(
    known_crystals: list[Structure], change: list[list[int]]
) -> None:
    for seed, crystal in enumerate(known_crystals):
        canonical = canonical_form(crystal)
        numbers = np.array(canonical.atomic_numbers)
        generator = np.random.default_rng(seed)
        shift = generator.random(3)
        coords = (canonical.frac_coords + shift) @ np.linalg.inv(change)
        kept = generator.permutation(len(numbers))[: max(1, len(numbers) // 2)]
        lattice = np.array(change) @ canonical.lattice.matrix
        part = Substructure(lattice, coords[kept], numbers[kept])
        for cell in (None, canonical.lattice.matrix):
            fit = part.fit(canonical.frac_coords, numbers, cell)
            assert fit.displacement < 1e-4
            assert (numbers[fit.places] == part.numbers).all()
            apart = fit.to_host(fit.frac_coords) - part.frac_coords
            assert np.abs(apart - np.rint(apart)).max() < 1e-6
            metric = part.lattice_in(fit) @ part.lattice_in(fit).T
            expected = canonical.lattice.matrix @ canonical.lattice.matrix.T
            assert np.allclose(metric, expected, rtol=0.02, atol=0.05)


def test_a_strain_is_told_from_a_rotation(known_crystals: list[Structure]) -> None:
    crystal = canonical_form(known_crystals[0])
    lattice, numbers = crystal.lattice.matrix, np.array(crystal.atomic_numbers)
    part = Substructure(lattice, crystal.frac_coords, numbers)
    angle = 0.7
    turn = np.array(
        [[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    stretched = lattice @ np.diag([1.05, 1.0, 0.98]) @ turn
    fit = part.fit(crystal.frac_coords, numbers, stretched)
    assert part.strain(fit, stretched) == pytest.approx(0.05, abs=1e-6)
    made = part.strained(fit, fit.change @ stretched)
    assert np.allclose(made, lattice @ np.diag([1.05, 1.0, 0.98]), atol=1e-6)
