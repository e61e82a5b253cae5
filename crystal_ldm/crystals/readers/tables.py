"""Property tables: csv files as text, and their columns as labels."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from crystal_ldm.crystals.readers.content import read_text
from crystal_ldm.crystals.readers.entries import LabelValue
from crystal_ldm.crystals.readers.numbers import number, plain_numbers, with_units
from crystal_ldm.crystals.readers.units import UNITS, meaning_of
from crystal_ldm.errors import DataError, suggest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["UNITS", "LabelColumns", "Labels", "Table", "id_column", "read_labels", "read_table"]

Labels = Sequence[str] | Mapping[str, str] | None
"""Columns to use: their names, or a dict column -> label name; None: all that can be labels."""

ID_COLUMNS = (
    "material_id", "id", "entry_id", "mat_id", "jid", "cif_id", "file", "filename", "name",
)  # fmt: skip
_NEVER_LABELS = {"cif", "formula", "pretty_formula", "full_formula", "reduced_formula", "structure"}
_ABSENT = {
    "",
    "nan",
    "none",
    "null",
    "na",
    "n/a",
    "n.a.",
    "inf",
    "-inf",
    "+inf",
    "-",
    "--",
    "–",
    "?",
}
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
    text = _without_comments(re.sub(r"^\s*sep=.\r?\n", "", text))  # a line that Excel reads
    separator = _separator(text)
    try:
        first = next(csv.reader(io.StringIO(text[:100_000]), delimiter=separator), [])
    except csv.Error as error:
        raise DataError(f"The table {path} is not a csv file ({error}).") from error
    headless = _is_data(first, set(known_ids))
    try:
        frame = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            dtype=str,
            keep_default_na=False,
            skipinitialspace=True,
            header=None if headless else "infer",
        )
    except pd.errors.EmptyDataError:
        raise DataError(f"The table {path} is empty.") from None
    except (pd.errors.ParserError, ValueError) as error:
        raise DataError(
            f"The table {path} is cut short or not a csv file ({error}); fetch it again."
        ) from error
    frame.columns = [str(c).strip() for c in frame.columns]
    if not headless:  # an index that was saved without a name is no column
        frame = frame[[c for c in frame.columns if not c.startswith("Unnamed:") and c]]
    if frame.empty:
        raise DataError(f"The table {path} has no rows.")
    notes = []
    if separator != "," and _point_decimals(frame):
        notes.append(f"Numbers in {path.name} have decimal commas.")
    return Table(frame, headless, notes)


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


def _separator(text: str) -> str:
    """Return what stands between the columns: what the first line has most of outside quotes."""
    line = re.sub(r'"[^"]*"', "", text.lstrip().partition("\n")[0])
    return max(_SEPARATORS, key=line.count)


def _is_data(first: Sequence[str], known_ids: set[str]) -> bool:
    if not first:
        return False
    name = first[0].strip()
    if name in known_ids or name.split(".")[0] in known_ids:
        return True
    return len(first) > 1 and all(number(cell.strip()) is not None for cell in first[1:])


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
    by_lower = {c.lower(): c for c in columns}
    return next((by_lower[name] for name in ID_COLUMNS if name in by_lower), None)


@dataclass
class LabelColumns:
    """Labels read from a table: values (one a row) by label name, and notes about them."""

    values: dict[str, list[LabelValue]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def row(self, i: int) -> dict[str, LabelValue]:
        """Return the labels of row `i`."""
        return {name: column[i] for name, column in self.values.items()}


def read_labels(
    columns: Mapping[str, Sequence[object]], wanted: Labels, where: str, skip: Iterable[str] = ()
) -> LabelColumns:
    """Return the labels in `columns` (values by column name).

    A column in which most of the given values are numbers is numeric: its other values are left
    empty and noted. Any other column is text. Aliases of the known labels get their names, and
    values in other units are converted; where that cannot be, the column keeps its own name.

    Raises:
        DataError: if a wanted column does not exist, or its unit does not fit its label.
    """
    found = LabelColumns()
    for column, (name, factor) in _chosen(columns, wanted, where, skip, found.notes).items():
        if name in found.values:
            found.notes.append(f"Column '{column}' in {where} is a second '{name}' and is ignored.")
            continue
        values = _values(columns[column], column, name, where, found.notes)
        if factor != 1.0:
            values = [v * factor if isinstance(v, float) else v for v in values]
        found.values[name] = values
    return found


def listed(columns: Iterable[str]) -> str:
    """Return the names of columns for a message; a damaged table's may go on for pages."""
    text = ", ".join(columns)
    return text if len(text) <= 300 else f"{text[:300]}…"


