"""Formulas as people type them."""

from __future__ import annotations

import math
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystal_ldm.crystals import CrystalBatch, ElementRules, parse_formula
from crystal_ldm.crystals.elements import symbols
from crystal_ldm.errors import FormulaError


@pytest.mark.parametrize(
    ("text", "counts", "num_open"),
    [
        ("SrTiO3", {"Sr": 1, "Ti": 1, "O": 3}, 0),
        (" Sr Ti O3 ", {"Sr": 1, "Ti": 1, "O": 3}, 0),
        ("Ca(OH)2", {"Ca": 1, "H": 2, "O": 2}, 0),
        ("K[Al(SO4)2]2", {"K": 1, "Al": 2, "S": 4, "O": 16}, 0),
        ("Fe₂O₃", {"Fe": 2, "O": 3}, 0),
        ("Sr?O3", {"Sr": 1, "O": 3}, 1),
        ("?3", {}, 3),
        ("InF", {"In": 1, "F": 1}, 0),
        ("NO", {"N": 1, "O": 1}, 0),
        ("CO", {"C": 1, "O": 1}, 0),
        ("Co", {"Co": 1}, 0),
        ("Na2Na", {"Na": 3}, 0),
        ("SrTiO<sub>3</sub>", {"Sr": 1, "Ti": 1, "O": 3}, 0),
        ("$Sr_{2}TiO_4$", {"Sr": 2, "Ti": 1, "O": 4}, 0),
        ("SrTiO$_3$", {"Sr": 1, "Ti": 1, "O": 3}, 0),
        ("Sr$_{2}$TiO$_4$", {"Sr": 2, "Ti": 1, "O": 4}, 0),
        ("SrTiO~3~", {"Sr": 1, "Ti": 1, "O": 3}, 0),
    ],
)
def test_formulas_are_understood(text: str, counts: dict[str, int], num_open: int) -> None:
    parsed = parse_formula(text)
    assert parsed.counts == counts
    assert parsed.num_open == num_open
    assert parsed.num_atoms == sum(counts.values()) + num_open


def test_atoms_come_by_electronegativity() -> None:
    assert list(parse_formula("O3TiSr").counts) == ["Sr", "Ti", "O"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("SrXx3", "'Xx' is not an element"),
        ("srtio3", "capital letter"),
        ("Sr(TiO3", "not opened or not closed"),
        ("SrTiO3)", "not opened or not closed"),
        ("3SrO", "without an element"),
        ("Sr0.5O", "fraction"),
        ("SrO0", "count 0"),
        ("SrTi03", "letter O"),
        ("NaСl", "letter from A to Z"),  # a Cyrillic letter
        ("Na99999", "10,000"),
        ("Sr+O", "no place"),
        ("O" * 20_000, "more than"),
        ("α-SiO2", "capital letter"),
        ("Na2O.2SiO2", "Write '·' between groups"),
        ("CuSO4.5H2O", "between groups write '·'"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, words: str) -> None:
    with pytest.raises(FormulaError, match=words):
        parse_formula(text)


def test_contradicting_rules_are_refused() -> None:
    assert ElementRules.make("O, S").required == ("O", "S")
    with pytest.raises(FormulaError, match="both forbidden"):
        ElementRules.make(required=["O"], forbidden=["O"])
    with pytest.raises(FormulaError, match="not among the allowed"):
        ElementRules.make(required=["O"], allowed=["S"])


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("CaO·6Al2O3", {"Ca": 1, "Al": 12, "O": 19}),
        ("CaO*6Al2O3", {"Ca": 1, "Al": 12, "O": 19}),
        ("CaO 6Al2O3", {"Ca": 1, "Al": 12, "O": 19}),
        ("CuSO4·5H2O", {"Cu": 1, "H": 10, "S": 1, "O": 9}),
        ("CuSO4 * 5 H2O", {"Cu": 1, "H": 10, "S": 1, "O": 9}),
        ("2CaO·SiO2", {"Ca": 2, "Si": 1, "O": 4}),
        ("(CaO·2Al2O3)3", {"Ca": 3, "Al": 12, "O": 21}),
        ("Al2(SO4)3·18H2O", {"Al": 2, "H": 36, "S": 3, "O": 30}),
        ("Fe(II)O", {"Fe": 1, "O": 1}),
        ("Fe[III]2O3", {"Fe": 2, "O": 3}),
        ("Ti(IV)O2", {"Ti": 1, "O": 2}),
        ("Fe(II)Fe(III)2O4", {"Fe": 3, "O": 4}),
        ("D2O", {"H": 2, "O": 1}),
        ("H2[18O]", {"H": 2, "O": 1}),
        ("CaO・6Al2O3", {"Ca": 1, "Al": 12, "O": 19}),
        ("NaCl·", {"Na": 1, "Cl": 1}),
        ("( NaCl )2", {"Na": 2, "Cl": 2}),
    ],
)
def test_groups_oxidation_states_and_isotopes(text: str, counts: dict[str, int]) -> None:
    assert parse_formula(text).counts == counts


