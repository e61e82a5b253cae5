"""A folder of CIF and POSCAR files with an optional property table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from crystal_ldm.crystals.readers.csv_files import table_files
from crystal_ldm.crystals.readers.entries import Entry, LabelValue, Source
from crystal_ldm.crystals.readers.tables import Labels, id_column, read_labels, read_table
from crystal_ldm.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_SUFFIXES = (".cif", ".cif.gz", ".vasp", ".poscar")
_PREFIXES = ("POSCAR", "CONTCAR")


def is_structure_file(path: Path) -> bool:
    """Whether the file's name is that of a CIF or POSCAR."""
    return path.name.lower().endswith(_SUFFIXES) or path.name.startswith(_PREFIXES)


def structure_files(folder: Path) -> list[Path]:
    """Return all CIF and POSCAR files in the folder and below it, sorted."""
    return sorted(p for p in folder.rglob("*") if is_structure_file(p) and p.is_file())


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
        rows = _read_properties(tables[0], set(names.values()), labels, source)
    elif labels:
        raise DataError(f"The folder {folder} has no property table for the labels asked for.")
    matched = 0
    for file, name in names.items():
        keys = (name, file.name, file.relative_to(folder).as_posix(), file.name.split(".")[0])
        row = next((rows[k] for k in keys if k in rows), None)
        matched += row is not None
        where = file.relative_to(folder).as_posix()
        source.entries.append(Entry(name, where, file, row or {}))
    if rows and matched < len(files):
        source.notes.append(f"{len(files) - matched} files have no row in {tables[0].name}.")
    if len(rows) > matched:
        source.notes.append(f"{len(rows) - matched} rows of {tables[0].name} have no file.")
    return source


def _entry_id(file: Path, folder: Path) -> str:
    """Return the relative path without suffix; for `LaF3/POSCAR` that is `LaF3`."""
    relative = file.relative_to(folder)
    if file.name in _PREFIXES and len(relative.parts) > 1:
        return relative.parent.as_posix()
    name = relative.as_posix()
    suffix = next((s for s in sorted(_SUFFIXES, key=len)[::-1] if name.lower().endswith(s)), "")
    return name[: len(name) - len(suffix)] if suffix else name


def _read_properties(
    path: Path, names: set[str], labels: Labels, source: Source
) -> dict[str, dict[str, LabelValue]]:
    table: pd.DataFrame = read_table(path)
    header = [str(c) for c in table.columns]
    if header[0] in names or header[0].split(".")[0] in names:  # no header: the first row is data
        import pandas as pd

        table = pd.read_csv(path, dtype=str, keep_default_na=False, header=None)
        extra = [f"target_{i}" for i in range(2, table.shape[1])]
        table.columns = ["id", "target", *extra][: table.shape[1]]
    column = id_column(table.columns) or str(table.columns[0])
    columns = {c: table[c].tolist() for c in table.columns}
    found = read_labels(columns, labels, path.name, skip=[column])
    source.notes += found.notes
    ids = [str(v).strip() for v in columns[column]]
    if len(set(ids)) < len(ids):
        source.notes.append(f"Ids come more than once in {path.name}; the last row counts.")
    return {name: found.row(i) for i, name in enumerate(ids)}
