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
from crystal_ldm.crystals.readers.entries import Entry, Payload, Problem, Source, problem_kind
from crystal_ldm.crystals.readers.json_layouts import (
    LAYOUTS,
    is_structure_data,
    read_structure,
    structure_cell,
)
from crystal_ldm.crystals.readers.labels import Labels, read_labels
from crystal_ldm.crystals.readers.tables import id_column
from crystal_ldm.errors import DataError

JSON_SUFFIXES = (".json", ".json.gz", ".jsonl", ".jsonl.gz")
_STRUCTURE_KEYS = ("structure", "final_structure", "atoms", "cif")
_WRAPPERS = ("entries", "data", "response", "docs")


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

    columns: dict[str, list[object]] = {}
    for i, (_, _, values) in enumerate(records):
        for key, value in values.items():
            usable = isinstance(value, (str, int, float)) and not isinstance(value, bool)
            if usable and not key.startswith("@"):  # @class, @module
                columns.setdefault(key, [None] * len(records))[i] = value
    skip = [c for c in [id_column(columns)] if c]
    found = read_labels(columns, labels, path.name, skip=skip)
    source = Source(notes=found.notes)
    for i, (name, structure, _) in enumerate(records):
        payload, notes = _payload(structure)
        where = f"{path.name} number {i + 1}"
        source.entries.append(Entry(name, where, payload, found.row(i), notes=notes))
    return source


def _parsed(text: str) -> Any:
    """Return the content of json, or of json lines as a list."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2 or not all(line.lstrip().startswith("{") for line in lines):
            raise
        return [json.loads(line) for line in lines]


def record_cell(data: Mapping[str, Any]) -> Cell:
    """Return the cell of one dictionary: a structure or a record that holds one.

    Raises:
        DataError: if it is neither, is disordered, or holds something that is not an element.
    """
    data = _mapping(data.get("attributes")) or data  # OPTIMADE
    key = next((key for key in _STRUCTURE_KEYS if key in data), None)
    content = data if key is None else data[key]
    if isinstance(content, str):
        from crystal_ldm.crystals.readers.cif import read_cif

        return read_cif(content)[0]
    return structure_cell(content)


def _payload(structure: Any) -> tuple[Payload, tuple[str, ...]]:
    if isinstance(structure, str):
        return structure, ()  # the text of a CIF
    try:
        return read_structure(structure)
    except DataError as error:
        return Problem(problem_kind(str(error)), str(error)), ()


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
            values = {**_mapping(item.get("data")), **item}
            column = id_column({k: v for k, v in values.items() if v not in (None, "")})
            if column and (unnamed or _is_record(item)):
                name = str(values[column])
            if "attributes" in item:  # OPTIMADE
                values = _mapping(item["attributes"])
                item = values
            elif _is_record(item):
                item = item[next(k for k in _STRUCTURE_KEYS if k in item)]
                values = {k: v for k, v in values.items() if k not in _STRUCTURE_KEYS}
            elif "key_value_pairs" in item:  # a row of an ASE database
                values = _mapping(item["key_value_pairs"])
            else:
                values = {}
        records.append((name, item, values))
    return records


def _is_record(item: Any) -> bool:
    return isinstance(item, dict) and any(key in item for key in _STRUCTURE_KEYS)


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}
