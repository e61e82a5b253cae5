"""Requests for crystals: what is known of them, and what is left open, the number of formula units
among it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import torch
from pydantic import Field, TypeAdapter, ValidationError

from crystal_ldm.config.numbers import Number, Whole, short
from crystal_ldm.crystals.batch import CrystalBatch
from crystal_ldm.crystals.elements import ElementRules, atomic_number, symbols
from crystal_ldm.crystals.formula import parse_formula
from crystal_ldm.crystals.given_values import LIKELY, a_row, condition_values, is_number, native
from crystal_ldm.crystals.padding import Values, plain_list
from crystal_ldm.errors import FormulaError, RequestError

NOT_GIVEN = "not given"
"""A row whose formula units nobody gave: they are what the preset says."""
MOST = 1000
"""Formula units, or atoms where all elements are open, in a cell."""

_Number = Annotated[Whole, Field(ge=1, le=MOST)]
_Shares = Annotated[
    dict[_Number, Annotated[Number, Field(gt=0, le=1e6)]],
    Field(min_length=1),
]
_UNITS: TypeAdapter[int | dict[int, float]] = TypeAdapter(_Number | _Shares)

Units = Mapping[int, float] | str | None
"""Of a row: None, its atoms are those of the cell; `NOT_GIVEN` or `LIKELY`; or the share of the
row's crystals for each number of formula units, of which the row has the atoms of one."""


def request_from_formulas(
    formulas: Sequence[str | Mapping[str, int]] | Mapping[str, int] | str,
    formula_units: Any,
    rules: ElementRules,
    conditions: Mapping[str, Any],
) -> CrystalBatch:
    """See `CrystalBatch.from_formulas`."""
    if isinstance(formulas, set | frozenset):
        raise FormulaError(
            "Give formulas as a list: the order of a set differs from run to run, and so would the "
            "crystals."
        )
    try:
        texts = [formulas] if isinstance(formulas, str | Mapping) else list(formulas)
    except TypeError:
        raise FormulaError(f"A formula is text such as SrTiO3, not {short(formulas)}.") from None
    parsed = [parse_formula(text) for text in texts]
    if not any(formula.num_open for formula in parsed):
        for formula in parsed:
            rules.check_formula(formula.text, formula.counts)
    units = [read_units(one) for one in a_row("formula_units", formula_units, len(texts))]
    rows = []
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
    plain = native(num_atoms)
    counts = plain if isinstance(plain, list | tuple) else [plain]
    for n in counts:
        if not is_number(n) or not 1 <= n <= MOST or n != int(n):
            raise RequestError(
                f"'num_atoms' must be whole numbers from 1 to {MOST}, not {short(n)}."
            )
    return _request([[0] * int(n) for n in counts], rules, conditions)


def request_to_dict(batch: CrystalBatch) -> dict[str, Any]:
    """See `CrystalBatch.to_request`."""
    names = symbols()
    atoms = [
        [names[z] for z in row[:n]]
        for row, n in zip(batch.atomic_numbers.tolist(), batch.num_atoms.tolist(), strict=True)
    ]
    rules = [{kind: list(names) for kind, names in vars(r).items()} for r in batch.rules()]
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
        conditions = {**data["conditions"]}
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


def _plain(values: Values) -> list[Any]:
    def plain(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return None if all(v is None for v in map(plain, value)) else [plain(v) for v in value]
        return None if isinstance(value, float) and math.isnan(value) else value

    return [plain(v) for v in plain_list(values)]


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


def read_units(value: Any) -> int | Mapping[int, float] | str:
    """Return one row's formula units as they were given, checked.

    Raises:
        RequestError: if they are neither a whole number nor one of `Units`.
    """
    if value is None:
        return NOT_GIVEN
    if isinstance(value, str) and (word := value.strip().lower()) in (NOT_GIVEN, LIKELY):
        return word
    if isinstance(value, Mapping):  # JSON writes keys as text
        value = {int(n) if str(n).isdecimal() else n: share for n, share in value.items()}
    try:
        units = _UNITS.validate_python(value)
    except ValidationError:
        raise RequestError(
            f"'formula_units' must be whole numbers from 1 to {MOST}, not {short(value)}; or "
            f"{LIKELY!r}, or the share of the crystals for each of several, such as "
            "{1: 0.3, 2: 0.7}."
        ) from None
    return dict(sorted(units.items())) if isinstance(units, dict) else units


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