def test_what_is_read_otherwise_is_said() -> None:
    assert parse_formula("SrTiO3").notes == ()
    assert "hydrogen" in parse_formula("LiT").notes[0]
    assert "Fe(II)" in parse_formula("Fe(II)O").notes[0]
    with pytest.warns(UserWarning, match="read as H"):
        CrystalBatch.from_formulas(["D2O", "LiD"])


@pytest.mark.parametrize(
    "text",
    ["Sr(Ti]O3", "Sr[Ti)O3", "([SrTi)]O3", "Ca()2", "Fe 2 O 3", "CuSO4·5", "*O3", "Sr_O3",
     "Na·2 2Cl", "Cu(I)2O", "Fe2(III)O3", "SO4_2", "Na" + "9" * 400],
)  # fmt: skip
def test_ambiguous_and_mixed_is_refused(text: str) -> None:
    with pytest.raises(FormulaError):
        parse_formula(text)


def test_a_mapping_is_one_formula() -> None:
    assert parse_formula({"Na": np.int64(2), "?": 1}).num_atoms == 3
    one = CrystalBatch.from_formulas({"Na": 1, "Cl": 1})
    assert one.formulas == ["NaCl"] and len(one) == 1
    assert CrystalBatch.from_formulas([{"Na": 1, "Cl": 1}, "KCl"]).formulas == ["NaCl", "KCl"]
    for wrong in ({"Na": 0.5}, {"Na": "1"}, {"Xx": 1}, {}, {"Na": math.inf}):
        with pytest.raises(FormulaError):
            parse_formula(wrong)


units = st.dictionaries(st.sampled_from(symbols()), st.integers(1, 12), min_size=1, max_size=5)


def written(unit: dict[str, int]) -> str:
    return "".join(f"{symbol}{count if count > 1 else ''}" for symbol, count in unit.items())


def total(*parts: tuple[int, dict[str, int]]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for factor, unit in parts:
        for symbol, n in unit.items():
            counts[symbol] += factor * n
    return dict(counts)


def read(text: str) -> dict[str, int]:
    parsed = parse_formula(text)
    return {**parsed.counts, **({"?": parsed.num_open} if parsed.num_open else {})}


@given(units, units, st.integers(2, 20), st.sampled_from(["·", "*", " ", " · ", " * "]))
def test_a_number_in_front_is_brackets_behind(
    first: dict[str, int], second: dict[str, int], number: int, sign: str
) -> None:
    expected = total((1, first), (number, second))
    assert read(f"{written(first)}{sign}{number}{written(second)}") == expected
    assert read(f"{written(first)}({written(second)}){number}") == expected
    assert read(f"{written(first)}[{written(second)}]{number}") == expected
    assert read(f"{number}{written(second)}·{written(first)}") == expected


@given(units)
def test_suggestions_can_be_read(unit: dict[str, int]) -> None:
    unit = {symbol: n for symbol, n in unit.items() if symbol != "?"} or {"Na": 1}
    with pytest.raises(FormulaError) as caught:
        parse_formula(written(unit).lower())
    options = re.search(r"Did you mean (.*)\?", str(caught.value))
    assert options
    for option in re.findall(r"'([^']+)'", options[1]):
        assert option.lower() == written(unit).lower() and parse_formula(option).counts


@given(st.text(alphabet="NaClFeOHIVDT?()[]·* _0123456789.", max_size=25))
def test_any_text_is_a_formula_or_a_sentence(text: str) -> None:
    try:
        parsed = parse_formula(text)
    except FormulaError as error:
        assert str(error).endswith((".", "?"))
    else:
        assert 1 <= parsed.num_atoms <= 10_000
        assert text.count("(") == text.count(")") and text.count("[") == text.count("]")


@pytest.mark.parametrize(
    ("text", "right"), [("cacl2", "CaCl2"), ("nacl", "NaCl"), ("CaCL2", "CaCl2")]
)
def test_capitals_are_suggested(text: str, right: str) -> None:
    with pytest.raises(FormulaError, match=f"Did you mean '{right}'"):
        parse_formula(text)
