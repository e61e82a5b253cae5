"""extxyz files, and what ASE reads itself: its databases and trajectories, XCrySDen's xsf."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_ldm.crystals.readers.content import read_text
from crystal_ldm.crystals.readers.entries import Problem, Source
from crystal_ldm.crystals.readers.labels import Labels
from crystal_ldm.crystals.readers.objects import atoms_cell
from crystal_ldm.crystals.readers.poscar import HYDROGEN
from crystal_ldm.crystals.readers.records import Record, source_of, tried
from crystal_ldm.crystals.readers.units import UNITS
from crystal_ldm.errors import DataError, describe_error

if TYPE_CHECKING:
    from ase import Atoms

ASE_SUFFIXES = (".extxyz", ".xyz", ".db", ".traj", ".xsf")

_HEAVY = re.compile(r"(?<!\S)D(?!\S)|^\s*T(?=\s)")
"""Deuterium and tritium, which ASE does not know; elsewhere in a line T is "true"."""
_ENERGIES = ("energy", "free_energy")
_IDS = ("id", "unique_id")


def read_ase(path: Path, labels: Labels = None) -> Source:
    """Read all frames of an extxyz or xsf file or ASE trajectory, or all rows of an ASE database.

    Labels are numbers and text in `atoms.info` (extxyz) or the key-value pairs (database), and the
    energies of a calculator (eV for the cell).

    Raises:
        DataError: if the file cannot be read at all.
    """
    records: list[Record] = []
    readers = {".db": _database_rows, ".traj": _frames_of_ase, ".xsf": _frames_of_ase}
    try:
        for record in readers.get(path.suffix.lower(), _extxyz_frames)(path):
            records.append(record)
    # ASE raises whatever a broken file provokes; what came before it is kept.
    except Exception as error:
        reason = f"It ends early, or is not laid out as ASE wants it ({describe_error(error)})."
        reason = str(error) if isinstance(error, DataError) else reason
        problem = Problem("unreadable", reason)
        records.append((f"{path.stem}-{len(records) + 1}", {}, problem, ()))
    reasons = [
        crystal.reason
        for _, _, crystal, _ in records
        if isinstance(crystal, Problem) and crystal.kind == "unreadable"
    ]
    if len(reasons) == len(records):
        reason = reasons[0] if reasons else "It holds no structures."
        raise DataError(f"The file {path} cannot be read: {reason}")
    source = source_of(records, labels, path.name, skip=_IDS)
    note_energies(source, path.name)
    return source


def note_energies(source: Source, where: str) -> None:
    """Say which labels are energies in ASE's unit."""
    names = dict.fromkeys(name for entry in source.entries for name in entry.labels)
    energies = [n for n in names if "energy" in n.lower() and n not in UNITS]
    if energies:
        source.notes.append(
            f"Labels of {where} as they are given (ASE: eV for the cell): {', '.join(energies)}."
        )


def _extxyz_frames(path: Path) -> Iterator[Record]:
    """Yield each frame; one that cannot be read ends the file only if its length is lost."""
    from ase.io import read

    lines = read_text(path).splitlines()
    start, count = 0, 0
    while start < len(lines):
        if not lines[start].strip():
            start += 1
            continue
        count += 1
        name = f"{path.stem}-{count}"
        size = int(lines[start]) + 2 if lines[start].strip().isdecimal() else 1
        frame = lines[start : start + size]
        start += size
        rest = next((lines[i] for i in range(start, len(lines)) if lines[i].strip()), "0").strip()
        if size == 1 or len(frame) < size or not rest.isdecimal():
            raise DataError(
                f"The file cannot be read from here on: it ends early, or '{frame[0][:40]}' or "
                f"'{rest[:40]}' is not the number of atoms that follow."
            )
        plain = [*frame[:2], *(_HEAVY.sub("H", line) for line in frame[2:])]
        try:
            atoms = read(io.StringIO("\n".join(plain) + "\n"), format="extxyz")
        # ASE's parser raises whatever its input provokes.
        except Exception as error:
            what = describe_error(error)
            if isinstance(error, KeyError):  # of its table of symbols
                what = f"{error} is not a chemical element that ASE knows"
            yield name, {}, Problem("unreadable", f"The frame cannot be read ({what})."), ()
            continue
        assert not isinstance(atoms, list)
        notes = (HYDROGEN,) if plain != frame else ()
        yield *_named(atoms, name), tried(atoms_cell, atoms), notes


def record_of_atoms(atoms: Atoms, name: str) -> Record:
    """Return ASE Atoms as a frame of a file has them; of a calculator what still holds for them."""
    notes: tuple[str, ...] = ()
    energies = [*_calculated(atoms)]
    if energies and atoms.calc.calculation_required(atoms, energies):
        atoms = atoms.copy()  # without its calculator
        notes = ("The energy of a calculator that last had other atoms is not read.",)
    name, info = _named(atoms, name)
    info = {key: value for key, value in info.items() if key not in _IDS}
    return name, info, tried(atoms_cell, atoms), notes


def _named(atoms: Atoms, name: str) -> tuple[str, dict[str, Any]]:
    """Return the id, `name` where it has none, and the values beside the atoms."""
    info = {**_calculated(atoms), **atoms.info}
    given = info.pop("material_id", None) or info.get("id")
    return str(name if given is None else given), info


def _calculated(atoms: Atoms) -> dict[str, Any]:
    results = getattr(atoms.calc, "results", None) or {}
    return {name: float(results[name]) for name in _ENERGIES if results.get(name) is not None}


def _frames_of_ase(path: Path) -> Iterator[Record]:
    from ase.io import iread

    for i, atoms in enumerate(iread(path, index=":", format=path.suffix[1:].lower()), start=1):
        info = {**_calculated(atoms), **atoms.info}
        yield f"{path.stem}-{i}", info, tried(atoms_cell, atoms), ()


def _database_rows(path: Path) -> Iterator[Record]:
    from ase.db import connect

    for row in connect(path, type="db").select():
        energies = {n: row.get(n) for n in _ENERGIES if isinstance(row.get(n), float)}
        data: dict[str, Any] = {}
        notes: tuple[str, ...] = ()
        try:
            data = row.data
        # Objects of another program, of which ASE's decoder raises whatever they provoke.
        except Exception:
            notes = ("The `data` of a row of the ASE database cannot be decoded and is not read.",)
        info = {"data": data, **energies, **row.key_value_pairs}
        yield f"{path.stem}-{row.id}", info, tried(atoms_cell, row.toatoms()), notes