def _chosen(
    columns: Mapping[str, Sequence[object]],
    wanted: Labels,
    where: str,
    skip: Iterable[str],
    notes: list[str],
) -> dict[str, tuple[str, float]]:
    """Return the label name and the factor of each column to use."""
    for column in wanted or ():
        if column not in columns:
            raise DataError(
                f"There is no column '{column}' in {where}.{suggest(column, columns)} "
                f"Its columns are: {listed(columns)}."
            )
    if isinstance(wanted, Mapping):
        return {c: (name, _asked_factor(c, name, where, notes)) for c, name in wanted.items()}
    skipped = {s.lower() for s in skip} | _NEVER_LABELS
    chosen = list(wanted) if wanted else [c for c in columns if c.lower() not in skipped]
    taken = {c for c in chosen if c in UNITS}
    result: dict[str, tuple[str, float]] = {}
    for column in chosen:
        meaning = meaning_of(column)
        label, unit, factor = meaning.label, meaning.unit, meaning.factor
        result[column] = (column, 1.0)
        if label is None or column == label:
            continue
        if label in taken:
            notes.append(
                f"Column '{column}' in {where} keeps its name: another one is the {label}."
            )
        elif factor is None:
            notes.append(
                f"Column '{column}' in {where} keeps its name: its unit '{unit}' is not converted "
                f"to {UNITS[label]}."
            )
        else:
            taken.add(label)
            result[column] = (label, factor)
            notes.append(_read_as(column, label, where, factor))
    return result


def _asked_factor(column: str, name: str, where: str, notes: list[str]) -> float:
    if name not in UNITS:
        return 1.0
    meaning = meaning_of(column, name)
    if meaning.factor is None:
        raise DataError(
            f"The unit '{meaning.unit}' of column '{column}' in {where} cannot be converted to "
            f"{UNITS[name]}; give its label another name than {name}."
        )
    if name != column:
        notes.append(_read_as(column, name, where, meaning.factor))
    return meaning.factor


def _read_as(column: str, label: str, where: str, factor: float) -> str:
    converted = "" if factor == 1.0 else f", values times {factor:g}"
    return f"Column '{column}' in {where} is read as {label} ({UNITS[label]}){converted}."


def _values(
    raw: Sequence[object], column: str, name: str, where: str, notes: list[str]
) -> list[LabelValue]:
    texts = ["" if v is None else str(v).strip() for v in raw]
    given = [i for i, text in enumerate(texts) if text.lower() not in _ABSENT]
    texts = plain_numbers(texts, column, where, notes)
    numbers = {i: value for i in given if (value := number(texts[i])) is not None}
    if len(numbers) < len(given):
        rest = [i for i in given if i not in numbers]
        numbers |= with_units(rest, texts, column, name, where, notes)
    if name not in UNITS and len(numbers) <= len(given) / 2 and given:
        chosen = set(given)
        return [text if i in chosen else None for i, text in enumerate(texts)]
    wrong = [i for i in given if i not in numbers]
    if wrong:
        notes.append(
            f"{len(wrong)} values of column '{column}' in {where} are not numbers and were left "
            f"empty, for example '{texts[wrong[0]]}' in row {wrong[0] + 1}."
        )
    if name == "band_gap" and any(v < 0 for v in numbers.values()):
        negative = [i for i, v in numbers.items() if v < 0]
        notes.append(f"{len(negative)} negative band gaps in {where} were left empty.")
        for i in negative:
            del numbers[i]
    return [numbers.get(i, math.nan) for i in range(len(texts))]
