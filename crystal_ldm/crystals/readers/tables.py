"""Property tables: csv files as text."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path

from crystal_ldm.crystals.readers.content import MAX_STRUCTURE_BYTES, read_text
from crystal_ldm.crystals.readers.file_names import without_suffix
from crystal_ldm.crystals.readers.units import is_unit, meaning_of
from crystal_ldm.errors import DataError

ID_COLUMNS = (
    "material_id", "id", "entry_id", "mat_id", "jid", "cif_id", "file", "filename", "file_name",
    "cif_file", "cif_name", "cif_filename", "structure_id", "materials_id", "mp_id", "mpid", "name",
)  # fmt: skip
ABSENT = {
    "", "nan", "none", "null", "nil", "na", "n/a", "n.a.", "n.d.", "nd", "inf", "-inf", "+inf", "-",
    "--", "–", "—", "?", ".", "..", "...", "…", "#n/a", "#na", "#value!", "#div/0!", "#num!",
    "#ref!", "unknown", "missing", "tbd", "not available",
}  # fmt: skip
"""Cells, in small letters, that hold no value."""
_SEPARATORS = (",", ";", "\t", "|")
_END = "the end of the table"
MAY_BE_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+")
"""A number whose comma may be decimal or stand between thousands: `1,500`."""
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")


def read_table(path: Path, notes: list[str], known_ids: Iterable[str] = ()) -> dict[str, list[str]]:
    """Return the columns of a csv or csv.gz file by name.

    They are apart by comma, semicolon, tab or a bar; a comma within a number is decimal where it is
    none of them, or where all numbers of the column show it (`"1,5"`). Cells are text, so that the
    formula `NaN` and the id `001` survive. Lines of comment above the header are left out, and
    those that a spreadsheet fills in their first cell at most.
    A table without a header has the columns `id`, `target`, `target_2` and so on.

    Args:
        path: the file.
        notes: gets a sentence on each thing that was changed.
        known_ids: names that stand in the first column of data; a first row that begins with one of
            them, or that holds numbers beside its first cell, is no header, unless it begins with
            the name of a column of ids.

    Raises:
        DataError: if the file is missing, empty, cut short or not a table.
    """
    try:
        text = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    except DataError as error:
        raise DataError(f"The table {path}: {error} Fetch it again.") from error
    lines = re.sub(r"^\s*sep=.\n", "", text).lstrip("\n ").split("\n")  # a line that Excel reads
    comments = next((i for i, line in enumerate(lines) if not line.startswith("#")), 0)
    last = re.split(r"[,;\t|]", lines[comments - 1].strip("# ")) if comments else []
    if len(last) > 1 and _names_entries(last):
        comments -= 1  # the header itself
    text = "\n".join(lines[comments:]).lstrip("# \n")
    separator = _separator(text)
    csv.field_size_limit(MAX_STRUCTURE_BYTES)
    table = csv.reader(io.StringIO(f"{text}\n{_END}"), delimiter=separator, skipinitialspace=True)
    try:
        rows = [[cell.strip() for cell in row] for row in table]
        if rows.pop() != [_END]:
            raise csv.Error("a quotation has no end")
    except csv.Error as error:
        raise DataError(f"The table {path} is cut short or no csv file ({error}).") from error
    known = set(known_ids)
    titles = next((i for i, row in enumerate(rows) if not _is_title(row, known)), 0)
    if title := next(filter(any, rows[:titles]), None):
        notes.append(f"'{title[0][:60]}' above the header of {path.name} is left out.")
    end = max((i for i, row in enumerate(rows, start=1) if any(row)), default=0)
    rows = [row for row in rows[titles:end] if len(row) > 1 or any(row)]
    headless = bool(rows) and _is_data(rows[0], known, path)
    if len(rows) < 2 - headless:
        raise DataError(f"The table {path} is empty or has no rows.")
    extra = [f"target_{i}" for i in range(2, len(rows[0]))]
    header = ["id", "target", *extra][: len(rows[0])] if headless else rows.pop(0)
    if headless:
        notes.append(f"{path.name} has no header; its columns are called {listed(header)}.")
    if beyond := next((cell for row in rows for cell in row[len(header) :] if cell), ""):
        raise DataError(
            f"A row of the table {path} has more cells than its first line: the cell "
            f"'{beyond[:40]}' has no column."
        )
    cells = [[row[i] if i < len(row) else "" for row in rows] for i in range(len(header))]
    columns = _named(header, cells, path.name, notes)
    if not headless and len(rows) > 1:
        columns = _without_units_row(columns, path.name, notes)
    _point_decimals(columns, separator, path.name, notes)
    return columns


def _is_title(row: Sequence[str], known_ids: set[str]) -> bool:
    """Whether a row is empty or a title; an entry without a label and a header of one are none."""
    named = bool(row) and (_is_known(row[0], known_ids) or _names_entries(row[:1]))
    return not any(row) or (len(row) > 1 and not any(row[1:]) and not named)


def _names_entries(cells: Iterable[str]) -> bool:
    cells = list(cells)
    return id_column(cells) is not None or any(cell.strip().lower() == "cif" for cell in cells)


def _named(
    header: list[str], cells: list[list[str]], where: str, notes: list[str]
) -> dict[str, list[str]]:
    """Return columns by name; a second one of a name has a number, one without a name is left out.

    But a first one of text, where no other names the entries, does so: pandas saves an index thus.
    """
    # pandas itself calls those without a name so, and saves that name the next time.
    header = ["" if name.startswith("Unnamed:") else name for name in header]
    if (
        not header[0]
        and id_column(header) is None
        and not all(map(str.isdecimal, filter(None, cells[0])))
    ):
        header[0] = "id"
    columns: dict[str, list[str]] = {}
    for i, (name, values) in enumerate(zip(header, cells, strict=True)):
        if name and name in header[:i]:
            numbered = (f"{name}.{number}" for number in count(1))
            name = next(one for one in numbered if one not in {*header, *columns})
            notes.append(f"Columns of {where} have the same name; one is called '{name}'.")
        elif not name and i and any(values):
            notes.append(f"Columns without a name in {where} are not read.")
        if name:
            columns[name] = values
    return columns


def _without_units_row(
    columns: dict[str, list[str]], where: str, notes: list[str]
) -> dict[str, list[str]]:
    """Take a first row of units (`-, GPa, meV`) into the names of known labels."""
    names = id_column(columns)
    lines = enumerate(zip(*columns.values(), strict=True))
    row = next((i for i, cells in lines if any(cells)), 0)
    first = {name: cells[row].strip("()[] ") for name, cells in columns.items()}
    entry = "" if names is None else first.pop(names).lower()
    given = {name: text for name, text in first.items() if text.lower() not in ABSENT}
    if (
        not given
        or entry not in {*ABSENT, "unit", "units"}
        or not all(map(is_unit, given.values()))
    ):
        return columns
    notes.append(f"The first row of {where} is one of units ({', '.join(given.values())}).")
    known = {name: f"{name} ({unit})" for name, unit in given.items() if meaning_of(name).label}
    return {known.get(name, name): cells[row + 1 :] for name, cells in columns.items()}


def _separator(text: str) -> str:
    """Return what stands between the columns: what the first line has most of outside quotes."""
    line = re.sub(r'"[^"]*"', "", text.partition("\n")[0])
    if any(separator in line for separator in _SEPARATORS[1:]):
        line = re.sub(r"(?<=\d),(?=\d)", "", line)
    return max(_SEPARATORS, key=line.count)


def _is_known(name: str, known_ids: set[str]) -> bool:
    """Whether it is an entry's id, or that of its file; a name such as `x0.25` has a dot in it."""
    return name in known_ids or without_suffix(name) in known_ids


