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
    "band_gap": "bandgap gap egap eg bandgappbe gappbe pbebandgap",
    "formation_energy_per_atom": "formationenergyperatom formationenergypeatom eformperatom eform "
    "deltae",
    "e_above_hull": "eabovehull energyabovehull ehull hulldistance eabovehullperatom "
    "energyabovehullperatom ehullperatom",
}
"""What these are called, in small letters and without other signs."""

# CODATA 2018: one unit in eV.
_ENERGIES = {
    "ev": 1.0,
    "electronvolt": 1.0,
    "mev": 1e-3,
    "ry": 13.605693122994,
    "rydberg": 13.605693122994,
    "ha": 27.211386245988,
    "hartree": 27.211386245988,
    "kj/mol": 0.010364269656,
    "kcal/mol": 0.043364104,
    "cm-1": 1.239841984e-4,
    "1/cm": 1.239841984e-4,
}
_PER_MOLE = ("kj/mol", "kcal/mol")
_OTHER_UNITS = {
    "gpa", "mpa", "kbar", "k", "å", "a", "å3", "å³", "å^3", "a^3", "g/cm3", "g/cm³", "g/cm^3",
    "ev/atom", "mev/atom", "s/cm", "%", "°", "°c", "nm", "pm",
}  # fmt: skip
"""What is taken for a unit behind a number; `3m` is a point group."""
_METHODS = {
    "pbe", "pbesol", "gga", "lda", "hse", "hse06", "scan", "r2scan", "dft", "exp", "experiment",
    "experimental", "calc", "calculated", "dft-pbe", "pbe-dft",
}  # fmt: skip
_PER_ATOM = {"formationenergy", "formationenthalpy", "enthalpyofformation", "heatofformation"}
"""Names of the formation energy where the unit says that it is one of an atom."""
_FONT = re.compile(r"\\(?:mathrm|text|rm)\{([^}]*)\}")
_TEX = re.compile(r"\$|([_^])\{([^}]*)\}")
_BRACKETS = re.compile(r"[(\[{<]([^)\]}>]*)[)\]}>]")
_BEHIND = re.compile(r"^(.*?\w)\s*(?:\s/\s|,\s*|\s+in\s+)([^\W\d]\S*(?:\s*/\s*\S+)?)$")
_SUFFIX = re.compile(
    r"^(.*?)[_\s/:.](?:in[_\s])?(m?ev|ry|ha|hartree|kj[_/]mol|kj_per_mol|kcal[_/]mol|kcal_per_mol)"
    r"(_per_atom|_atom|/atom)?$",
    re.IGNORECASE,
)
_ATOM = re.compile(r"(/|per|·|-|\s)\s*\(?(atoms?|at\.?|mol\s*atoms?|g-?atom)\)?(-1|⁻¹|\^-1)?$")


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
    name, unit = _split(column)
    bare = re.sub(r"[^a-z0-9]", "", name.lower())
    if label is None:
        known = (known for known, aliases in _ALIASES.items() if bare in aliases.split())
        label = next(known, None)
    if label is None and bare in _PER_ATOM and _ATOM.search(unit.lower()):
        label = "formation_energy_per_atom"
    if label not in UNITS:
        return Meaning(None, unit)
    return Meaning(label, unit, _factor(unit, label, "peratom" in bare))


def _split(column: str) -> tuple[str, str]:
    """Return a column's name without its unit, and the unit."""
    column = _TEX.sub(r"\1\2", _FONT.sub(r"\1", column))
    units = [part.strip() for text in _BRACKETS.findall(column) for part in text.split(",")]
    units = [text for text in units if text.lower() not in _METHODS and text]
    name = _BRACKETS.sub("", column).strip()
    if units:
        return name, " ".join(units)
    if match := _BEHIND.match(name):
        return match.group(1), match.group(2)
    if match := _SUFFIX.match(name):
        unit = match.group(2).replace("_per_", "/").replace("_", "/")
        return match.group(1), unit + ("/atom" if match.group(3) else "")
    return name, ""


def _factor(unit: str, label: str, name_is_per_atom: bool) -> float | None:
    if not unit:
        return 1.0
    # M is mega: whoever writes MeV for a band gap means something else than milli.
    if unit.startswith("MeV"):
        return None
    text = re.sub(r"\s*per\s*(?=mol|cm)", "/", unit.lower().replace("µ", "u"))
    text = re.sub(r"[\s·]*(mol|cm)(-1|⁻¹|\^-1|\^\{-1\})", r"/\1", text)
    per_atom = _ATOM.search(text)
    energy = text[: per_atom.start()] if per_atom else text
    energy = energy.strip().rstrip("/").replace(" ", "").replace("(", "").replace(")", "")
    factor = _ENERGIES.get("1/cm" if energy == "/cm" else energy)
    if factor is None:
        return None
    if UNITS[label] == "eV":
        return None if per_atom else factor
    # A mole of formula units is not a mole of atoms.
    if energy in _PER_MOLE and not (per_atom or name_is_per_atom):
        return None
    return factor


def is_unit(text: str) -> bool:
    """Whether a text is a unit that may stand behind a number or below a column's name."""
    return text.lower() in _OTHER_UNITS or _factor(text, "band_gap", False) is not None
