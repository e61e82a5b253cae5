"""extxyz files and ASE databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crystal_ldm.crystals.readers.entries import Cell, Entry, Source
from crystal_ldm.crystals.readers.report import Rejection
from crystal_ldm.crystals.readers.tables import Labels, read_labels
from crystal_ldm.errors import DataError

if TYPE_CHECKING:
    from ase import Atoms

ASE_SUFFIXES = (".extxyz", ".xyz", ".db")

_Frame = tuple[str, dict[str, Any], "Atoms"]


def read_ase(path: Path, labels: Labels = None) -> Source:
    """Read all frames of an extxyz file or all rows of an ASE sqlite database.

    Labels are numbers and text in `atoms.info` (extxyz) or the key-value pairs (database).

    Raises:
        DataError: if the file cannot be read at all.
    """
    source = Source()
    frames: list[_Frame] = []
    stream = _database_rows(path) if path.suffix.lower() == ".db" else _extxyz_frames(path)
    try:
        for frame in stream:
            frames.append(frame)
    # ASE raises whatever a broken file provokes. What comes after it in a text file is lost too.
    except Exception as error:
        message = str(error).strip() or type(error).__name__
        if not frames:
            raise DataError(f"The file {path} cannot be read ({message}).") from error
        where = f"{path.name} after frame {len(frames)}"
        reason = f"The file cannot be read from here on ({message})."
        source.rejected.append(Rejection(f"frame-{len(frames) + 1}", where, "unreadable", reason))
    if not frames:
        raise DataError(f"The file {path} holds no structures.")

    columns: dict[str, list[object]] = {}
    for i, (_, info, _) in enumerate(frames):
        for key, value in info.items():
            if isinstance(value, (str, int, float, np.number)) and not isinstance(value, bool):
                columns.setdefault(key, [None] * len(frames))[i] = value
    found = read_labels(columns, labels, path.name, skip=("id", "unique_id"))
    source.notes += found.notes
    for i, (name, _, atoms) in enumerate(frames):
        where = f"{path.name} number {i + 1}"
        if not atoms.pbc.all():
            reason = "It is not periodic in all three directions."
            source.rejected.append(Rejection(name, where, "not periodic", reason))
            continue
        lattice = np.array(atoms.cell.array, dtype=np.float64)
        if abs(np.linalg.det(lattice)) < 1e-3:
            reason = "The cell has no volume."
            source.rejected.append(Rejection(name, where, "unreadable", reason))
            continue
        coords = atoms.positions @ np.linalg.inv(lattice)
        cell = Cell(lattice, coords, np.asarray(atoms.numbers, dtype=np.int64))
        source.entries.append(Entry(name, where, cell, found.row(i)))
    return source


def _extxyz_frames(path: Path) -> Iterator[_Frame]:
    from ase.io import iread

    for i, atoms in enumerate(iread(path, index=":", format="extxyz")):
        name = atoms.info.get("material_id") or atoms.info.get("id") or f"{path.stem}-{i + 1}"
        info = dict(atoms.info)
        info.pop("material_id", None)
        yield str(name), info, atoms


def _database_rows(path: Path) -> Iterator[_Frame]:
    from ase.db import connect

    for row in connect(path, type="db").select():
        yield f"{path.stem}-{row.id}", dict(row.key_value_pairs), row.toatoms()
