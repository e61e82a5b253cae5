"""Property tables: csv files as text, and their columns as labels."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from crystal_ldm.crystals.readers.entries import LabelValue
from crystal_ldm.errors import DataError, suggest

if TYPE_CHECKING:
    import pandas as pd

Labels = Sequence[str] | Mapping[str, str] | None
"""Columns to use: their names, or a dict column -> label name; None: all that can be labels."""

UNITS = {
    "band_gap": "eV",
    "formation_energy_per_atom": "eV/atom",
    "e_above_hull": "eV/atom",
}
"""The labels that the program knows, with their units."""

_ALIASES = {
    "band_gap": ("bandgap", "gap", "egap", "eg", "bandgappbe", "gappbe", "pbebandgap"),
    "formation_energy_per_atom": (
        "formationenergyperatom",
        "formationenergypeatom",
        "formationenergyperatom",
        "eformperatom",
        "eform",
        "deltae",
    ),
    "e_above_hull": ("eabovehull", "energyabovehull", "ehull", "hulldistance"),
}

ID_COLUMNS = ("material_id", "id", "entry_id", "cif_id", "file", "filename", "name")
_NEVER_LABELS = {"cif", "formula", "pretty_formula", "full_formula", "reduced_formula", "structure"}
_ABSENT = {"", "nan", "none", "null", "na", "n/a", "inf", "-inf", "+inf"}


def read_table(path: Path) -> pd.DataFrame:
    """Return a csv or csv.gz file with every cell as text (so that the formula `NaN` survives).

    Raises:
        DataError: if the file is missing, empty, cut short or not a table.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except pd.errors.EmptyDataError:
        raise DataError(f"The table {path} is empty.") from None
    except (pd.errors.ParserError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(
            f"The table {path} is cut short or not a csv file ({error}); fetch it again."
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"The table {path} cannot be read ({error}).") from error
    table.columns = [str(c).strip() for c in table.columns]
    # An index that was saved without a name.
    table = table[[c for c in table.columns if not c.startswith("Unnamed:") and c]]
    if table.empty:
        raise DataError(f"The table {path} has no rows.")
    return table


def id_column(columns: Iterable[str]) -> str | None:
    """Return the column that names the entries, or None."""
    by_lower = {c.lower(): c for c in columns}
    return next((by_lower[name] for name in ID_COLUMNS if name in by_lower), None)


def known_label(column: str) -> str:
    """Return the name of the known label that `column` is an alias of, else `column` itself."""
    bare = re.sub(r"[\(\[].*?[\)\]]", "", column).lower()
    bare = re.sub(r"(_|\b)(ev|ev/atom|ev_atom)$", "", bare)
    bare = re.sub(r"[^a-z0-9]", "", bare)
    for label, aliases in _ALIASES.items():
        if bare == label.replace("_", "") or bare in aliases:
            return label
    return column


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
    empty and noted. Any other column is text. Aliases of the known labels get their names.

    Raises:
        DataError: if a wanted column does not exist.
    """
    found = LabelColumns()
    for column, name in _chosen(columns, wanted, where, skip).items():
        if name in found.values:
            found.notes.append(f"Column '{column}' in {where} is a second '{name}' and is ignored.")
            continue
        if name != column:
            unit = f" ({UNITS[name]})" if name in UNITS else ""
            found.notes.append(f"Column '{column}' in {where} is read as {name}{unit}.")
        found.values[name] = _values(columns[column], column, name, where, found.notes)
    return found


def listed(columns: Iterable[str]) -> str:
    """Return the names of columns for a message; a damaged table's may go on for pages."""
    text = ", ".join(columns)
    return text if len(text) <= 300 else f"{text[:300]}…"


def _chosen(
    columns: Mapping[str, Sequence[object]], wanted: Labels, where: str, skip: Iterable[str]
) -> dict[str, str]:
    if wanted is None:
        skipped = {s.lower() for s in skip} | _NEVER_LABELS
        return {c: known_label(c) for c in columns if c.lower() not in skipped}
    names = dict(wanted) if isinstance(wanted, Mapping) else {c: known_label(c) for c in wanted}
    for column in names:
        if column not in columns:
            raise DataError(
                f"There is no column '{column}' in {where}.{suggest(column, columns)} "
                f"Its columns are: {listed(columns)}."
            )
    return names


def _values(
    raw: Sequence[object], column: str, name: str, where: str, notes: list[str]
) -> list[LabelValue]:
    texts = ["" if v is None else str(v).strip() for v in raw]
    given = [i for i, text in enumerate(texts) if text.lower() not in _ABSENT]
    numbers = {i: number for i in given if (number := _number(texts[i])) is not None}
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


def _number(text: str) -> float | None:
    # float() would also take 'nan', 'inf' and 'infinity', which are chemical formulas or no labels.
    if not any(c.isdigit() for c in text):
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
