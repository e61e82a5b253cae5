"""Formulas as people type them."""

from __future__ import annotations

import pytest

from crystal_ldm.crystals import ElementRules, parse_formula
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
        ("Sr(TiO3", "not closed"),
        ("SrTiO3)", "not opened"),
        ("3SrO", "without an element"),
        ("Sr0.5O", "fraction"),
        ("SrO0", "count 0"),
        ("Na99999", "10,000"),
        ("Sr+O", "no place"),
        ("O" * 20_000, "more than"),
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