def _is_data(first: Sequence[str], known_ids: set[str], path: Path) -> bool:
    if _names_entries(first[:1]):
        return False
    if _is_known(first[0], known_ids):
        return True
    cells = [cell for cell in first[1:] if cell.lower() not in ABSENT]
    if not cells:  # the table of CGCNN has no header
        return path.name.lower() == "id_prop.csv" and len(first) > 1
    cells = [c.replace(",", ".") if _DECIMAL_COMMA.fullmatch(c) else c for c in cells]
    return all(number(cell) is not None for cell in cells)


def _point_decimals(
    columns: dict[str, list[str]], separator: str, where: str, notes: list[str]
) -> None:
    """Replace decimal commas by points."""
    names = id_column(columns)
    for name, cells in columns.items():
        commas = [cell for cell in cells if _DECIMAL_COMMA.fullmatch(cell)]
        if name != names and commas and (separator != "," or _surely_decimal(cells, commas)):
            columns[name] = [
                cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in cells
            ]
            notes.append(f"Numbers in column '{name}' of {where} have decimal commas.")


def _surely_decimal(cells: Sequence[str], commas: Sequence[str]) -> bool:
    """Whether commas within numbers are decimal in a table whose columns are apart by commas, too.

    All values have to be such numbers or whole ones, and one has to have no thousands (`1,500`).
    """
    others = set(cells) - set(commas)
    whole = all(c.lower() in ABSENT or c.lstrip("+-").isdecimal() for c in others)
    return whole and not all(map(MAY_BE_THOUSANDS.fullmatch, commas))


def number(text: str) -> float | None:
    """Return the finite number that a text is, else None.

    `float` would also take `nan` and `inf`, which are chemical formulas or no labels.
    """
    if not any(c.isdigit() for c in text) or "_" in text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def id_columns(columns: Iterable[str]) -> list[str]:
    """Return the columns that may name the entries, the likeliest first."""
    by_lower = {re.sub(r"[\s_-]+", "_", c.strip().lower()): c for c in columns}
    return [by_lower[name] for name in ID_COLUMNS if name in by_lower]


def id_column(columns: Iterable[str]) -> str | None:
    """Return the column that names the entries, or None."""
    return next(iter(id_columns(columns)), None)


def listed(columns: Iterable[str]) -> str:
    """Return the names of columns for a message; a damaged table's may go on for pages."""
    text = ", ".join(columns)
    return text if len(text) <= 300 else f"{text[:300]}…"
