"""The public csv layout (`material_id`, `cif`, label columns), one file or several pooled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crystal_ldm.crystals.readers.entries import PARTS, Entry, Payload, Problem, Source
from crystal_ldm.crystals.readers.file_names import without_suffix
from crystal_ldm.crystals.readers.labels import Labels, read_labels
from crystal_ldm.crystals.readers.tables import id_column, listed, read_table
from crystal_ldm.errors import DataError, suggest

TABLE_SUFFIXES = (".csv", ".csv.gz", ".tsv")


def table_files(folder: Path) -> list[Path]:
    """Return the csv and csv.gz files of a folder, sorted by name."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.name.lower().endswith(TABLE_SUFFIXES)
        and not path.name.startswith((".", "~$"))
        and path.is_file()
    )


def split_part(path: Path) -> str | None:
    """Return `train`, `val` or `test` if that is the file's name, else None."""
    stem = path.name.split(".")[0].lower()
    return stem if stem in PARTS else None


def read_csv_files(
    paths: list[Path], labels: Labels = None, default_labels: Sequence[str] | None = None
) -> Source:
    """Read tables with a `cif` column. Each entry's part is the name of its file.

    An id that comes again in another file is the same entry and is not used; one that comes again
    in the same file gets a suffix.

    Args:
        paths: the files.
        labels: columns that must exist in one of the files; None: `default_labels`.
        default_labels: columns to use where they exist; None: all that can be labels.

    Raises:
        DataError: if a table cannot be read or has no column `cif` or no wanted column.
    """
    source = Source()
    first_seen: dict[str, str] = {}
    # A label may be in some of the files only; it is missing where none has it.
    tables = [(path, read_table(path, source.notes)) for path in paths]
    everywhere = {c for _, table in tables for c in table}
    if labels is None and default_labels is not None:
        labels = [c for c in default_labels if c in everywhere]
    for path, columns in tables:
        cif = next((c for c in columns if c.lower() == "cif"), None)
        if cif is None:
            raise DataError(
                f"The table {path} has no column 'cif'.{suggest('cif', columns)} "
                f"Its columns are: {listed(columns)}."
            )
        names = id_column(columns)
        for column in labels or ():
            if column in everywhere:
                columns.setdefault(column, [""] * len(columns[cif]))
        found = read_labels(columns, labels, path.name, [cif, names or cif], source.notes)
        for i, text in enumerate(columns[cif]):
            if not any(cells[i] for cells in columns.values()):
                continue  # the numbers of the rows below count it
            given = columns[names][i] if names else ""
            name = given or f"{without_suffix(path.name, TABLE_SUFFIXES)}-{i + 1}"
            where = f"{path.name} row {i + 1}"
            payload: Payload = text
            if first_seen.setdefault(name, path.name) != path.name:
                reason = f"The id is already in {first_seen[name]}."
                payload = Problem("same id in two files", reason)
            source.entries.append(Entry(name, where, payload, found[i], split_part(path)))
    return source
