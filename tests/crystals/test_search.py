"""All polymorphs of a formula, and all that is known in a chemical system."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from crystal_ldm.crystals.inputs import CrystalSet, read_crystals
from crystal_ldm.crystals.search import chemical_system, find_crystals, summary
from crystal_ldm.errors import DataError


def chain(*elements: str) -> Structure:
    places = [[i / len(elements), 0, 0] for i in range(len(elements))]
    return Structure(Lattice.orthorhombic(3 * len(elements), 3, 3), list(elements), places)


@pytest.fixture(scope="module")
def known() -> CrystalSet:
    found = read_crystals(
        [
            chain("Sr", "O"),
            chain("Ti", "Ti", "O", "O", "O", "O"),
            chain("Ti", "O", "O"),
            chain("Sr", "Ti", "O", "O", "O"),
            chain("Na", "Cl"),
            chain("Ti"),
            chain("Ba", "Ti", "O", "O", "O"),
        ]
    )
    found.ids = [f"known-{i}" for i in range(len(found))]
    return found


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("TiO2", [2, 1]),
        ("O4Ti2", [2, 1]),
        ("known-4", [4]),
        ("Ti", [5]),
        ("Sr-Ti-O", [3, 0, 2, 1, 5]),
        ("O, Ti , Sr", [3, 0, 2, 1, 5]),
        ("Ti O", [2, 1, 5]),
        (" NaCl ", [4]),
    ],
)
def test_what_a_text_means(known: CrystalSet, text: str, wanted: list[int]) -> None:
    assert find_crystals(known, text) == wanted


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Give a formula"),
        ("UO2", "None of the 7 known crystals is a crystal 'UO2'"),
        ("U-Pu", "None of the 7 known crystals is a crystal of only U, Pu"),
        ("Sr?O3", "open atoms"),
        ("known-99", "Nothing is known of 'known-99'"),
        ("strontium titanate", "Nothing is known"),
    ],
)
def test_what_is_not_known_is_one_sentence(known: CrystalSet, text: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence) as caught:
        find_crystals(known, text)
    assert "\n" not in str(caught.value)


def test_summary(known: CrystalSet) -> None:
    assert summary(known, [2, 1]) == "2 crystals of TiO2."
    assert summary(known, [3, 0, 2, 1, 5]) == "5 crystals of 4 formulas."
    assert summary(known, [4]) == "1 crystal of NaCl."


def test_a_system_is_two_elements_at_least_between_signs() -> None:
    assert chemical_system("Sr-Ti-O") == ("Sr", "Ti", "O")
    assert chemical_system("SrTiO3") == () == chemical_system("Sr-Xx") == chemical_system("Sr-?")
