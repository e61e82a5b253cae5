"""json and json.gz files of structures, read as plain data.

pymatgen's own decoder imports and calls the classes that a file names; this one does not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.readers.content import read_text
from crystal_ldm.crystals.readers.entries import Payload, Problem, Source, read_payload
from crystal_ldm.crystals.readers.json_layouts import (
    LAYOUTS,
    is_structure_data,
    read_structure,
)
from crystal_ldm.crystals.readers.labels import Labels
from crystal_ldm.crystals.readers.poscar import read_poscar
from crystal_ldm.crystals.readers.records import flat, source_of
from crystal_ldm.crystals.readers.tables import id_column
from crystal_ldm.errors import DataError

JSON_SUFFIXES = (".json", ".json.gz", ".jsonl", ".jsonl.gz")
_STRUCTURE_KEYS = ("structure", "final_structure", "atoms", "cif")
_WRAPPERS = ("entries", "data", "response", "docs", "structures", "results")
_OF_ASE = ("data", "info", "key_value_pairs")


def read_json(path: Path, labels: Labels = None) -> Source:
    """Read structures from a json file (see `LAYOUTS`), or a table with `index`, `columns`, `data`.

    Raises:
        DataError: if the file is cut short or of another layout.
    """
    try:
        data = _parsed(read_text(path))
    except (ValueError, RecursionError) as error:
        reason = str(error).rstrip(".")
        raise DataError(f"The file {path} is cut short or not json ({reason}).") from error
    try:
        records = _records(data, path)
    except (TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"The file {path} is not a list of structures ({error}).") from error
    if not records:
        raise DataError(f"The file {path} holds no structures.")

    frames = [
        (name, values, *_payload_or_problem(structure)) for name, structure, values in records
    ]
    return source_of(frames, labels, path.name)


def _parsed(text: str) -> Any:
    """Return the content of json, or of json lines as a list."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        lines = [(i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
        if len(lines) < 2 or not all(line.lstrip().startswith("{") for _, line in lines):
            raise
        records = [_line(*line) for line in lines]
        if all(isinstance(record, Problem) for record in records):
            raise
        return records


def _line(number: int, text: str) -> Any:
    """Return the record of a line, or why there is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", str(error))
        return Problem("unreadable", f"Line {number} is cut short or not json ({reason}).")


def record_cell(data: Mapping[str, Any]) -> tuple[Cell, list[str]]:
    """Return the cell of one dictionary, a structure or a record that holds one, and notes.

    Raises:
        DataError: if it is neither, is disordered, or holds something that is not an element.
    """
    data = _mapping(data.get("attributes")) or data  # OPTIMADE
    key = next((key for key in _STRUCTURE_KEYS if key in data), None)
    payload, before = _payload_of(data if key is None else data[key])
    cell, notes = read_payload(payload)
    return cell, [*before, *notes]


def _payload_of(structure: Any) -> tuple[Payload, tuple[str, ...]]:
    """Return a structure of a record, as data or as text: json, a POSCAR, or else a CIF."""
    if not isinstance(structure, str):
        return read_structure(structure)
    if structure.lstrip().startswith("{"):
        try:
            data = json.loads(structure)
        except (ValueError, RecursionError) as error:
            raise DataError(f"Its structure is cut short or not json ({error}).") from error
        return read_structure(data)
    try:
        cell, notes = read_poscar(structure)
        return cell, tuple(notes)
    except DataError:
        return structure, ()


def _payload_or_problem(structure: Any) -> tuple[Payload, tuple[str, ...]]:
    if isinstance(structure, Problem):
        return structure, ()
    try:
        return _payload_of(structure)
    except DataError as error:
        return Problem.of(error), ()


def _records(data: Any, path: Path) -> list[tuple[str, Any, dict[str, Any]]]:
    """Return (id, structure, other values) of each record."""
    stem = path.name.split(".")[0]
    if isinstance(data, dict) and {"columns", "data"} <= set(data):
        rows = [dict(zip(data["columns"], row, strict=True)) for row in data["data"]]
        index = data.get("index") or range(len(rows))
        data = {str(name): row for name, row in zip(index, rows, strict=True)}
    if isinstance(data, dict):
        inner = next((data[k] for k in _WRAPPERS if isinstance(data.get(k), list)), None)
        single = data.get("data")
        if inner is not None:
            data = inner
        elif isinstance(single, dict) and "attributes" in single:  # one entry of OPTIMADE
            data = single
        elif {"ids", "nextid"} <= set(data):  # an ASE database
            data = {k: v for k, v in data.items() if k not in ("ids", "nextid")}
        elif _are_columns(data):
            keys = next(data[k] for k in _STRUCTURE_KEYS if k in data)
            data = {n: {c: column.get(n) for c, column in data.items()} for n in keys}
        if is_structure_data(data) or _is_record(data) or "attributes" in data:
            data = [data]
    if isinstance(data, dict):
        items = [(str(name), item, False) for name, item in data.items()]
    elif isinstance(data, list):
        items = [(f"{stem}-{i + 1}", item, True) for i, item in enumerate(data)]
    else:
        raise DataError(
            f"The file {path} holds neither a list nor a dict of structures; needed: {LAYOUTS}."
        )
    records = []
    for name, item, unnamed in items:
        values: dict[str, Any] = {}
        if isinstance(item, dict):
            values = flat(item)
            column = id_column({k: v for k, v in values.items() if v not in (None, "")})
            if column and (unnamed or _is_record(item)):
                name = str(values[column])
            if "attributes" in item:  # OPTIMADE
                values = _mapping(item["attributes"])
                item = values
            elif _is_record(item):
                values = {k: v for k, v in item.items() if k not in _STRUCTURE_KEYS}
                item = item[next(k for k in _STRUCTURE_KEYS if k in item)]
            else:  # the structure itself: pymatgen's `properties`, `key_value_pairs` of ASE, `info`
                values = {k: _mapping(item.get(k)) for k in ("properties", *_OF_ASE)}
        records.append((name, item, values))
    return records


def _are_columns(data: dict[str, Any]) -> bool:
    """Whether it is a table of pandas, column by column, with a column of structures."""
    column = next((data[k] for k in _STRUCTURE_KEYS if k in data), None)
    return (
        isinstance(column, dict)
        and all(isinstance(values, dict) for values in data.values())
        and bool(column)
        and all(isinstance(v, str) or is_structure_data(v) for v in column.values())
    )


def _is_record(item: Any) -> bool:
    return isinstance(item, dict) and any(key in item for key in _STRUCTURE_KEYS)


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}
