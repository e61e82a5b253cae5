"""csv tables whose cells a spreadsheet program takes for what they are."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def csv_text(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], header: bool = True) -> str:
    """Return rows as csv text with these columns, whose cells no program runs as formulas."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, extrasaction="ignore", lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows({name: safe_cell(value) for name, value in row.items()} for row in rows)
    return buffer.getvalue()


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
