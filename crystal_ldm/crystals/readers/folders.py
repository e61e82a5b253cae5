"""A folder of CIF and POSCAR files with an optional property table."""

from __future__ import annotations

from pathlib import Path

from crystal_ldm.crystals.readers.csv_files import table_files
from crystal_ldm.crystals.readers.entries import Entry, LabelValue, Source
from crystal_ldm.crystals.readers.tables import Labels, id_column, read_labels, read_table
from crystal_ldm.errors import DataError

_SUFFIXES = (".cif", ".cif.gz", ".mcif", ".mmcif", ".vasp", ".poscar", "_poscar", "_contcar")
_PREFIXES = ("POSCAR", "CONTCAR")
_OTHERS = (".extxyz", ".xyz", ".db", ".json", ".json.gz")


def is_structure_file(path: Path) -> bool:
    """Whether the file's name is that of a CIF or POSCAR."""
    return path.name.lower().endswith(_SUFFIXES) or path.name.startswith(_PREFIXES)


def structure_files(folder: Path) -> list[Path]:
    """Return all CIF and POSCAR files in the folder and below it, sorted.

    Hidden files and folders, and those that programs leave (`__MACOSX`), hold no crystals.
    """
    return sorted(
        path
        for path in folder.rglob("*")
        if is_structure_file(path)
        and not any(part.startswith((".", "__")) for part in path.relative_to(folder).parts)
        and path.parent.name != "cif_p1"  # of a run directory: the crystals of `cif`, as P1
        and path.is_file()
    )


def read_folder(folder: Path, labels: Labels = None) -> Source:
    """Read the names of all structure files, and the labels from the folder's one csv table.

    A row of the table belongs to the file that its id column names, with or without suffix. An
    `id_prop.csv` without a header (id, value) gives the label `target`.

    Raises:
        DataError: if there is more than one table, or the table cannot be read.
    """
    files = structure_files(folder)
    names = {file: _entry_id(file, folder) for file in files}
    source = Source()
    rows: dict[str, dict[str, LabelValue]] = {}
    tables = table_files(folder)
    if len(tables) > 1:
        raise DataError(
            f"The folder {folder} has several tables ({', '.join(t.name for t in tables)}); keep "
            "the one with the properties."
        )
    if tables:
        rows = read_properties(tables[0], set(names.values()), labels, source)
    elif labels:
        raise DataError(f"The folder {folder} has no property table for the labels asked for.")
    for file, name in names.items():
        where = file.relative_to(folder).as_posix()
        source.entries.append(Entry(name, where, file))
    others = sorted(p.name for p in folder.iterdir() if p.name.lower().endswith(_OTHERS))
    if others:
        source.notes.append(
            f"The folder's structure files are read; {', '.join(others[:3])} in it is not."
        )
    if tables:
        add_labels(source, rows, tables[0].name)
    return source


def add_labels(source: Source, rows: dict[str, dict[str, LabelValue]], table: str) -> None:
    """Give each entry the labels of its row in a table, by id or name of its file."""
    used: set[str] = set()
    without = 0
    for entry in source.entries:
        key = next((k for k in _keys(entry) if k in rows), None)
        if key is None:
            without += 1
            continue
        entry.labels.update(rows[key])
        used.add(key)
    if without:
        source.notes.append(f"{without} files have no row in {table}.")
    if len(rows) > len(used):
        source.notes.append(f"{len(rows) - len(used)} rows of {table} have no file.")


def _keys(entry: Entry) -> tuple[str, ...]:
    file = entry.where.rpartition("/")[2]
    return entry.id, file, entry.where, file.split(".")[0]


def _entry_id(file: Path, folder: Path) -> str:
    """Return the relative path without suffix; for `LaF3/POSCAR` that is `LaF3`."""
    relative = file.relative_to(folder)
    if file.name in _PREFIXES and len(relative.parts) > 1:
        return relative.parent.as_posix()
    name = relative.as_posix()
    suffix = next((s for s in sorted(_SUFFIXES, key=len)[::-1] if name.lower().endswith(s)), "")
    return name[: len(name) - len(suffix)] if suffix else name


def read_properties(
    path: Path, names: set[str], labels: Labels, source: Source
) -> dict[str, dict[str, LabelValue]]:
    """Return labels by id from a table, and add its notes to the source's."""
    table = read_table(path, names)
    frame = table.frame
    if table.headless:
        extra = [f"target_{i}" for i in range(2, frame.shape[1])]
        frame.columns = ["id", "target", *extra][: frame.shape[1]]
    column = id_column(frame.columns) or str(frame.columns[0])
    columns = {c: frame[c].tolist() for c in frame.columns}
    found = read_labels(columns, labels, path.name, skip=[column])
    source.notes += [*table.notes, *found.notes]
    ids = [str(v).strip() for v in columns[column]]
    if len(set(ids)) < len(ids):
        source.notes.append(f"Ids come more than once in {path.name}; the last row counts.")
    return {name: found.row(i) for i, name in enumerate(ids)}
