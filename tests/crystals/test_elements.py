"""Oxidation states that add up to zero, against pymatgen's search for them."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Composition

from crystal_ldm.crystals.elements import is_charge_balanced, names_an_anion


def atoms(formula: str) -> np.ndarray:
    return np.array([site.Z for site, n in Composition(formula).items() for _ in range(int(n))])


@pytest.mark.parametrize(
    "formula",
    [
        "SrTiO3", "KSrO3", "NaSrO3", "SrZrO3", "LiFePO4", "Fe3O4", "KO2", "LaMnO3", "CaC2", "FeS2",
        "Pr6O11", "YBa2Cu3O7", "Sr2O3", "PtO2", "NaCl", "NpCl4", "K2NaAlF6", "CsPbI3", "Mn3N2",
    ],
)  # fmt: skip
def test_balance_is_what_pymatgen_finds(formula: str) -> None:
    assert is_charge_balanced(atoms(formula)) == bool(Composition(formula).oxi_state_guesses())


def test_balance_depends_on_the_reduced_formula_alone() -> None:
    assert is_charge_balanced(np.repeat(atoms("SrTiO3"), 4))
    assert not is_charge_balanced(np.repeat(atoms("KSrO3"), 4))


def test_anions_are_those_of_ionic_compounds() -> None:
    assert names_an_anion(np.array([38, 0, 8, 8, 8]))
    assert not names_an_anion(np.array([11, 0]))
