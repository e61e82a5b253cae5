"""No cell of a table is a formula."""

from __future__ import annotations

import pytest

from crystal_ldm.files.tables import safe_cell


@pytest.mark.parametrize("text", ["=1+2", "+1", "@SUM(A1)", "-cmd|' /C calc'!A0", "\t=1", "\r=1"])
def test_text_that_begins_as_a_formula_is_marked_as_text(text: str) -> None:
    assert safe_cell(text) == f"'{text}"
    assert safe_cell(safe_cell(text)) == f"'{text}"


@pytest.mark.parametrize("value", [-1.5, 3, "-1.5", "-inf", "", "NaCl", "P-1", "F-43m", None, True])
def test_everything_else_stays(value: object) -> None:
    assert safe_cell(value) == value
