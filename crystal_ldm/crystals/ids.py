"""Names of crystals: text, each another one."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from crystal_ldm.errors import DataError


def names_of(ids: Any, size: int) -> list[str]:
    """Return ids as text, see `told_apart`; that some were renamed is a warning.

    Raises:
        DataError: unless there is one for each of `size` crystals.
    """
    if isinstance(ids, set | frozenset) or not isinstance(ids, Iterable):
        raise DataError(f"The ids are a list of names, not {type(ids).__name__}.")
    names = [ids] if isinstance(ids, str) else [str(name) for name in ids]
    if isinstance(ids, str) or len(names) != size:
        raise DataError(f"There are {len(names)} ids for {size} crystals; give one for each.")
    unique, said = told_apart(names)
    for note in said:
        warnings.warn(note, stacklevel=4)
    return unique


def told_apart(names: Sequence[str], sign: str = "-") -> tuple[list[str], list[str]]:
    """Return names, those that came before with a sign and 2, 3, ... behind them, and notes."""
    taken = set(names)
    seen: set[str] = set()
    result: list[str] = []
    for name in names:
        unique, copy = name, 2
        while unique in seen or (copy > 2 and unique in taken):
            unique, copy = f"{name}{sign}{copy}", copy + 1
        seen.add(unique)
        result.append(unique)
    again = [name for name, unique in zip(names, result, strict=True) if name != unique]
    if not again:
        return result, []
    some = ", ".join(sorted(set(again))[:3])
    many = f"{len(again)} ids came more than once ({some})"
    return result, [f"{many} and got a suffix ({sign}2, {sign}3, ...)."]
