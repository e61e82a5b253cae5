"""Columns of a table as labels: which are, under what name, in which unit, and their values."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from crystal_ldm.crystals.readers.entries import LabelValue
from crystal_ldm.crystals.readers.tables import ABSENT, listed, number
from crystal_ldm.crystals.readers.units import UNITS, meaning_of
from crystal_ldm.errors import DataError, suggest

Labels = Sequence[str] | Mapping[str, str] | None
"""Columns to use: their names, or a dict column -> label name; None: all that can be labels."""

_NEVER_LABELS = {"cif", "formula", "pretty_formula", "full_formula", "reduced_formula", "structure"}

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_UNCERTAIN = re.compile(rf"({_NUMBER})\s*(?:\(\d+\)|(?:±|\+/-|\+-)\s*{_NUMBER})")
_GAPS = re.compile(r"[-+]?\d{1,3}([ ']\d{3})+(\.\d+)?")
_SIGNS = str.maketrans({"−": "-", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "’": "'"})
_LIKE_A_NUMBER = re.compile(r"[<>≤≥~≈]?\s*[-+.]?\d")


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
    empty: list[str] = []
    for column, (name, factor) in _chosen(columns, wanted, where, skip, found.notes).items():
        if name in found.values:
            found.notes.append(f"Column '{column}' in {where} is a second '{name}' and is ignored.")
            continue
        values = _values(columns[column], column, name, where, found.notes)
        if factor != 1.0:
            values = [v * factor if isinstance(v, float) else v for v in values]
        found.values[name] = values
        if not any(isinstance(v, str) or (v is not None and v == v) for v in values):
            empty.append(column)
    if empty:
        found.notes.append(f"Columns without a value in {where}: {listed(empty)}.")
    return found


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


def _plain(text: str) -> str:
    """Return a number's text without an uncertainty and gaps between thousands."""
    text = text.translate(_SIGNS)
    if match := _UNCERTAIN.fullmatch(text):
        return match.group(1)
    return re.sub("[ ']", "", text) if _GAPS.fullmatch(text) else text


def _values(
    raw: Sequence[object], column: str, name: str, where: str, notes: list[str]
) -> list[LabelValue]:
    texts = ["" if v is None else str(v).strip() for v in raw]
    given = [i for i, text in enumerate(texts) if text.lower() not in ABSENT]
    numbers = {i: value for i in given if (value := number(_plain(texts[i]))) is not None}
    if name not in UNITS and len(numbers) <= len(given) / 2 and given:
        chosen = set(given)
        other = next((texts[i] for i in given if i not in numbers), "")
        if numbers or any(_LIKE_A_NUMBER.match(texts[i]) for i in given):
            notes.append(
                f"Column '{column}' in {where} is read as text, since most of its values are not "
                f"numbers, for example '{other[:40]}'."
            )
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
