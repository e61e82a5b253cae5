"""json and json.gz files of structures, read as plain data.

pymatgen's own decoder imports and calls the classes that a file names; this one does not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.elements import atomic_number
from crystal_ldm.crystals.readers.content import read_text
from crystal_ldm.crystals.readers.entries import (
    HYDROGEN,
    NOT_PERIODIC,
    Entry,
    Payload,
    Problem,
    Source,
    problem_kind,
)
from crystal_ldm.crystals.readers.tables import Labels, id_column, read_labels
from crystal_ldm.errors import DataError, FormulaError

JSON_SUFFIXES = (".json", ".json.gz")
LAYOUTS = (
    "a list or dict of pymatgen structures, records with a 'structure' (matbench, the Materials "
    "Project), entries of Alexandria, records of JARVIS with 'atoms', or records with a 'cif'"
)
_STRUCTURE_KEYS = ("structure", "final_structure", "atoms", "cif")
_WRAPPERS = ("entries", "data", "response", "docs")


def read_json(path: Path, labels: Labels = None) -> Source:
    """Read structures from a json file (see `LAYOUTS`), or a table with `index`, `columns`, `data`.

    Raises:
        DataError: if the file is cut short or of another layout.
    """
    try:
        data = json.loads(read_text(path))
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
            if isinstance(value, (str, int, float)) and not isinstance(value, bool):
                columns.setdefault(key, [None] * len(records))[i] = value
    skip = [c for c in [id_column(columns)] if c]
    found = read_labels(columns, labels, path.name, skip=skip)
    source = Source(notes=found.notes)
    for i, (name, structure, _) in enumerate(records):
        payload, notes = _payload(structure)
        where = f"{path.name} number {i + 1}"
        source.entries.append(Entry(name, where, payload, found.row(i), notes=notes))
    return source


def record_cell(data: Mapping[str, Any]) -> Cell:
    """Return the cell of one dictionary: a structure or a record that holds one.

    Raises:
        DataError: if it is neither, is disordered, or holds something that is not an element.
    """
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
        return _read_structure(structure)
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
        wrapped = next((k for k in _WRAPPERS if isinstance(data.get(k), list)), None)
        if wrapped is not None:
            data = data[wrapped]
    if isinstance(data, dict) and ({"lattice", "sites"} <= set(data) or _is_record(data)):
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
            else:
                values = {}
        records.append((name, item, values))
    return records


def _is_record(item: Any) -> bool:
    return isinstance(item, dict) and any(key in item for key in _STRUCTURE_KEYS)


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def structure_cell(data: Any) -> Cell:
    """Return the cell of a structure in pymatgen's, JARVIS's or OPTIMADE's layout.

    Raises:
        DataError: if it is none, is disordered, or holds something that is not an element.
    """
    return _read_structure(data)[0]


def _read_structure(data: Any) -> tuple[Cell, tuple[str, ...]]:
    try:
        if "lattice_mat" in data:
            lattice, coords, names = _jarvis(data)
        elif "cartesian_site_positions" in data:
            lattice, coords, names = _optimade(data)
        else:
            lattice, coords, names = _pymatgen(data)
    except (KeyError, TypeError, ValueError, IndexError, np.linalg.LinAlgError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"It is not a structure in pymatgen's layout ({error!r}); what can be read: {LAYOUTS}."
        ) from error
    try:
        numbers = [atomic_number(_element(name)) for name in names]
    except FormulaError as error:
        raise DataError(str(error)) from error
    notes = (HYDROGEN,) if {"D", "T"} & set(names) else ()
    return Cell.from_arrays(np.array(numbers, dtype=np.int64), coords, lattice), notes


_Arrays = tuple[NDArray[np.float64], NDArray[np.float64], list[str]]


def _pymatgen(data: Any) -> _Arrays:
    lattice = np.array(data["lattice"]["matrix"], dtype=np.float64)
    if not all(data["lattice"].get("pbc", (True, True, True))):
        raise DataError(NOT_PERIODIC)
    sites = data["sites"]
    coords = np.array([site["abc"] for site in sites], dtype=np.float64).reshape(-1, 3)
    species = [site["species"] for site in sites]
    occupied = [[(str(s["element"]), float(s["occu"])) for s in group] for group in species]
    if any(len(group) != 1 or abs(group[0][1] - 1) > 1e-8 for group in occupied):
        raise DataError("It is disordered (sites with partial occupancy).")
    return lattice, coords, [group[0][0] for group in occupied]


def _jarvis(data: Any) -> _Arrays:
    lattice = np.array(data["lattice_mat"], dtype=np.float64)
    coords = np.array(data["coords"], dtype=np.float64).reshape(-1, 3)
    if data.get("cartesian"):
        coords = coords @ np.linalg.inv(lattice)
    return lattice, coords, [str(name).strip() for name in data["elements"]]


def _optimade(data: Any) -> _Arrays:
    if not all(data.get("dimension_types", (1, 1, 1))):
        raise DataError(NOT_PERIODIC)
    lattice = np.array(data["lattice_vectors"], dtype=np.float64)
    coords = np.array(data["cartesian_site_positions"], dtype=np.float64).reshape(-1, 3)
    kinds = {kind["name"]: kind for kind in data.get("species") or ()}
    names = []
    for name in data["species_at_sites"]:
        elements = kinds.get(name, {}).get("chemical_symbols", [name])
        if len(elements) != 1 or elements[0] in ("X", "vacancy"):
            raise DataError("It is disordered (sites with partial occupancy).")
        names.append(str(elements[0]))
    return lattice, coords @ np.linalg.inv(lattice), names


def _element(symbol: str) -> str:
    return "H" if symbol in ("D", "T") else symbol
