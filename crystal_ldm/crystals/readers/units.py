"""Units of label columns: read from a column's name and converted to the label's unit."""

from __future__ import annotations

import re
from dataclasses import dataclass

UNITS = {
    "band_gap": "eV",
    "formation_energy_per_atom": "eV/atom",
    "e_above_hull": "eV/atom",
}
"""The labels that the program knows, with their units."""

_ALIASES = {
    "band_gap": ("bandgap", "gap", "egap", "eg", "bandgappbe", "gappbe", "pbebandgap"),
    "formation_energy_per_atom": (
        "formationenergypeatom",
        "formationenergyperatom",
        "eformperatom",
        "eform",
        "deltae",
    ),
    "e_above_hull": (
        "eabovehull",
        "energyabovehull",
        "ehull",
        "hulldistance",
        "eabovehullperatom",
        "energyabovehullperatom",
        "ehullperatom",
    ),
}

# CODATA 2018: one unit in eV.
_ENERGIES = {
    "ev": 1.0,
    "mev": 1e-3,
    "ry": 13.605693122994,
    "ha": 27.211386245988,
    "hartree": 27.211386245988,
    "kj/mol": 0.010364269656,
    "kcal/mol": 0.043364104,
}
_OTHER_UNITS = {
    "gpa", "mpa", "kbar", "k", "å", "a", "å3", "å³", "å^3", "a^3", "g/cm3", "g/cm³", "g/cm^3",
    "s/cm", "%", "°", "°c", "nm", "pm",
}  # fmt: skip
_PER_ATOM = {"formationenergy", "formationenthalpy", "enthalpyofformation", "heatofformation"}
"""Names of the formation energy where the unit says that it is one of an atom."""
_BRACKETS = re.compile(r"(.*?)\s*[(\[]([^)\]]*)[)\]]")
_BEHIND = re.compile(
    r"(.*?)[\s_/:.,]+(?:in[_\s])?((?:m?ev|ry|ha|hartree|kj[_/]mol|kcal[_/]mol)"
    r"(?:(?:/|_per_|_)atom)?)",
    re.IGNORECASE,
)
_ATOM = re.compile(r"\s*(/|_per_|_|\bper\b)\s*atom$")


@dataclass(frozen=True)
class Meaning:
    """What a column's name says.

    Attributes:
        label: the known label that it is, or None.
        unit: its unit as written, "" for none.
        factor: what its values are multiplied by; None: the unit cannot be converted.
    """

    label: str | None
    unit: str = ""
    factor: float | None = 1.0


def meaning_of(column: str, label: str | None = None) -> Meaning:
    """Return which known label a column is, and how its values become that label's unit.

    Args:
        column: its name, with a unit in brackets, after a slash or comma, or as an ending (`_meV`).
        label: the label that it is said to be; None: what its name says.
    """
    match = _BRACKETS.fullmatch(column.strip()) or _BEHIND.fullmatch(column.strip())
    name, unit = match.groups() if match else (column, "")
    bare = re.sub(r"[^a-z0-9]", "", name.lower())
    per_atom = _ATOM.search(unit.lower())
    if label is None:
        known = (k for k, names in _ALIASES.items() if bare in (k.replace("_", ""), *names))
        label = next(known, "formation_energy_per_atom" if per_atom and bare in _PER_ATOM else None)
    if label not in UNITS:
        return Meaning(None, unit)
    energy = _ATOM.sub("", unit.lower()).replace("_", "/").strip()
    # M is mega: whoever writes MeV for a band gap means something else than milli.
    factor = None if unit.startswith("MeV") else _ENERGIES.get(energy or "ev")
    if per_atom and UNITS[label] == "eV":
        factor = None
    # A mole of formula units is not a mole of atoms.
    if "/mol" in energy and UNITS[label] != "eV" and not (per_atom or "peratom" in bare):
        factor = None
    return Meaning(label, unit, factor)


def is_unit(text: str) -> bool:
    """Whether a text is a unit that may stand below a column's name."""
    return _ATOM.sub("", text.lower()) in (*_ENERGIES, *_OTHER_UNITS)
