"""Columns of a table as labels: which are, under what name, in which unit, and their values."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from crystal_ldm.crystals.readers.entries import LabelValue
from crystal_ldm.crystals.readers.poscar import NUMBER
from crystal_ldm.crystals.readers.tables import ABSENT, MAY_BE_THOUSANDS, listed, number
from crystal_ldm.crystals.readers.units import UNITS, is_unit, meaning_of
from crystal_ldm.errors import DataError, suggest

Labels = Sequence[str] | Mapping[str, str] | None
"""Columns to use: their names, or a dict column -> label name; None: all that can be labels."""

_NEVER_LABELS = {"cif", "formula", "pretty_formula", "full_formula", "reduced_formula", "structure"}

_NUMBER = NUMBER.pattern
_UNCERTAIN = re.compile(rf"({_NUMBER})\s*(?:\(\d+\)|(?:±|\+/-|\+-)\s*{_NUMBER})")
_WITH_UNIT = re.compile(rf"({_NUMBER})\s*([^\W\d_].*|%|°.*)")
_POWER = re.compile(rf"({_NUMBER})\s*[x×·*]\s*10\s*\^?\s*\(?([-+]?\d+)\)?")
_GAPS = re.compile(r"[-+]?\d{1,3}([ ']\d{3})+(\.\d+)?")
_THOUSANDS = [
    (sep, re.compile(rf"[-+]?\d{{1,3}}(\{sep}\d{{3}})+(\{point}\d+)?"),
     re.compile(rf"[-+]?\d{{1,3}}((\{sep}\d{{3}}){{2,}}(\{point}\d+)?|(\{sep}\d{{3}})+\{point}\d+)"))
    for sep, point in (",.", ".,")
]  # fmt: skip
"""Signs between thousands, with the numbers that may have them and those that clearly do."""
_SIGNS = str.maketrans(
    {"−": "-", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "’": "'", "⁻": "-",
     **{sign: str(digit) for digit, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}}
)  # fmt: skip
_STAND_INS = {-999.0, -9999.0, -99999.0, -999.25, 1e20, 9.96921e36, 999999.0}
"""Numbers that programs write where they have none; far from all others of their column."""
_LIKE_A_NUMBER = re.compile(r"[<>≤≥~≈]?\s*[-+.]?\d")


def read_labels(
    columns: Mapping[str, Sequence[object]],
    wanted: Labels,
    where: str,
    skip: Iterable[str],
    notes: list[str],
) -> list[dict[str, LabelValue]]:
    """Return the labels in `columns` (values by column name), by name, a dictionary a row.

    A column in which most of the given values are numbers is numeric: its other values are left
    empty and noted. Any other column is text. Aliases of the known labels get their names, and
    values in other units are converted; where that cannot be, the column keeps its own name.

    Raises:
        DataError: if a wanted column does not exist, or its unit does not fit its label.
    """
    found: dict[str, list[LabelValue]] = {}
    empty: list[str] = []
    for column, (name, factor) in _chosen(columns, wanted, where, skip, notes).items():
        if name in found:
            notes.append(f"Column '{column}' in {where} is a second '{name}' and is ignored.")
            continue
        values = _values(columns[column], column, name, where, notes)
        if factor != 1.0:
            values = [v * factor if isinstance(v, float) else v for v in values]
        found[name] = values
        if not any(isinstance(v, str) or (v is not None and v == v) for v in values):
            empty.append(column)
    if empty:
        notes.append(f"Columns without a value in {where}: {listed(empty)}.")
    size = max(map(len, columns.values()), default=0)
    return [{name: values[i] for name, values in found.items()} for i in range(size)]


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


def _plain_numbers(texts: Sequence[str]) -> list[str]:
    """Return texts of numbers without uncertainties and signs between thousands."""
    plain = [_POWER.sub(r"\1e\2", text.translate(_SIGNS)) for text in texts]
    plain = [re.sub("^–(?=[\\d.])", "-", text) for text in plain]
    plain = [re.sub("[ ']", "", text) if _GAPS.fullmatch(text) else text for text in plain]
    for sign, may_be, clearly in _THOUSANDS:
        if any(map(clearly.fullmatch, plain)):
            plain = [
                text.replace(sign, "").replace(",", ".") if may_be.fullmatch(text) else text
                for text in plain
            ]
    return [m.group(1) if (m := _UNCERTAIN.fullmatch(text)) else text for text in plain]


def _with_units(texts: Mapping[int, str], name: str, plain: bool) -> dict[int, float]:
    """Return the values of cells that hold a number and a unit, in the unit of a known label.

    Of another column they count only where all its cells have the same unit; `plain` is whether
    some are numbers without one.
    """
    matches = {i: match for i, text in texts.items() if (match := _WITH_UNIT.fullmatch(text))}
    units = {i: match.group(2).strip() for i, match in matches.items() if is_unit(match.group(2))}
    if name not in UNITS and (plain or len(units) < len(texts) or len(set(units.values())) != 1):
        return {}
    values = {}
    for i, unit in units.items():
        factor = meaning_of(f"x ({unit})", name).factor if name in UNITS else 1.0
        if factor is not None:
            values[i] = float(matches[i].group(1)) * factor
    return values


def _stand_ins(numbers: Mapping[int, float]) -> set[int]:
    """Return which numbers stand for none.

    1e20 may be a density of carriers: it is a value unless it is 1000 times all others.
    """
    others = [value for value in numbers.values() if value not in _STAND_INS]
    if not others:
        return set()
    largest = max(map(abs, others))
    return {
        i
        for i, value in numbers.items()
        if value in _STAND_INS
        and (abs(value) > (1000 if value >= 1e20 else 2) * largest or value < 0 <= min(others))
    }


def _values(
    raw: Sequence[object], column: str, name: str, where: str, notes: list[str]
) -> list[LabelValue]:
    texts = ["" if v is None else str(v).strip() for v in raw]
    given = [i for i, text in enumerate(texts) if text.lower() not in ABSENT]
    plain = _plain_numbers(texts)
    numbers = {i: value for i in given if (value := number(plain[i])) is not None}
    if changed := next((texts[i] for i in numbers if number(texts[i]) is None), None):
        notes.append(
            f"Numbers of column '{column}' in {where} are read without uncertainties and signs "
            f"between thousands, for example '{changed[:40]}'."
        )
    rest = {i: plain[i] for i in given if i not in numbers}
    if with_units := _with_units(rest, name, plain=bool(numbers)):
        numbers |= with_units
        converted = f"; read as {UNITS[name]}" if name in UNITS else ""
        notes.append(f"Cells of column '{column}' in {where} have units{converted}.")
    if stand_ins := _stand_ins(numbers):
        given = [i for i in given if i not in stand_ins]
        numbers = {i: value for i, value in numbers.items() if i not in stand_ins}
        notes.append(
            f"{len(stand_ins)} values of column '{column}' in {where} stand for none "
            f"({texts[min(stand_ins)]}) and were left empty."
        )
    if name not in UNITS and len(numbers) <= len(given) / 2 and given:
        chosen = set(given)
        other = next((texts[i] for i in given if i not in numbers), "")
        if numbers or any(_LIKE_A_NUMBER.match(texts[i]) for i in given):
            notes.append(
                f"Column '{column}' in {where} is read as text, since most of its values are not "
                f"numbers, for example '{other[:40]}'{_if_thousands(other)}."
            )
        return [text if i in chosen else None for i, text in enumerate(texts)]
    wrong = [i for i in given if i not in numbers]
    if wrong:
        notes.append(
            f"{len(wrong)} values of column '{column}' in {where} are not numbers and were left "
            f"empty, for example '{texts[wrong[0]]}' in row {wrong[0] + 1}"
            f"{_if_thousands(texts[wrong[0]])}."
        )
    if name == "band_gap" and any(v < 0 for v in numbers.values()):
        negative = [i for i, v in numbers.items() if v < 0]
        notes.append(f"{len(negative)} negative band gaps in {where} were left empty.")
        for i in negative:
            del numbers[i]
    return [numbers.get(i, math.nan) for i in range(len(texts))]


def _if_thousands(text: str) -> str:
    """Return what to do where a number's comma may be decimal or stand between thousands."""
    if not MAY_BE_THOUSANDS.fullmatch(text):
        return ""
    return ", whose comma may be decimal or stand between thousands: write it with a point or none"
