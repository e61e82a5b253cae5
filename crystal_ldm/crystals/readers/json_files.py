"""json and json.gz files of pymatgen structures, read as plain data.

pymatgen's own decoder imports and calls the classes that a file names; this one does not.
"""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from crystal_ldm.crystals.elements import atomic_number
from crystal_ldm.crystals.readers.entries import Cell, Entry, Source
from crystal_ldm.crystals.readers.report import Rejection
from crystal_ldm.crystals.readers.tables import Labels, id_column, read_labels
from crystal_ldm.errors import CrystalLDMError, DataError

JSON_SUFFIXES = (".json", ".json.gz")


def read_json(path: Path, labels: Labels = None) -> Source:
    """Read structures from a json file.

    It is a list of structures (`Structure.as_dict()`), a dict id -> structure, a list of records
    with a `structure` and other values, or a table with `index`, `columns` and `data` (the layout
    of matbench).

    Raises:
        DataError: if the file is cut short or of another layout.
    """
    try:
        raw = path.read_bytes()
        data = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise DataError(f"The file {path} is cut short or not json ({error}).") from error
    try:
        records = _records(data, path)
    except (TypeError, ValueError) as error:
        raise DataError(f"The file {path} is not a list of structures ({error}).") from error
    if not records:
        raise DataError(f"The file {path} holds no structures.")

    columns: dict[str, list[object]] = {}
    for i, (_, _, values) in enumerate(records):
        for key, value in values.items():
            if isinstance(value, (str, int, float)) and not isinstance(value, bool):
                columns.setdefault(key, [None] * len(records))[i] = value
    skip = [c for c in [id_column(columns)] if c]
    found = read_labels(columns, labels, path.name, skip=skip)
    source = Source(notes=found.notes)
    for i, (name, structure, _) in enumerate(records):
        where = f"{path.name} number {i + 1}"
        try:
            source.entries.append(Entry(name, where, structure_cell(structure), found.row(i)))
        except DataError as error:
            source.rejected.append(Rejection(name, where, "unreadable", str(error)))
    return source


def _records(data: Any, path: Path) -> list[tuple[str, Any, dict[str, Any]]]:
    """Return (id, structure, other values) of each record."""
    if isinstance(data, dict) and {"columns", "data"} <= set(data):
        rows = [dict(zip(data["columns"], row, strict=True)) for row in data["data"]]
        index = data.get("index") or range(len(rows))
        data = {str(name): row for name, row in zip(index, rows, strict=True)}
    if isinstance(data, dict) and "lattice" in data and "sites" in data:
        data = [data]
    if isinstance(data, dict):
        items = list(data.items())
    elif isinstance(data, list):
        items = [(f"{path.name.split('.')[0]}-{i + 1}", item) for i, item in enumerate(data)]
    else:
        raise DataError(f"The file {path} holds neither a list nor a dict of structures.")
    records = []
    for name, item in items:
        values: dict[str, Any] = {}
        if isinstance(item, dict) and "structure" in item:
            values = {k: v for k, v in item.items() if k != "structure"}
            column = id_column(values)
            name = str(values[column]) if column else name
            item = item["structure"]
        records.append((str(name), item, values))
    return records


def structure_cell(data: Any) -> Cell:
    """Return the cell of a structure's `as_dict()`.

    Raises:
        DataError: if it is not one, is disordered, or holds something that is not an element.
    """
    try:
        lattice = np.array(data["lattice"]["matrix"], dtype=np.float64)
        sites = data["sites"]
        coords = np.array([site["abc"] for site in sites], dtype=np.float64).reshape(-1, 3)
        species = [site["species"] for site in sites]
        occupied = [[(str(s["element"]), float(s["occu"])) for s in group] for group in species]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(f"It is not a structure in pymatgen's layout ({error!r}).") from error
    if any(len(group) != 1 or abs(group[0][1] - 1) > 1e-8 for group in occupied):
        raise DataError("It is disordered (sites with partial occupancy).")
    try:
        numbers = [atomic_number(_element(group[0][0])) for group in occupied]
    except CrystalLDMError as error:
        raise DataError(str(error)) from error
    return Cell(lattice, coords, np.array(numbers, dtype=np.int64))


def _element(symbol: str) -> str:
    return "H" if symbol in ("D", "T") else symbol
