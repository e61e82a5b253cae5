"""Property tables: csv files as text."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from crystal_ldm.crystals.readers.content import read_text
from crystal_ldm.crystals.readers.numbers import is_unit, number
from crystal_ldm.crystals.readers.units import meaning_of
from crystal_ldm.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

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
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")


@dataclass
class Table:
    """A table with every cell as text.

    Attributes:
        frame: rows and columns.
        headless: whether its first row is data, so that the columns are numbered.
        notes: what was changed while reading.
    """

    frame: pd.DataFrame
    headless: bool = False
    notes: list[str] = field(default_factory=list)


def read_table(path: Path, known_ids: Iterable[str] = ()) -> Table:
    """Return a csv or csv.gz file, columns apart by comma, semicolon, tab or a bar.

    Cells are text, so that the formula `NaN` and the id `001` survive. Where the columns are not
    apart by commas, a comma within a number is a decimal one.

    Args:
        path: the file.
        known_ids: names that stand in the first column of data; a first row that begins with one of
            them, or that holds numbers beside its first cell, is no header.

    Raises:
        DataError: if the file is missing, empty, cut short or not a table.
    """
    import pandas as pd

    try:
        text = read_text(path)
    except DataError as error:
        hint = "; fetch it again" if "cut short" in str(error) else ""
        raise DataError(
            f"The table {path} cannot be read: {str(error).rstrip('.')}{hint}."
        ) from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _without_comments(re.sub(r"^\s*sep=.\n", "", text))  # a line that Excel reads
    separator = _separator(text)
    notes: list[str] = []
    known_ids = set(known_ids)
    try:
        text = _without_title(text, separator, known_ids, path.name, notes)
        first = next(_cells(text[:100_000], separator), [])
    except csv.Error as error:
        raise DataError(f"The table {path} is not a csv file ({error}).") from error
    headless = _is_data(first, known_ids, path, decimal_comma=separator != ",")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            frame = pd.read_csv(
                io.StringIO(text),
                sep=separator,
                dtype=str,
                keep_default_na=False,
                skipinitialspace=True,
                header=None if headless else "infer",
                index_col=False,
            )
        if caught:  # cells beyond the last column are left out: they must be empty
            for line in _cells(text, separator):
                if any(line[len(first) :]):
                    raise DataError(
                        f"A row of the table {path} has more cells than its first line: the cell "
                        f"'{line[len(first)][:40]}' has no column."
                    )
    except csv.Error as error:
        raise DataError(f"The table {path} is not a csv file ({error}).") from error
    except pd.errors.EmptyDataError:
        raise DataError(f"The table {path} is empty.") from None
    except DataError:
        raise
    except (pd.errors.ParserError, ValueError) as error:
        raise DataError(
            f"The table {path} is cut short or not a csv file ({error}); fetch it again."
        ) from error
    names = [str(c).strip() for c in frame.columns]
    frame.columns = [  # `k ` and `k` are told apart as pandas does it with two of `k`
        f"{name}.{names[:i].count(name)}" if name and name in names[:i] else name
        for i, name in enumerate(names)
    ]
    if not headless:
        frame = _named_columns(frame, path.name, notes)
        frame = _without_units_row(frame, path.name, notes)
        twice = [c for c in frame.columns if c not in first and c.rpartition(".")[0] in first[1:]]
        if twice:
            notes.append(f"Columns of {path.name} have the same name; one is called '{twice[0]}'.")
    if frame.empty:
        raise DataError(f"The table {path} has no rows.")
    if separator != "," and _point_decimals(frame):
        notes.append(f"Numbers in {path.name} have decimal commas.")
    elif separator == ";":
        notes += _points_in_thousands(frame, path.name)
    return Table(frame, headless, notes)


def _cells(text: str, separator: str) -> Iterator[list[str]]:
    """Yield the lines of a table that are not empty, cell by cell."""
    for line in csv.reader(io.StringIO(text), delimiter=separator):
        cells = [cell.strip() for cell in line]
        if any(cells):
            yield cells


def _named_columns(frame: pd.DataFrame, where: str, notes: list[str]) -> pd.DataFrame:
    """Leave out columns without a name, but for a first one of names where there is no other.

    Both are what pandas saves as the index: row numbers, or the names of the entries.
    """
    names = list(frame.columns)
    unnamed = [c for c in names if c.startswith("Unnamed:") or not c]
    first = names[0]
    nameless = first in unnamed and id_column(names) is None
    if nameless and not all(text.strip().isdecimal() for text in frame[first]):
        frame = frame.rename(columns={first: "id"})
        unnamed = unnamed[1:]
    if any(frame[c].str.strip().any() for c in unnamed if c != first):
        notes.append(f"Columns without a name in {where} are not read.")
    return frame[[c for c in frame.columns if c not in unnamed]]


def _without_units_row(frame: pd.DataFrame, where: str, notes: list[str]) -> pd.DataFrame:
    """Take a first row of units (`-, GPa, meV`) into the names of known labels."""
    if len(frame) < 2:
        return frame
    names = id_column(frame.columns)
    first = {c: str(frame[c].iloc[0]).strip().strip("()[]").strip() for c in frame.columns}
    entry = "" if names is None else first.pop(names).lower()
    given = {c: text for c, text in first.items() if text.lower() not in ABSENT}
    if not given or entry not in {*ABSENT, "unit", "units"}:
        return frame
    if not all(is_unit(text) for text in given.values()):
        return frame
    notes.append(f"The first row of {where} is one of units ({', '.join(given.values())}).")
    known = {c: f"{c} ({unit})" for c, unit in given.items() if meaning_of(c).label}
    return frame.iloc[1:].rename(columns=known)


def _points_in_thousands(frame: pd.DataFrame, where: str) -> list[str]:
    """Say how `1.234` is read in a table of semicolons, where commas may be decimal."""
    pattern = re.compile(r"[-+]?\d{1,3}\.\d{3}")
    for column in frame.columns:
        texts = [text for text in frame[column].str.strip() if text.lower() not in ABSENT]
        if texts and all(pattern.fullmatch(text) for text in texts):
            return [f"'{texts[0]}' in column '{column}' of {where} is read with a decimal point."]
    return []


def _without_comments(text: str) -> str:
    """Leave out lines before the header that begin with `#`, unless the header itself does."""
    lines = text.lstrip().split("\n")
    count = next((i for i, line in enumerate(lines) if not line.startswith("#")), 0)
    if count == 0:
        return text
    last = lines[count - 1].lstrip("# ")
    cells = {cell.strip().lower() for cell in last.split(_separator(last))}
    if len(cells) > 1 and not cells.isdisjoint(("cif", *ID_COLUMNS)):
        return "\n".join([last, *lines[count:]])
    return "\n".join(lines[count:])


def _without_title(
    text: str, separator: str, known_ids: set[str], where: str, notes: list[str]
) -> str:
    """Leave out lines above the header that a spreadsheet fills in their first cell at most.

    A column of names or of CIFs alone, and an entry without a label, are no title.
    """
    lines = text.lstrip("\n").split("\n")
    titles = []
    for line in lines:
        title, *rest = next(csv.reader([line], delimiter=separator)) or [""]
        alone = separator in line and not any(map(str.strip, rest))
        named = title.strip() in known_ids or title.strip().lower() == "cif"
        if line.strip() and (not alone or named or id_column([title])):
            break
        titles.append(title.strip())
    if not any(titles) or len(titles) == len(lines):
        return "\n".join(lines[len(titles) % len(lines) :])
    notes.append(f"'{next(filter(None, titles))[:60]}' above the header of {where} is left out.")
    return "\n".join(lines[len(titles) :])


def _separator(text: str) -> str:
    """Return what stands between the columns: what the first line has most of outside quotes."""
    line = re.sub(r'"[^"]*"', "", text.lstrip(" \n").partition("\n")[0])
    if any(separator in line for separator in _SEPARATORS[1:]):
        line = re.sub(r"(?<=\d),(?=\d)", "", line)
    return max(_SEPARATORS, key=line.count)


def _is_data(first: Sequence[str], known_ids: set[str], path: Path, decimal_comma: bool) -> bool:
    if not first:
        return False
    if first[0] in known_ids or first[0].split(".")[0] in known_ids:
        return True
    cells = [cell for cell in first[1:] if cell.lower() not in ABSENT]
    if not cells:  # the table of CGCNN has no header
        return path.name.lower() == "id_prop.csv" and len(first) > 1
    if decimal_comma:
        cells = [c.replace(",", ".") if _DECIMAL_COMMA.fullmatch(c) else c for c in cells]
    return all(number(cell) is not None for cell in cells)


def _point_decimals(frame: pd.DataFrame) -> bool:
    """Replace decimal commas by points; return whether there were any."""
    changed = False
    names = id_column(frame.columns)
    for column in frame.columns:
        if column == names or column.lower() == "cif":
            continue
        texts = frame[column].str.strip()
        decimal = texts.str.fullmatch(_DECIMAL_COMMA)
        if decimal.any():
            frame[column] = texts.where(~decimal, texts.str.replace(",", "."))
            changed = True
    return changed


def id_column(columns: Iterable[str]) -> str | None:
    """Return the column that names the entries, or None."""
    by_lower = {re.sub(r"[\s_-]+", "_", c.strip().lower()): c for c in columns}
    return next((by_lower[name] for name in ID_COLUMNS if name in by_lower), None)


def listed(columns: Iterable[str]) -> str:
    """Return the names of columns for a message; a damaged table's may go on for pages."""
    text = ", ".join(columns)
    return text if len(text) <= 300 else f"{text[:300]}…"
