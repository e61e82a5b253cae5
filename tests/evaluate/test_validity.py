"""Shortest distances are exact; compositions are valid as documented."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Composition, Lattice, Structure

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.geometry.distances import shortest_distance
from crystal_ldm.evaluate.thresholds import Thresholds
from crystal_ldm.evaluate.validity import composition_validity, compositions_validity


def _key(formula: str):
    reduced = Composition(formula).reduced_composition
    return tuple(sorted((element.Z, int(count)) for element, count in reduced.items()))


def test_shortest_distance_is_that_of_a_full_search():
    generator = np.random.default_rng(0)
    for _ in range(200):
        n = int(generator.integers(1, 9))
        skew = np.eye(3) + generator.normal(0, 1.0, (3, 3)) * generator.choice([0.1, 1.0])
        cell = Lattice(skew * generator.uniform(1, 8))
        structure = Structure(cell, ["Na"] * n, generator.random((n, 3)))
        radius = 2 * (structure.volume / n) ** (1 / 3)
        neighbours = structure.get_all_neighbors(radius)
        expected = min(neighbour.nn_distance for site in neighbours for neighbour in site)
        found = shortest_distance(Cell.from_structure(structure))
        assert found == pytest.approx(expected, abs=1e-9)


def test_images_of_an_atom_itself_count():
    thin = Structure(Lattice.orthorhombic(0.4, 9, 9), ["Na"], [[0, 0, 0]])
    assert shortest_distance(Cell.from_structure(thin)) == pytest.approx(0.4)


def test_shortest_distance_knows_no_choice_of_cell():
    cubic = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0.1, 0.2, 0.3], [0.6, 0.7, 0.8]])
    skewed = cubic.copy()
    skewed.make_supercell([[1, 5, 0], [0, 1, 0], [7, 0, 1]])
    a, b = (shortest_distance(Cell.from_structure(s)) for s in (cubic, skewed))
    assert a == pytest.approx(b, abs=1e-9)


def test_a_flat_cell_is_refused():
    flat = Cell.from_arrays([11], [[0, 0, 0]], [[1, 0, 0], [0, 1, 0], [1, 1, 0]])
    with pytest.raises(ValueError, match="no volume"):
        shortest_distance(flat)


@pytest.mark.parametrize(
    ("formula", "valid", "rule"),
    [
        ("NaCl", True, "charge balanced"),
        ("SrTiO3", True, "charge balanced"),
        ("Na2Cl", False, "against electronegativity"),
        ("NaO7", False, "not charge balanced"),
        ("Fe", True, "one element"),
        ("Xe", True, "one element"),
        ("Ni3Al", True, "alloy"),
        ("OgTs", False, "not charge balanced"),
    ],
)
def test_compositions_by_the_fields_convention(formula, valid, rule):
    assert composition_validity(_key(formula), Thresholds()) == (valid, rule)


def test_alloys_can_be_asked_to_balance():
    strict = Thresholds(alloys_valid=False)
    assert composition_validity(_key("BaSr"), Thresholds()) == (True, "alloy")
    assert composition_validity(_key("BaSr"), strict) == (False, "not charge balanced")


def test_a_multiple_of_the_formula_is_the_same_composition():
    single = Cell.from_arrays([11, 17], np.zeros((2, 3)), np.eye(3))
    double = Cell.from_arrays([17, 11, 17, 11], np.zeros((4, 3)), np.eye(3))
    assert single.formula_key == double.formula_key == _key("NaCl")


_MINERALS = (
    "NaCl MgO Al2O3 SiO2 TiO2 Fe2O3 ZnS GaAs InP CdTe CaF2 BaTiO3 LiCoO2 K2SO4 CaCO3 MgAl2O4 "
    "ZrSiO4 Cu2O PbS SnO2 Y2O3 LaF3 KBr CsI Li3N Mg3N2 BN AlN GaN CaTiO3 NaNbO3 LiFePO4 CaWO4 "
    "Na2CO3 MoS2 WSe2 Bi2Te3 Sb2Se3 HfO2 K2NiF4"
)


def test_elements_dealt_out_at_random_lower_validity(pool):
    keys = [_key(formula) for formula in _MINERALS.split()]
    elements = [z for key in keys for z, _ in key]
    generator = np.random.default_rng(0)
    shuffled = []
    for key in keys * 5:
        drawn = generator.choice(np.unique(elements), size=len(key), replace=False)
        counts = [count for _, count in key]
        shuffled.append(tuple(sorted(zip(map(int, drawn), counts, strict=True))))
    validity = compositions_validity(keys + shuffled, Thresholds(), pool)
    real = np.mean([validity[key][0] for key in keys])
    random = np.mean([validity[key][0] for key in shuffled])
    assert real > 0.95
    assert random < real - 0.2
