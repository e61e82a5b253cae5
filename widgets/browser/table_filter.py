"""What is typed above a table: `gap > 2, Pm-3m`, terms joined by commas, each of which a row meets.

A term compares a column with a number or a word, or is a text that some cell contains.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
"""The cells of a row by the key of their column."""
Columns = Sequence[Mapping[str, Any]]
"""What a table says of its columns: "key", "label" and, where there is one, "unit"."""

_TERM = re.compile(r"^\s*([A-Za-z_][\w ()/]*?|)\s*(<=|>=|!=|=|<|>)\s*(.*?)\s*$")
MISSING = "is missing."
"""The end of what is said of a term that is half typed."""
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge,
    "=": operator.eq, "!=": operator.ne,
}  # fmt: skip


def filter_rows(text: str, columns: Columns, rows: Sequence[Row]) -> tuple[list[int], str]:
    """Return the numbers of the rows that meet all terms, and why a term finds nothing.

    That is a column or a number that is none, or a term that is half typed, which all rows meet.
    """
    numbers, problem = list(range(len(rows))), ""
    for term in filter(None, map(str.strip, text.split(","))):
        meets, wrong = _read(term, columns, rows)
        numbers = [i for i in numbers if meets(rows[i])]
        problem = problem or wrong
    return numbers, problem


def _read(term: str, columns: Columns, rows: Sequence[Row]) -> tuple[Callable[[Row], bool], str]:
    def contains(row: Row) -> bool:
        return any(term.lower() in _text(row.get(one["key"])) for one in columns)

    comparison = _TERM.match(term)
    if comparison is None:
        return contains, ""
    name, sign, wanted = comparison.groups()
    if not name or not wanted:
        missing = f"'{term}' is half typed: the {'value' if name else 'column'} {MISSING}"
        return lambda _: True, missing
    column = _column(name, columns)
    if column is None:
        labels = ", ".join(str(one["label"]) for one in columns)
        return contains, f"The table has no column '{name}'; it has {labels}." if columns else ""
    key, number = column["key"], _number(wanted)

    def compares(row: Row) -> bool:
        value: Any = row.get(key)
        if is_number(value):
            return number is not None and _COMPARE[sign](float(value), number)
        if value is None:
            return False
        same = _text(value) == wanted.lower()
        return {"=": same, "!=": not same}.get(sign, False)

    numeric = sign not in ("=", "!=") or any(is_number(row.get(key)) for row in rows)
    said = f"{column['label']} is compared with a number, not '{wanted}'."
    return compares, said if numeric and number is None else ""


def _column(name: str, columns: Columns) -> Mapping[str, Any] | None:
    """Return the column whose key or label is `name`, or else the first that starts with it."""

    def plain(text: object) -> str:
        return str(text).strip().lower().replace("_", " ")

    for alike in (str.__eq__, str.startswith):
        for one in columns:
            names = one["key"], one["label"], f"{one['label']} ({one.get('unit')})"
            if any(alike(plain(option), plain(name)) for option in names):
                return one
    return None


def is_number(value: Any) -> bool:
    """Return whether a cell is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _text(value: Any) -> str:
    """Return what a cell says, in small letters."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value).lower()
