"""From what the user names (a folder, a file, a list) to entries."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crystal_ldm.crystals.readers.ase_files import ASE_SUFFIXES, read_ase
from crystal_ldm.crystals.readers.csv_files import read_csv_files, split_part, table_files
from crystal_ldm.crystals.readers.entries import Entry, Source, cell_of
from crystal_ldm.crystals.readers.folders import is_structure_file, read_folder, structure_files
from crystal_ldm.crystals.readers.json_files import JSON_SUFFIXES, read_json
from crystal_ldm.crystals.readers.report import Rejection
from crystal_ldm.crystals.readers.tables import Labels, read_labels
from crystal_ldm.errors import DataError

if TYPE_CHECKING:
    from pymatgen.core import Structure

SUPPORTED = (
    "a folder of CIF or POSCAR files (with an optional property table), a csv or csv.gz file with "
    "a 'cif' column or a folder of them, an extxyz file, an ASE database (.db), a json or json.gz "
    "list of structures, or a list of pymatgen structures"
)


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


def open_source(
    path: Path,
    labels: Labels = None,
    default_labels: Sequence[str] | None = None,
    split_files_only: bool = False,
) -> OpenSource:
    """Find out what kind of source `path` is.

    Args:
        path: a file or folder.
        labels: the columns to use as labels.
        default_labels: of tables, the columns to use where they exist if `labels` is None.
        split_files_only: of a folder of tables, use only train, val and test.

    Raises:
        DataError: if it does not exist or is of no kind that can be read.
    """
    path = path.expanduser()
    if not path.exists():
        raise DataError(f"There is no file or folder {path}.")
    name = path.name.split(".")[0] or path.name
    suffixes = "".join(path.suffixes[-2:]).lower()
    if path.is_dir():
        name = path.resolve().name
        structures = structure_files(path)
        if structures:
            files = [*structures, *table_files(path)]
            return OpenSource(name, _stat_hash(files), lambda: read_folder(path, labels))
        tables = [t for t in table_files(path) if not split_files_only or split_part(t)]
        if tables:
            return OpenSource(
                name, _file_hash(tables), lambda: read_csv_files(tables, labels, default_labels)
            )
        wanted = "train, val or test.csv(.gz)" if split_files_only else SUPPORTED
        raise DataError(f"Nothing in the folder {path} can be read; needed: {wanted}.")
    if suffixes.endswith((".csv", ".csv.gz")):
        return OpenSource(name, _file_hash([path]), lambda: read_csv_files([path], labels))
    if path.suffix.lower() in ASE_SUFFIXES:
        return OpenSource(name, _file_hash([path]), lambda: read_ase(path, labels))
    if suffixes.endswith(JSON_SUFFIXES):
        return OpenSource(name, _file_hash([path]), lambda: read_json(path, labels))
    if is_structure_file(path):
        entry = Entry(name, path.name, path)
        return OpenSource(name, _file_hash([path]), lambda: Source([entry]))
    raise DataError(f"The file {path} is of no known kind. What can be read: {SUPPORTED}.")


def open_structures(structures: Iterable[Any], labels: Labels = None) -> OpenSource:
    """Take a list of pymatgen structures; their `properties` become labels.

    Raises:
        DataError: if the list is empty or holds something else.
    """
    from pymatgen.core import IStructure

    items = list(structures)
    if not items:
        raise DataError("The list of structures is empty.")
    for i, item in enumerate(items):
        if not isinstance(item, IStructure):
            raise DataError(
                f"Item {i} of the list is {type(item).__name__}, not a pymatgen Structure."
            )
    source = _read_structures(items, labels)
    digest = hashlib.sha256()
    for entry in source.entries:
        digest.update(f"{entry.id}{sorted(entry.labels.items())}".encode())
        assert not isinstance(entry.payload, (str, Path))
        for array in entry.payload:
            digest.update(np.ascontiguousarray(array).data)
    digest.update(str(source.rejected).encode())
    return OpenSource("structures", digest.hexdigest(), lambda: source)


def _read_structures(structures: list[Structure], labels: Labels) -> Source:
    where = "the list of structures"
    columns: dict[str, list[object]] = {}
    for i, structure in enumerate(structures):
        for key, value in structure.properties.items():
            if isinstance(value, (str, int, float, np.number)) and not isinstance(value, bool):
                columns.setdefault(key, [None] * len(structures))[i] = value
    found = read_labels(columns, labels, where)
    source = Source(notes=found.notes)
    for i, structure in enumerate(structures):
        try:
            entry = Entry(f"structure-{i}", f"item {i}", cell_of(structure), found.row(i))
        except DataError as error:
            source.rejected.append(
                Rejection(f"structure-{i}", f"item {i}", "unreadable", str(error))
            )
        else:
            source.entries.append(entry)
    return source


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
