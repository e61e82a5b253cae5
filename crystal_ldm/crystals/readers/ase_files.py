"""extxyz files, and what ASE reads itself: its databases and trajectories, XCrySDen's xsf."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_ldm.crystals.readers.content import read_text
from crystal_ldm.crystals.readers.entries import (
    HYDROGEN,
    Payload,
    Problem,
    Source,
)
from crystal_ldm.crystals.readers.labels import Labels
from crystal_ldm.crystals.readers.objects import atoms_cell
from crystal_ldm.crystals.readers.records import source_of
from crystal_ldm.crystals.readers.units import UNITS
from crystal_ldm.errors import DataError

if TYPE_CHECKING:
    from ase import Atoms

ASE_SUFFIXES = (".extxyz", ".xyz", ".db", ".traj", ".xsf")

_ENERGIES = ("energy", "free_energy")
_PROPERTIES = re.compile(r"Properties=\"?([^\s\"]+)")

_Frame = tuple[str, dict[str, Any], "Atoms | Problem", tuple[str, ...]]


def read_ase(path: Path, labels: Labels = None) -> Source:
    """Read all frames of an extxyz or xsf file or ASE trajectory, or all rows of an ASE database.

    Labels are numbers and text in `atoms.info` (extxyz) or the key-value pairs (database), and the
    energies of a calculator (eV for the cell).

    Raises:
        DataError: if the file cannot be read at all.
    """
    frames: list[_Frame] = []
    readers = {".db": _database_rows, ".traj": _frames_of_ase, ".xsf": _frames_of_ase}
    stream = readers.get(path.suffix.lower(), _extxyz_frames)(path)
    try:
        for frame in stream:
            frames.append(frame)
    except DataError as error:
        raise DataError(f"The file {path} cannot be read ({error}).") from error
    # ASE raises whatever a broken database provokes.
    except Exception as error:
        message = str(error).strip() or "it is not laid out as ASE wants it"
        if "StopIteration" in message:
            message = "it ends early"
        if not frames:
            raise DataError(f"The file {path} cannot be read ({message}).") from error
        reason = f"The file cannot be read from here on ({message})."
        frames.append((f"row-{len(frames) + 1}", {}, Problem("unreadable", reason), ()))
    if not frames:
        raise DataError(f"The file {path} holds no structures.")
    if all(isinstance(atoms, Problem) for _, _, atoms, _ in frames):
        problem = frames[0][2]
        assert isinstance(problem, Problem)
        raise DataError(f"The file {path} cannot be read ({problem.reason}).")

    entries = [(name, info, _payload(atoms), notes) for name, info, atoms, notes in frames]
    source = source_of(entries, labels, path.name, skip=("id", "unique_id"))
    names = dict.fromkeys(name for entry in source.entries for name in entry.labels)
    energies = [n for n in names if "energy" in n.lower() and n not in UNITS]
    if energies:
        source.notes.append(
            f"Labels of {path.name} as the file has them (ASE: eV for the cell): "
            f"{', '.join(energies)}."
        )
    return source


def _payload(atoms: Atoms | Problem) -> Payload:
    if isinstance(atoms, Problem):
        return atoms
    try:
        return atoms_cell(atoms)
    except DataError as error:
        return Problem.of(error)


def _extxyz_frames(path: Path) -> Iterator[_Frame]:
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
        size = int(lines[start]) + 2 if lines[start].strip().isdecimal() else 0
        frame = lines[start : start + size]
        if not size or len(frame) < size:
            what = (
                f"'{lines[start][:40]}' is not a number of atoms" if not size else "it ends early"
            )
            reason = f"The file cannot be read from here on ({what})."
            yield name, {}, Problem("unreadable", reason), ()
            return
        start += size
        following = (lines[i] for i in range(start, len(lines)) if lines[i].strip())
        rest = next(following, "0").strip()
        if not rest.isdecimal():
            reason = (
                f"It says that it has {size - 2} atoms, and is followed by '{rest[:40]}' in place "
                "of the next number of atoms."
            )
            yield name, {}, Problem("unreadable", reason), ()
            return
        notes = _without_isotopes(frame)
        try:
            atoms = read(io.StringIO("\n".join(frame) + "\n"), format="extxyz")
        # ASE's parser raises whatever its input provokes.
        except Exception as error:
            what = str(error).strip() or type(error).__name__
            if isinstance(error, KeyError):  # of its table of symbols
                what = f"{what} is not a chemical element"
            reason = f"The frame cannot be read ({type(error).__name__}: {what})."
            if start >= len(lines) and not isinstance(error, KeyError):
                reason = f"The file cannot be read from here on ({what}); it may be cut short."
            yield name, {}, Problem("unreadable", reason), ()
            continue
        assert not isinstance(atoms, list)
        info = {**_calculated(atoms), **atoms.info}
        given = info.pop("material_id", None) or info.get("id")
        yield str(name if given is None else given), info, atoms, notes


def _without_isotopes(frame: list[str]) -> tuple[str, ...]:
    """Write H for D and T in the lines of a frame, which ASE does not know; return a note."""
    column = 0
    if match := _PROPERTIES.search(frame[1]):
        fields = match.group(1).split(":")
        for name, width in zip(fields[::3], fields[2::3], strict=False):
            if name.lower() in ("species", "symbols"):
                break
            column += int(width) if width.isdecimal() else 1
        else:
            return ()
    changed = False
    for i, line in enumerate(frame[2:], start=2):
        words = line.split()
        if len(words) > column and words[column] in ("D", "T"):
            words[column] = "H"
            frame[i] = " ".join(words)
            changed = True
    return (HYDROGEN,) if changed else ()


def _calculated(atoms: Atoms) -> dict[str, Any]:
    results = getattr(atoms.calc, "results", None) or {}
    return {name: float(results[name]) for name in _ENERGIES if results.get(name) is not None}


def _frames_of_ase(path: Path) -> Iterator[_Frame]:
    from ase.io import iread

    for i, atoms in enumerate(iread(path, index=":", format=path.suffix[1:].lower()), start=1):
        yield f"{path.stem}-{i}", {**_calculated(atoms), **atoms.info}, atoms, ()


def _database_rows(path: Path) -> Iterator[_Frame]:
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
        yield f"{path.stem}-{row.id}", info, row.toatoms(), notes
