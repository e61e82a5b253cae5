"""From what the user names (a folder, a file, a list) to entries, and from a dropped file to its
crystal."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.readers.ase_files import (
    ASE_SUFFIXES,
    note_energies,
    read_ase,
    record_of_atoms,
)
from crystal_ldm.crystals.readers.cif import is_cif
from crystal_ldm.crystals.readers.content import MAX_STRUCTURE_BYTES, existing, read_text
from crystal_ldm.crystals.readers.csv_files import (
    TABLE_SUFFIXES,
    read_csv_files,
    table_files,
)
from crystal_ldm.crystals.readers.entries import Entry, Payload, Problem, Source
from crystal_ldm.crystals.readers.file_names import is_structure_file, without_suffix
from crystal_ldm.crystals.readers.folders import (
    add_labels,
    read_folder,
    structure_files,
)
from crystal_ldm.crystals.readers.json_files import JSON_SUFFIXES, read_json
from crystal_ldm.crystals.readers.labels import Labels
from crystal_ldm.crystals.readers.objects import cell_of, cells_of, file_cell, is_atoms
from crystal_ldm.crystals.readers.poscar import read_poscar
from crystal_ldm.crystals.readers.records import Record, source_of
from crystal_ldm.errors import DataError
from crystal_ldm.files.run_directory import RAW_CELLS

SUPPORTED = (
    "a folder of CIF or POSCAR files (with an optional property table), a csv or csv.gz file with "
    "a 'cif' column or a folder of them, an extxyz or xsf file, an ASE database (.db), a json or "
    "json.gz file of structures (pymatgen, Materials Project, JARVIS, Alexandria), a run "
    "directory, or a list of pymatgen structures or ASE Atoms"
)
PACKED = (
    ".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar", ".bz2", ".xz",
    *(f"{suffix}.gz" for suffix in ASE_SUFFIXES),
)  # fmt: skip


@dataclass(frozen=True)
class OpenSource:
    """A source that was found but not read.

    Attributes:
        name: what to call the data set.
        fingerprint: changes when the source does.
        read: reads the entries.
    """

    name: str
    fingerprint: str
    read: Callable[[], Source]


def open_source(path: str | Path, labels: Labels = None) -> OpenSource:
    """Find out what kind of source `path` is.

    Args:
        path: a file or folder.
        labels: the columns to use as labels.

    Raises:
        DataError: if it does not exist or is of no kind that can be read.
    """
    path = existing(path)
    name = path.name.split(".")[0] or path.name
    suffixes = "".join(path.suffixes[-2:]).lower()
    if path.is_dir():
        return _open_folder(path, labels)
    packed = path.name.lower().endswith(PACKED)
    read: Callable[[], Source]
    if suffixes.endswith(TABLE_SUFFIXES):
        read = partial(read_csv_files, [path], labels)
    elif suffixes.endswith(ASE_SUFFIXES):
        read = partial(read_ase, path, labels)
    elif suffixes.endswith(JSON_SUFFIXES):
        read = partial(read_json, path, labels)
    elif is_structure_file(path) or (not packed and _holds_structure(path)):
        name = without_suffix(path.name)
        read = partial(Source, [Entry(name, path.name, path)])
    elif packed:
        raise DataError(f"The file {path} is packed; unpack it, and give the file or folder in it.")
    else:
        raise DataError(
            f"The file {path} is of no known kind: crystals are read from CIF, POSCAR, extxyz, "
            "xsf, csv (with a 'cif' column), json, and ASE databases."
        )
    return OpenSource(name, _file_hash([path]), read)


def _open_folder(path: Path, labels: Labels) -> OpenSource:
    name = path.resolve().name
    raw, tables = path / RAW_CELLS, table_files(path)
    if raw.is_file():  # a run directory: its CIFs hold the same crystals, symmetrised
        return OpenSource(name, _file_hash([raw, *tables]), partial(_read_run, raw, tables, labels))
    if structures := structure_files(path):
        fingerprint = _stat_hash([*structures, *tables])
        return OpenSource(name, fingerprint, partial(read_folder, path, structures, tables, labels))
    if not tables:
        raise DataError(f"The folder {path} holds no crystals; needed: {SUPPORTED}.")
    return open_tables(path, tables, labels)


def open_tables(
    folder: Path, tables: list[Path], labels: Labels, default_labels: Sequence[str] | None = None
) -> OpenSource:
    """Take the tables of a folder; see `read_csv_files`."""
    read = partial(read_csv_files, tables, labels, default_labels)
    return OpenSource(folder.resolve().name, _file_hash(tables), read)


def _read_run(raw: Path, tables: list[Path], labels: Labels) -> Source:
    """Read the raw cells of a run directory, with the columns of its table."""
    source = read_ase(raw)
    if len(tables) == 1:
        add_labels(source, tables[0], labels)
    return source


def open_structures(structures: Iterable[Any], labels: Labels = None) -> OpenSource:
    """Take a list of crystals (see `objects.cell_of`); their `properties` or `info` become labels.

    Raises:
        DataError: if the list is empty or holds something else.
    """
    items = cells_of(structures)
    if not items:
        raise DataError("The list of structures is empty.")
    source = _read_structures(items, labels)
    digest = hashlib.sha256()
    for entry in source.entries:
        crystal = entry.payload.content if isinstance(entry.payload, Cell) else entry.payload
        digest.update(f"{entry.id}{sorted(entry.labels.items())}{crystal}".encode())
    return OpenSource("structures", digest.hexdigest(), lambda: source)


def _read_structures(items: list[Any], labels: Labels) -> Source:
    values = [getattr(x, "properties", None) or getattr(x, "info", None) or {} for x in items]
    records: list[Record] = [
        record_of_atoms(item, f"structure-{i}")
        if is_atoms(item)
        else (f"structure-{i}", one, *_payload_of(item))
        for i, (item, one) in enumerate(zip(items, values, strict=True))
    ]
    source = source_of(records, labels, "the list of structures", skip=())
    note_energies(source, "the list of structures")
    return source


def _payload_of(item: Any) -> tuple[Payload, tuple[str, ...]]:
    """Return the cell of a crystal, or why there is none, and notes."""
    try:
        cell, notes = cell_of(item)
        return cell, tuple(notes)
    except DataError as error:
        return Problem.of(error), ()


def _stat_hash(files: list[Path]) -> str:
    """Many files: names, sizes and times, since reading them all is slow."""
    digest = hashlib.sha256()
    for file in files:
        stat = file.stat()
        digest.update(f"{file}|{stat.st_size}|{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _file_hash(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}|".encode())
        try:
            with file.open("rb") as handle:
                digest.update(hashlib.file_digest(handle, "sha256").digest())
        except OSError as error:
            raise DataError(f"The file {file} cannot be read ({error.strerror}).") from error
    return digest.hexdigest()


def read_upload(name: str, content: bytes) -> tuple[Cell, list[str]]:
    """Return the crystal, coordinates in [0, 1), and notes; of a CIF of several it is the first.

    Raises:
        DataError: if it cannot be read, or another file holds more than one.
    """
    # The readers take files: the upload's name says the kind, and cannot lead out of the folder.
    # Of its letters each may be four of the 255 bytes that a name may have.
    safe = re.sub(r"[^\w.-]", "_", name).lstrip(".")[-60:] or "upload"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / safe
        path.write_bytes(content)
        try:
            cell, notes = file_cell(path, first_of_cif=True)
            return cell.checked(), notes
        except DataError as error:
            raise DataError(str(error).replace(str(path), name)) from error


def _holds_structure(path: Path) -> bool:
    """Whether a file whose name does not say so is written as a CIF or POSCAR."""
    try:
        text = read_text(path, MAX_STRUCTURE_BYTES)
        return is_cif(text) or bool(read_poscar(text))
    except DataError:
        return False
