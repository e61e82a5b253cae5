"""Numbers in the cells of a table as people write them: thousands, uncertainties, units."""

from __future__ import annotations

import math
import re

from crystal_ldm.crystals.readers.units import UNITS, meaning_of

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_UNCERTAIN = re.compile(rf"({_NUMBER})\s*(?:\(\d+\)|(?:±|\+/-|\+-)\s*{_NUMBER})")
_WITH_UNIT = re.compile(rf"({_NUMBER})\s*([^\W\d_].*|%|°.*)")
_COMMAS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?")
_POINTS = re.compile(r"[-+]?\d{1,3}(\.\d{3})+(,\d+)?")
_CLEARLY_COMMAS = re.compile(r"[-+]?\d{1,3}(,\d{3}){2,}(\.\d+)?|[-+]?\d{1,3}(,\d{3})+\.\d+")
_CLEARLY_POINTS = re.compile(r"[-+]?\d{1,3}(\.\d{3}){2,}(,\d+)?|[-+]?\d{1,3}(\.\d{3})+,\d+")
_BLANKS = re.compile(r"[-+]?\d{1,3}([ ']\d{3})+(\.\d+)?")
_POWER = re.compile(rf"({_NUMBER})\s*[x×·*]\s*10\s*\^?\s*\(?([-+]?\d+)\)?")
_SIGNS = str.maketrans(
    {"−": "-", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "’": "'", "⁻": "-",
     **{sign: str(digit) for digit, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}}
)  # fmt: skip
_OPEN = re.compile(r"[-+]?\d+,\d+")
_UNITS = {
    "ev", "mev", "gpa", "mpa", "kbar", "k", "å", "a", "å3", "å³", "å^3", "a^3", "g/cm3", "g/cm³",
    "g/cm^3", "kj/mol", "kcal/mol", "ev/atom", "mev/atom", "s/cm", "%", "°", "°c", "nm", "pm",
}  # fmt: skip
"""Units that are taken for one behind a number; `3m` is a point group."""


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


def plain_numbers(texts: list[str], column: str, where: str, notes: list[str]) -> list[str]:
    """Return the texts of a column without thousands separators and uncertainties.

    What was left out is added to `notes`, and that a comma may be either kind of separator.
    """
    texts = [_plain_signs(text) for text in texts]
    if any(_BLANKS.fullmatch(text) for text in texts):
        texts = [re.sub("[ ']", "", t) if _BLANKS.fullmatch(t) else t for t in texts]
        notes.append(f"Numbers of column '{column}' in {where} have gaps between thousands.")
    for clearly, pattern, separator in (
        (_CLEARLY_COMMAS, _COMMAS, ","),
        (_CLEARLY_POINTS, _POINTS, "."),
    ):
        if any(clearly.fullmatch(text) for text in texts):
            texts = [
                text.replace(separator, "").replace(",", ".") if pattern.fullmatch(text) else text
                for text in texts
            ]
            notes.append(f"Numbers of column '{column}' in {where} have '{separator}' between "
                         "thousands.")  # fmt: skip
    uncertain = [_UNCERTAIN.fullmatch(text) for text in texts]
    if any(uncertain):
        texts = [m.group(1) if m else text for m, text in zip(uncertain, texts, strict=True)]
        notes.append(f"Uncertainties in column '{column}' of {where} are left out.")
    open_ = next((text for text in texts if _OPEN.fullmatch(text)), None)
    if open_ is not None:
        notes.append(
            f"'{open_}' in column '{column}' of {where} is not read as a number: its comma may "
            "stand for a decimal point or between thousands; write it with a point, or without."
        )
    return texts


def _plain_signs(text: str) -> str:
    """Return a number's text with ASCII signs and `e` for powers of ten; another text as it is."""
    plain = re.sub("^–(?=[\\d.])", "-", text.translate(_SIGNS)).strip()
    plain = _POWER.sub(r"\1e\2", plain)
    return plain if re.fullmatch(rf"{_NUMBER}|{_BLANKS.pattern}", plain) else text


def is_unit(text: str) -> bool:
    """Whether a text is a unit that may stand behind a number, or that of a known label."""
    return text.lower() in _UNITS or meaning_of(f"band_gap ({text})").factor is not None


def _split_unit(text: str) -> tuple[str, str]:
    """Return a number's text and its unit, or the text as it is and ""."""
    match = _WITH_UNIT.fullmatch(text)
    if match and match.group(2).strip().lower() in _UNITS:
        return match.group(1), match.group(2).strip()
    return text, ""


def with_units(
    rows: list[int],
    texts: list[str],
    column: str,
    name: str,
    where: str,
    notes: list[str],
    plain: bool,
) -> dict[int, float]:
    """Return the values of cells that hold a number and a unit, in the unit of a known label.

    Of another column they count only where all its cells have the same unit; `plain` is whether
    some are numbers without one.
    """
    parts = {i: _split_unit(texts[i]) for i in rows}
    units = {unit for _, unit in parts.values()}
    if name not in UNITS and ("" in units or len(units) != 1 or plain):
        named = sorted(units - {""})
        if named:
            notes.append(
                f"Cells of column '{column}' in {where} have a unit ({', '.join(named)}), others "
                "another or none, so they are not read as numbers; write all in one unit."
            )
        return {}
    values = {}
    for i, (text, unit) in parts.items():
        factor = meaning_of(f"x ({unit})", name).factor if name in UNITS else 1.0
        if unit and factor is not None:
            values[i] = float(text) * factor
    if values:
        shown = ", ".join(sorted(unit for unit in units if unit))
        converted = f"; read as {UNITS[name]}" if name in UNITS else ""
        notes.append(f"Cells of column '{column}' in {where} have units ({shown}){converted}.")
    return values
