"""Cells of csv tables that a spreadsheet program takes for what they are."""

from __future__ import annotations

from typing import Any

_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def safe_cell(value: Any) -> Any:
    """Return a cell that no spreadsheet program runs as a formula.

    Text that begins as formulas do gets an apostrophe in front; numbers stay what they are.
    """
    if not isinstance(value, str) or not value.startswith(_FORMULA_SIGNS):
        return value
    if value.startswith("-"):
        try:
            float(value)
        except ValueError:
            return f"'{value}"
        return value
    return f"'{value}"
