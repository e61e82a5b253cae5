"""Requests for crystals: what is known of them, and what is left open."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from crystal_ldm.config.numbers import short
from crystal_ldm.crystals.batch import CrystalBatch
from crystal_ldm.crystals.elements import ElementRules, atomic_number, symbols
from crystal_ldm.crystals.formula import parse_formula
from crystal_ldm.crystals.formula_units import read_units
from crystal_ldm.crystals.padding import Values
from crystal_ldm.crystals.space_groups import SPACE_GROUP
from crystal_ldm.errors import FormulaError, RequestError


def request_from_formulas(
    formulas: Sequence[str | Mapping[str, int]] | Mapping[str, int] | str,
    formula_units: Any,
    rules: ElementRules,
    conditions: Mapping[str, Any],
) -> CrystalBatch:
    """See `CrystalBatch.from_formulas`."""
    try:
        texts = [formulas] if isinstance(formulas, str | Mapping) else list(formulas)
    except TypeError:
        raise FormulaError(f"A formula is text such as SrTiO3, not {short(formulas)}.") from None
    units = [read_units(one) for one in _a_row("formula_units", formula_units, len(texts))]
    rows = []
    parsed = [parse_formula(text) for text in texts]
    for note in dict.fromkeys(note for formula in parsed for note in formula.notes):
        warnings.warn(note, stacklevel=3)
    for formula, one in zip(parsed, units, strict=True):
        numbers, z = formula.atomic_numbers, one if isinstance(one, int) else 1
        # Atoms of one element stay together, as in the canonical order; open atoms (0) go last.
        rows.append([a for a in dict.fromkeys(numbers) for _ in range(numbers.count(a) * z)])
    batch = _request(rows, rules, conditions)
    _set_units(batch, [None if isinstance(one, int) else one for one in units])
    return batch


def request_from_num_atoms(
    num_atoms: Sequence[int] | int, rules: ElementRules, conditions: Mapping[str, Any]
) -> CrystalBatch:
    """See `CrystalBatch.from_num_atoms`."""
    num_atoms = _native(num_atoms)
    size = len(num_atoms) if isinstance(num_atoms, list | tuple) else 1
    counts = _whole_numbers("num_atoms", num_atoms, size)
    return _request([[0] * n for n in counts], rules, conditions)


def request_to_dict(batch: CrystalBatch) -> dict[str, Any]:
    """See `CrystalBatch.to_request`."""
    names = symbols()
    atoms = [
        [names[z] for z in row[:n]]
        for row, n in zip(batch.atomic_numbers.tolist(), batch.num_atoms.tolist(), strict=True)
    ]
    rules = [
        {"required": list(r.required), "allowed": list(r.allowed), "forbidden": list(r.forbidden)}
        for r in batch.rules()
    ]
    conditions = {name: _plain(values) for name, values in batch.conditions.items()}
    request: dict[str, Any] = {"atoms": atoms, "element_rules": rules, "conditions": conditions}
    if batch.formula_units is not None:
        request["formula_units"] = [
            {str(n): share for n, share in one.items()} if isinstance(one, Mapping) else one
            for one in batch.formula_units
        ]
    if batch.frac_coords is not None and batch.lattices is not None:
        sizes = batch.num_atoms.tolist()
        coords = [row[:n] for row, n in zip(batch.frac_coords.tolist(), sizes, strict=True)]
        request["crystals"] = {"lattices": batch.lattices.tolist(), "frac_coords": coords}
    return request


def request_from_dict(data: Mapping[str, Any]) -> CrystalBatch:
    """See `CrystalBatch.from_request`."""
    try:
        atoms = [[atomic_number(symbol) for symbol in row] for row in data["atoms"]]
        rules = [ElementRules.make(**row) for row in data["element_rules"]]
        conditions = dict(data["conditions"])
        units = [u if u is None else read_units(u) for u in data.get("formula_units", ())]
    except (KeyError, TypeError) as error:
        raise RequestError(
            f"This is not a request made by CrystalBatch.to_request ({error})."
        ) from None
    batch = _request(atoms, ElementRules(), conditions)
    batch.element_rules = rules if any(rules) else None
    if units:
        if len(units) != len(batch) or any(isinstance(one, int) for one in units):
            raise RequestError("'formula_units' of this request does not say what its rows hold.")
        _set_units(batch, units)
    if data.get("crystals"):
        _add_crystals(batch, data["crystals"])
    return batch


def _set_units(batch: CrystalBatch, units: Sequence[Any]) -> None:
    batch.formula_units = list(units) if any(one is not None for one in units) else None


def _add_crystals(batch: CrystalBatch, crystals: Mapping[str, Any]) -> None:
    """Take lattices and coordinates from a request that starts from crystals."""
    size, width = batch.atomic_numbers.shape
    coords = torch.zeros(size, width, 3)
    try:
        lattices = torch.tensor(crystals["lattices"], dtype=torch.float32).reshape(size, 3, 3)
        for row, values, n in zip(coords, crystals["frac_coords"], batch.num_atoms, strict=True):
            row[:n] = torch.tensor(values, dtype=torch.float32).reshape(int(n), 3)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise RequestError(f"The crystals of this request cannot be read ({error}).") from None
    batch.frac_coords, batch.lattices = coords, lattices


def condition_values(name: str, values: Any, size: int) -> Values:
    """Return a condition's values, one a row, as a float tensor (B,) or (B, 2), or a list.

    Numbers become a tensor with NaN for None; pairs of numbers become ranges, but for space groups,
    which have no order; all else a list.

    Raises:
        RequestError: if there are not `size` values, or a range is not (low, high).
    """
    values = _native(values)
    if not isinstance(values, list | tuple) or (
        isinstance(values, tuple) and len(values) == 2 and all(_is_number(v) for v in values)
    ):
        values = [values] * size
    if len(values) != size:
        raise RequestError(
            f"'{name}' has {len(values)} values for {size} rows; give one for each row, "
            "or one for all."
        )
    if all(v is None or _is_number(v) for v in values):
        numbers = [math.nan if v is None else float(v) for v in values]
        return torch.tensor(numbers, dtype=torch.float32)
    if name != SPACE_GROUP and all(v is None or _is_number(v) or _is_pair(v) for v in values):
        return torch.tensor([_range(name, v) for v in values], dtype=torch.float32)
    return list(values)


def _native(value: Any) -> Any:
    """Return numbers and arrays of numpy, pandas and torch as Python's own; None for pandas' NA."""
    if isinstance(value, list | tuple | range):
        values = [_native(v) for v in value]
        return tuple(values) if isinstance(value, tuple) else values
    if type(value).__name__ == "NAType":
        return None
    if not isinstance(value, type) and callable(getattr(value, "tolist", None)):
        plain = value.tolist()
        return _native(plain) if isinstance(plain, list) else plain
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_pair(value: Any) -> bool:
    if not isinstance(value, list | tuple) or len(value) != 2:
        return False
    return all(_is_number(v) for v in value) or list(value) == [None, None]


def _range(name: str, value: Any) -> tuple[float, float]:
    if value is None:
        return math.nan, math.nan
    low, high = (value, value) if _is_number(value) else value
    if low is None and high is None:
        return math.nan, math.nan
    if low is None or high is None or math.isnan(low) != math.isnan(high):
        raise RequestError(f"The range of '{name}' is two numbers, not ({low}, {high}).")
    if low > high:
        raise RequestError(f"The range of '{name}' is (low, high); {low} is above {high}.")
    return float(low), float(high)


def _plain(values: Values) -> list[Any]:
    def plain(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return None if all(v is None for v in map(plain, value)) else [plain(v) for v in value]
        return None if isinstance(value, float) and math.isnan(value) else value

    return [plain(v) for v in (values.tolist() if isinstance(values, Tensor) else values)]


def _a_row(name: str, value: Any, size: int) -> list[Any]:
    value = _native(value)
    values = list(value) if isinstance(value, list | tuple) else [value] * size
    if len(values) != size:
        raise RequestError(
            f"'{name}' has {len(values)} values for {size} rows; give one for each row."
        )
    return values


def _whole_numbers(name: str, value: Any, size: int) -> list[int]:
    values = _a_row(name, value, size)
    for v in values:
        if not _is_number(v) or not 1 <= v <= 1000 or v != int(v):
            raise RequestError(f"'{name}' must be whole numbers from 1 to 1000, not {short(v)}.")
    return [int(v) for v in values]


def _request(
    rows: list[list[int]], rules: ElementRules, conditions: Mapping[str, Any]
) -> CrystalBatch:
    width = max((len(row) for row in rows), default=0)
    return CrystalBatch(
        atomic_numbers=torch.tensor(
            [row + [0] * (width - len(row)) for row in rows], dtype=torch.int64
        ).reshape(len(rows), width),
        num_atoms=torch.tensor([len(row) for row in rows], dtype=torch.int64),
        conditions={
            name: condition_values(name, value, len(rows))
            for name, value in conditions.items()
            if value is not None
        },
        element_rules=[rules] * len(rows) if rules else None,
    )
