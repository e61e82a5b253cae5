"""A folder of CIF and POSCAR files with an optional property table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from crystal_ldm.crystals.readers.entries import Entry, Source
from crystal_ldm.crystals.readers.file_names import entry_id, is_structure_file, without_suffix
from crystal_ldm.crystals.readers.labels import Labels, read_labels
from crystal_ldm.crystals.readers.tables import id_column, id_columns, listed, read_table
from crystal_ldm.errors import DataError

_PROGRAMS = ("thumbs.db", "desktop.ini", "atom_init.json")


def structure_files(folder: Path) -> list[Path]:
    """Return all CIF and POSCAR files in the folder and below it, sorted.

    Hidden files and folders, and those that programs leave (`__MACOSX`), hold no crystals.
    """
    return sorted(
        path
        for path in folder.rglob("*")
        if is_structure_file(path)
        and not _of_tools(path, folder)
        and path.parent.name != "cif_p1"  # of a run directory: the crystals of `cif`, as P1
        and path.is_file()
    )


def _of_tools(path: Path, folder: Path) -> bool:
    """Whether a file or a folder above it is one that programs leave."""
    parts = path.relative_to(folder).parts
    return any(part.startswith((".", "__", "~$", "#")) or part.endswith("~") for part in parts)


def read_folder(
    folder: Path, files: Sequence[Path], tables: Sequence[Path], labels: Labels = None
) -> Source:
    """Read the names of structure files, and the labels from the folder's one csv table.

    A row of the table belongs to the file that its id column names, with or without suffix, and
    without its folder where no other file has that name. An `id_prop.csv` without a header (id,
    value) gives the label `target`.

    Raises:
        DataError: if there is more than one table, or the table cannot be read.
    """
    source = Source(
        [Entry(entry_id(f, folder), f.relative_to(folder).as_posix(), f) for f in files]
    )
    if len(tables) > 1:
        raise DataError(
            f"The folder {folder} has several tables ({', '.join(t.name for t in tables)}); keep "
            "the one with the properties."
        )
    if labels and not tables:
        raise DataError(f"The folder {folder} has no property table for the labels asked for.")
    for table in tables:
        add_labels(source, table, labels)
    known = {*files, *tables}
    others = [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path not in known
        and not _of_tools(path, folder)
        and path.name.lower() not in _PROGRAMS
    ]
    if others:
        sheets = any(name.lower().endswith((".xlsx", ".xls", ".ods")) for name in others)
        hint = " A spreadsheet is read once it is saved as csv." if sheets else ""
        source.notes.append(
            f"Of this folder its CIF and POSCAR files and one csv table are read; "
            f"{listed(others[:3])}{f' and {len(others) - 3} more' if len(others) > 3 else ''} "
            f"{'are' if len(others) > 1 else 'is'} not.{hint}"
        )
    return source


def add_labels(source: Source, path: Path, labels: Labels) -> None:
    """Give each entry the labels of its row in a table, by id or name of its file."""
    table, names = path.name, {entry.id for entry in source.entries}
    columns = read_table(path, source.notes, names)
    column = _naming_column(columns, names)
    usual = id_column(columns) or column
    if column != usual:
        source.notes.append(f"Column '{column}' of {table} names the files, not '{usual}'.")
    found = read_labels(columns, labels, table, [column, usual], source.notes)
    rows = {name: row for name, row in zip(columns[column], found, strict=True) if name}
    if len(rows) < sum(map(bool, columns[column])):
        source.notes.append(f"Ids come more than once in {table}; the last row counts.")
    used: set[str] = set()
    shared: set[str] = set()
    without = 0
    bare = Counter(name for _, name in {(e.id, n) for e in source.entries for n in _bare(e)})
    # Paths of another machine, other suffixes and capitals, where that is one file and one row.
    loose = _only_ones((_loosely(name), name) for name in rows)
    files = _only_ones((_loosely(entry.where), entry.where) for entry in source.entries)
    for entry in source.entries:
        key = next((k for k in (entry.id, entry.where) if k in rows), None)
        named = [k for k in _bare(entry) if k in rows] if key is None else []
        key = next((k for k in named if bare[k] == 1), key)
        shared.update(k for k in named if bare[k] > 1)
        if key is None and files.get(_loosely(entry.where)):
            key = loose.get(_loosely(entry.where))
            key = None if key in used else key
        if key is None:
            without += 1
            continue
        entry.labels.update(rows[key])
        used.add(key)
    if shared := shared - used:
        source.notes.append(
            f"{len(shared)} rows of {table} fit several files each ({listed(sorted(shared)[:3])}) "
            "and label none; name the file with its folder, as in folder/file.cif."
        )
    if without == len(source.entries) and not shared:
        source.notes.append(
            f"None of the files has a row in {table}; its names are such as "
            f"{listed(list(rows)[:3])}."
        )
    elif without:
        source.notes.append(f"{without} files have no row in {table}.")
    if spare := len(rows) - len(used) - len(shared):
        source.notes.append(f"{spare} rows of {table} have no file.")


def _loosely(name: str) -> str:
    bare = _stem(name)
    if number := re.fullmatch(r"0*(\d+)(\.0+)?", bare):  # 001 comes out of Excel as 1, or 1.0
        return number.group(1)
    return bare


def _stem(name: str) -> str:
    return without_suffix(name.strip().replace("\\", "/").rpartition("/")[2]).lower()


def _naming_column(columns: Mapping[str, list[str]], names: set[str]) -> str:
    """Return the column of ids that names most of the files; one of files' names wins over others.

    Where none of these names any, it is a column that names half of the files, else the likeliest
    column of ids or the first. Of other columns only whole names count, and beside one of ids no
    numbers: a property may have the value 1 where a file is called 001.
    """
    files = set(map(_loosely, names))
    likely = id_columns(columns)
    rows = {
        column: {bare: i for i, bare in enumerate(map(_loosely, columns[column])) if bare in files}
        for column in likely
    }
    best = max(likely, key=lambda column: len(rows[column]), default="")
    for column in likely:
        differs = any(rows[best].get(bare) != i for bare, i in rows[column].items())
        if differs and "file" in column.lower() and "file" not in best.lower():
            return column
    if best and rows[best]:
        return best
    whole = {stem for stem in map(_stem, names) if not (likely and stem.isdecimal())}
    matches = {c: len(whole & set(map(_stem, values))) for c, values in columns.items()}
    other = max(matches, key=lambda column: matches[column])
    return other if 2 * matches[other] >= len(names) else best or next(iter(columns))


def _only_ones(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the pairs whose first part occurs once."""
    items = list(pairs)
    counts = Counter(first for first, _ in items)
    return {first: second for first, second in items if counts[first] == 1}


def _bare(entry: Entry) -> tuple[str, str]:
    """Return the name of an entry's file without its folder, with and without suffix."""
    file = entry.where.rpartition("/")[2]
    return file, without_suffix(file)
