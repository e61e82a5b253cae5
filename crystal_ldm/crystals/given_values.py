"""Values of conditions, one a row, as users give them: numbers, ranges, words, tables."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import torch

from crystal_ldm.config.numbers import short
from crystal_ldm.crystals.padding import Values
from crystal_ldm.crystals.symmetry.space_groups import SPACE_GROUP
from crystal_ldm.errors import DataError, RequestError

LIKELY = "likely"
"""What a request gives as formula units or space group for those likely for its formula."""


def condition_values(name: str, values: Any, size: int) -> Values:
    """Return a condition's values, one a row, as a float tensor (B,) or (B, 2), or a list.

    Numbers become a tensor with NaN for None; pairs of numbers become ranges, but for space groups,
    which have no order; all else a list.

    Raises:
        RequestError: if there are not `size` values, or a range is not (low, high).
    """
    values = native(values)
    is_range = isinstance(values, tuple) and len(values) == 2 and all(map(is_number, values))
    rows = a_row(name, [values] * size if is_range else values, size)
    for value in rows:
        if isinstance(value, set | frozenset):
            raise RequestError(f"'{name}' is the set {short(value)}; give a list in its place.")
    if name == SPACE_GROUP:
        rows = [LIKELY if isinstance(v, str) and v.strip().lower() == LIKELY else v for v in rows]
    if all(v is None or is_number(v) for v in rows):
        numbers = [math.nan if v is None else float(v) for v in rows]
        return torch.tensor(numbers, dtype=torch.float32)
    if name != SPACE_GROUP and all(v is None or is_number(v) or _is_pair(v) for v in rows):
        return torch.tensor([_range(name, v) for v in rows], dtype=torch.float32)
    return [None if isinstance(v, float) and math.isnan(v) else v for v in rows]


def labels_of(conditions: Any, size: int) -> dict[str, Values]:
    """Return labels of crystals by name; the columns of a pandas table are some, too.

    Raises:
        DataError: if they have no names.
        RequestError: see `condition_values`.
    """
    if conditions is None:
        return {}
    items = getattr(conditions, "items", None)
    if not callable(items) or not all(isinstance(name, str) for name, _ in items()):
        raise DataError(
            "Conditions are labels by name, such as {'band_gap': [1.1, 2.0]}, or a table whose "
            f"columns have names, not {short(conditions)}."
        )
    return {name: condition_values(name, values, size) for name, values in items()}


def native(value: Any) -> Any:
    """Return numbers and arrays of numpy, pandas and torch as Python's own; None for pandas' NA."""
    if isinstance(value, list | tuple | range):
        values = [native(v) for v in value]
        return tuple(values) if isinstance(value, tuple) else values
    if type(value).__name__ == "NAType":
        return None
    if not isinstance(value, type) and callable(getattr(value, "tolist", None)):
        plain = value.tolist()
        return native(plain) if isinstance(plain, list) else plain
    return value


def is_number(value: Any) -> bool:
    """Whether it is a number; True is none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_pair(value: Any) -> bool:
    if not isinstance(value, list | tuple) or len(value) != 2:
        return False
    return all(is_number(v) for v in value) or list(value) == [None, None]


def _range(name: str, value: Any) -> tuple[float, float]:
    if value is None:
        return math.nan, math.nan
    low, high = (value, value) if is_number(value) else value
    if low is None and high is None:
        return math.nan, math.nan
    if low is None or high is None or math.isnan(low) != math.isnan(high):
        raise RequestError(f"The range of '{name}' is two numbers, not ({low}, {high}).")
    if low > high:
        raise RequestError(f"The range of '{name}' is (low, high); {low} is above {high}.")
    return float(low), float(high)


def a_row(name: str, value: Any, size: int) -> list[Any]:
    """Return a value for each of `size` rows: those of a list, or one for all.

    Raises:
        RequestError: if a list has another length.
    """
    value = native(value)
    values = list(value) if isinstance(value, list | tuple) else [value] * size
    if len(values) != size:
        raise RequestError(
            f"'{name}' has {len(values)} values for {size} rows; give one for each row, "
            "or one for all."
        )
    return values
