"""What is typed above a table: `gap > 2, Pm-3m`, terms joined by commas, each of which a row meets.

A term compares a column with a number or a word, or is a text that some cell contains.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Columns = Sequence[Mapping[str, Any]]
"""What a table says of its columns: "key", "label" and, where there is one, "unit"."""

_TERM = re.compile(r"^\s*([A-Za-z_][\w ()/]*?|)\s*(<=|>=|!=|=|<|>)\s*(.*?)\s*$")
MISSING = "is missing."
"""The end of what is said of a term that is half typed."""
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge,
    "=": operator.eq, "!=": operator.ne,
}  # fmt: skip


def matches(text: str, columns: Columns, cells: Sequence[Any]) -> bool:
    """Return whether a row meets all terms of a filter."""
    return all(_meets(term, columns, cells) for term in map(str.strip, text.split(",")) if term)


def problem_of(text: str, columns: Columns, rows: Sequence[Sequence[Any]]) -> str:
    """Say why a term finds nothing: a column or number that is none; empty if all can."""
    problems = (_problem(term, columns, rows) for term in text.split(","))
    return next(filter(None, problems), "")


def _problem(term: str, columns: Columns, rows: Sequence[Sequence[Any]]) -> str:
    comparison = _TERM.match(term)
    if comparison is None or not columns:
        return ""
    name, sign, wanted = comparison.groups()
    if not name or not wanted:
        return f"'{term.strip()}' is half typed: the {'value' if name else 'column'} {MISSING}"
    place = _place(name, columns)
    if place is None:
        labels = ", ".join(str(column["label"]) for column in columns)
        return f"The table has no column '{name}'; it has {labels}."
    has_numbers = any(_is_number(cells[place]) for cells in rows)
    if (has_numbers or sign not in ("=", "!=")) and _number(wanted) is None:
        return f"{columns[place]['label']} is compared with a number, not '{wanted}'."
    return ""


def _meets(term: str, columns: Columns, cells: Sequence[Any]) -> bool:
    comparison = _TERM.match(term)
    if comparison and not (comparison[1] and comparison[3]):
        return True  # half typed
    place = _place(comparison[1], columns) if comparison else None
    if comparison is None or place is None:
        return any(term.lower() in _text(value).lower() for value in cells)
    value, sign, wanted = cells[place], comparison[2], comparison[3]
    if _is_number(value):
        number = _number(wanted)
        return number is not None and _COMPARE[sign](float(value), number)
    if value is None:
        return False
    same = _text(value).lower() == wanted.lower()
    return {"=": same, "!=": not same}.get(sign, False)


def _place(name: str, columns: Columns) -> int | None:
    """Return the place of the column whose key or label is `name`, or else starts with it."""

    def plain(text: object) -> str:
        return str(text).strip().lower().replace("_", " ")

    names = [
        (plain(c["key"]), plain(c["label"]), plain(f"{c['label']} ({c.get('unit')})"))
        for c in columns
    ]
    for alike in (str.__eq__, str.startswith):
        for place, options in enumerate(names):
            if any(alike(one, plain(name)) for one in options):
                return place
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
