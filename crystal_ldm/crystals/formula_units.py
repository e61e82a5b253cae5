"""How many formula units the cells of a request hold, where that is left open or several are asked
for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from crystal_ldm.config.numbers import short
from crystal_ldm.errors import RequestError

if TYPE_CHECKING:
    from crystal_ldm.crystals.batch import CrystalBatch

NOT_GIVEN = "not given"
"""A row whose formula units nobody gave: they are what the preset says."""
LIKELY = "likely"
"""What a request gives as formula units for those that are likely for its formula."""
MOST = 1000

Units = Mapping[int, float] | str | None
"""Of a row: None, its atoms are those of the cell; `NOT_GIVEN` or `LIKELY`; or the share of the
row's crystals for each number of formula units, of which the row has the atoms of one."""


def read_units(value: Any) -> int | Mapping[int, float] | str:
    """Return one row's formula units as they were given, checked.

    Raises:
        RequestError: if they are neither a whole number nor one of `Units`.
    """
    if value is None:
        return NOT_GIVEN
    if isinstance(value, str) and value.strip() in (NOT_GIVEN, LIKELY):
        return value.strip()
    if isinstance(value, Mapping) and value:
        return dict(sorted((_whole(n, value), _share(s, value)) for n, s in value.items()))
    return _whole(value, value)


def _whole(number: Any, given: Any) -> int:
    if isinstance(number, str) and number.isdecimal() and isinstance(given, Mapping):
        number = int(number)  # JSON writes keys as text
    try:
        whole = not isinstance(number, bool | str) and 1 <= number <= MOST and number == int(number)
    except (TypeError, ValueError):
        whole = False
    if not whole:
        raise RequestError(
            f"'formula_units' must be whole numbers from 1 to {MOST}, not {short(given)}; or "
            f"{LIKELY!r}, or the share of the crystals for each of several, such as "
            "{1: 0.3, 2: 0.7}."
        )
    return int(number)


def _share(share: Any, given: Any) -> float:
    number = isinstance(share, int | float) and not isinstance(share, bool)
    if not number or not 0 < share <= 1e6:
        raise RequestError(
            f"The shares of 'formula_units' must be numbers above 0, not {short(given)}."
        )
    return float(share)


def multiplied(request: CrystalBatch, units: Sequence[int]) -> CrystalBatch:
    """Return a request for cells of so many times the atoms of each row, those of an element
    together."""
    sizes = request.num_atoms.tolist()
    width = max((n * m for n, m in zip(sizes, units, strict=True)), default=0)
    numbers = request.atomic_numbers.new_zeros(len(sizes), width)
    for row, old, n, m in zip(numbers, request.atomic_numbers, sizes, units, strict=True):
        row[: n * m] = old[:n].repeat_interleave(m)
    num_atoms = request.num_atoms * request.num_atoms.new_tensor(units)
    return replace(request, atomic_numbers=numbers, num_atoms=num_atoms, formula_units=None)


def largest_cells(request: CrystalBatch) -> CrystalBatch:
    """Return a request for the largest cell that each row may have."""
    units = [max(one) if isinstance(one, Mapping) else 1 for one in request.units()]
    return multiplied(request, units)
