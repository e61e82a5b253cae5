"""Records of a json file, ASE or pymatgen as columns: nested values, values with units, lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.readers.entries import Entry, Payload, Problem, Source
from crystal_ldm.crystals.readers.labels import Labels, read_labels
from crystal_ldm.crystals.readers.tables import id_column, listed
from crystal_ldm.errors import DataError

_WRAPPERS = {"data", "properties", "info", "key_value_pairs"}
"""What holds the values of a record and is no part of their names."""
_NO_VALUES = {
    "lattice_vectors", "cartesian_site_positions", "species_at_sites", "species", "assemblies",
    "dimension_types", "structure_features", "elements", "elements_ratios", "composition",
    "composition_reduced", "energy_adjustments",
}  # fmt: skip
"""What belongs to the structure or to the database, and is no property."""
_DEPTH = 5

Record = tuple[str, Mapping[str, Any], Payload, tuple[str, ...]]
"""A name, the values beside its structure, the structure, and notes."""


def tried(read: Callable[[Any], Cell], item: Any) -> Payload:
    """Return what `read` makes of an item, or why it makes nothing of it."""
    try:
        return read(item)
    except DataError as error:
        return Problem.of(error)


def source_of(
    records: Sequence[Record], labels: Labels, where: str, skip: Iterable[str] | None = None
) -> Source:
    """Return the entries of a file or list, their values as labels.

    Args:
        records: what was read.
        labels: see `read_labels`.
        where: what holds them, for messages.
        skip: columns that are no labels; None: the one that names the entries.
    """
    source = Source()
    columns = columns_of([values for _, values, _, _ in records], where, source.notes)
    if skip is None:
        skip = [name for name in [id_column(columns)] if name]
    found = read_labels(columns, labels, where, skip, source.notes) or [{} for _ in records]
    for i, (name, _, payload, notes) in enumerate(records):
        place = f"{where} number {i + 1}"
        source.entries.append(Entry(name, place, payload, found[i], notes=notes))
    return source


def columns_of(
    records: Sequence[Mapping[str, Any]], where: str, notes: list[str]
) -> dict[str, list[object]]:
    """Return values by column name, one a record, None where a record has none.

    Values are numbers and text. Those of nested records have the names of both, as in
    `bulk_modulus_vrh`; `{"value": 5.1, "unit": "eV"}` is a value whose column names its unit,
    and what stands beside them is nested; a list of one value is that value. What else a record
    holds is named in `notes`.
    """
    columns: dict[str, list[object]] = {}
    others: dict[str, None] = {}
    for i, record in enumerate(records):
        for name, value in flat(record).items():
            if isinstance(value, (str, int, float, np.number)) and not isinstance(value, bool):
                columns.setdefault(name, [None] * len(records))[i] = value
            elif value is not None and np.size(value):
                others[name] = None
    if others:
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        notes.append(
            f"Labels are numbers or text; of {where} what is neither is not read: "
            f"{listed(list(others)[:5])}{more}."
        )
    return columns


def flat(record: Mapping[str, Any], prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """Return the values of a record and of the records in it; of two with one name the outer."""
    own: dict[str, Any] = {}
    inner: dict[str, Any] = {}
    for key, value in record.items():
        name = f"{prefix}{key}"
        if str(key).startswith("@") or key in _NO_VALUES:
            continue
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if isinstance(value, Mapping) and "value" in value:
            unit = value.get("unit") or value.get("units")
            own[f"{name} ({unit})" if unit else name] = value["value"]
            others = {k: v for k, v in value.items() if k not in ("value", "unit", "units")}
            inner = {**flat(others, f"{name}_", depth + 1), **inner}
        elif isinstance(value, Mapping) and depth < _DEPTH:
            deeper = prefix if key in _WRAPPERS else f"{name}_"
            inner = {**flat(value, deeper, depth + 1), **inner}
        elif isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 1:
            own[name] = value[0]
        else:
            own[name] = value
    return {**inner, **own}
