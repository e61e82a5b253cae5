"""What else a CIF states about its crystal: formula, Z, volume, multiplicities."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.elements import symbols
from crystal_ldm.crystals.readers.cif.block import Block, number
from crystal_ldm.crystals.readers.cif.sites import Site
from crystal_ldm.errors import DataError

_TOKEN = re.compile(r"([A-Z][a-z]?)(\d*\.?\d*)")
_FORMULAS = (
    "_chemical_formula_moiety", "_chemical_formula_structural", "_chemical_formula_iupac",
    "_chemical_formula_analytical",
)  # fmt: skip
_NAMES = ("_chemical_name_systematic", "_chemical_name_common", "_chemical_name_mineral")
_HYDROGEN = re.compile(r"(H|D)(?![a-z])")
_HYDROGEN_IN_CAPITALS = re.compile(r"(?<![A-Z])(H|D)(?![A-Z])")  # HG and RH are elements
_OF_HYDROGEN = re.compile(
    r"(?<!de)(?<!carbo)(?<!an)hydr(ates?\b|oxides?\b|oxyl?|ides?\b|ogen)|ammoni(um|a)\b|deuter|\bwater\b",
    re.IGNORECASE,
)
_SHARE = 0.01
_ROUNDING = 0.006
"""0.67 is two thirds, and 0.98 is not 1."""
_VOLUME = 0.01
_DENSITY = 0.1
_DENSITY_ALONE = 0.015
"""Where no formula is stated, it is the density that shows what is missing."""
_WEIGHT = 0.004


@dataclass(frozen=True)
class Evidence:
    """What a CIF states, as far as it can be read.

    Attributes:
        formula: what `_chemical_formula_sum` says, or "".
        counts: atoms of each element in it (D and T are H); empty: not given or not readable.
        z: formula units in the cell, or None.
        volume: Å³, or None.
        density: g/cm³ as calculated from the cell, or None.
        weight: of a formula unit, g/mol, or None.
        hydrogen: another of its formulas or a name that has hydrogen in it, or "".
    """

    formula: str
    counts: dict[str, float]
    z: float | None
    volume: float | None
    density: float | None
    weight: float | None
    hydrogen: str


def read_evidence(block: Block) -> Evidence:
    """Return what a block states."""
    formula = " ".join(block.text("_chemical_formula_sum").split())
    counts = formula_counts(formula)
    formulas = [block.text(tag) for tag in _FORMULAS] + [formula] * (not counts)
    names = [text for tag in _NAMES if _OF_HYDROGEN.search(text := block.text(tag))]
    return Evidence(
        formula,
        counts,
        _optional(block.text("_cell_formula_units_z")),
        _optional(block.text("_cell_volume")),
        _optional(block.text("_exptl_crystal_density_diffrn")),
        _optional(block.text("_chemical_formula_weight")),
        next(iter([*filter(_has_hydrogen, formulas), *names]), ""),
    )


def _has_hydrogen(formula: str) -> bool:
    capitals = formula.isupper() and re.search(r"[A-Z]{2}", formula)
    return bool((_HYDROGEN_IN_CAPITALS if capitals else _HYDROGEN).search(formula))


def formula_counts(formula: str) -> dict[str, float]:
    """Return atoms by element; none for a text that is no plain sum formula."""
    counts: dict[str, float] = {}
    if formula.isupper() and re.search(r"[A-Z]{2}", formula):
        return {}  # SI may be silicon
    text = re.sub(r"\s", "", formula)
    if not re.fullmatch(rf"({_TOKEN.pattern})+", text):
        return {}
    for symbol, count in _TOKEN.findall(text):
        symbol = "H" if symbol in ("D", "T") else symbol
        if symbol not in symbols():
            return {}
        value = float(count) if re.search(r"\d", count) else 1.0
        counts[symbol] = counts.get(symbol, 0.0) + value
    return {symbol: count for symbol, count in counts.items() if count > 0}


def contradiction(
    evidence: Evidence,
    lattice: NDArray[np.float64],
    owner: NDArray[np.int64],
    sites: Sequence[Site],
    order: int,
) -> str:
    """Return what the file states that its atoms do not fulfil, or "" for nothing.

    Args:
        evidence: what it states.
        lattice: its cell.
        owner: (n,) the site of each atom of the cell.
        sites: its sites.
        order: number of its symmetry operations.
    """
    from ase.data import atomic_masses

    volume = float(abs(np.linalg.det(lattice)))
    if evidence.volume is not None and abs(volume / evidence.volume - 1) > _VOLUME:
        stated = f"{evidence.volume:g} Å³"
        return f"The CIF states a cell volume of {stated}, but its cell has {volume:.1f}."
    found = Counter(symbols()[sites[i].number] for i in owner.tolist())
    if evidence.counts and (problem := _formula_problem(evidence, found)):
        return problem
    if evidence.hydrogen and "H" not in found:
        return (
            f"Hydrogen is missing: the CIF states '{evidence.hydrogen[:60]}' and gives "
            "no place for hydrogen."
        )
    images = np.bincount(owner, minlength=len(sites))
    for site, count in zip(sites, images.tolist(), strict=True):
        # Some programs state how many operations leave the site where it is.
        if count and site.multiplicity not in (None, count, order // count):
            return (
                f"The CIF states {site.multiplicity} equivalent atoms for {site.label}, but its "
                f"symmetry gives {count}."
            )
    mass = sum(float(atomic_masses[sites[i].number]) for i in owner.tolist())
    if evidence.density is not None:
        density = mass * 1.66053906660 / volume
        tolerance = _DENSITY if evidence.counts else _DENSITY_ALONE
        # 4.1 is anything from 4.05 to 4.15.
        rounding = 0.5 * 10.0 ** -len(f"{evidence.density:g}".partition(".")[2])
        if abs(density - evidence.density) > max(tolerance * evidence.density, rounding):
            return (
                f"The CIF states a density of {evidence.density:g} g/cm³, but its atoms give "
                f"{density:.2f}."
            )
    if evidence.weight is not None and not evidence.counts:
        units = evidence.z or max(1, round(mass / evidence.weight))
        if abs(mass / units / evidence.weight - 1) > _WEIGHT:
            return (
                f"The CIF states a formula weight of {evidence.weight:g} g/mol, but its atoms give "
                f"{mass / units:.2f}."
            )
    return ""


def confirms(evidence: Evidence, owner: NDArray[np.int64], sites: Sequence[Site]) -> bool:
    """Whether the number of atoms is stated, by formula and Z or by multiplicities, and right.

    Called where `contradiction` found none.
    """
    if evidence.counts and evidence.z:
        return math.isclose(sum(evidence.counts.values()) * evidence.z, len(owner), rel_tol=_SHARE)
    return all(site.multiplicity is not None for site in sites)


def _formula_problem(evidence: Evidence, found: Counter[str]) -> str:
    stated, total = evidence.counts, sum(found.values())
    size = sum(stated.values())
    holds = " ".join(f"{symbol}{count}" for symbol, count in sorted(found.items()))
    says = f"The CIF states the formula '{evidence.formula}' but holds {holds}"
    if found["H"] * size < (1 - _SHARE) * stated.get("H", 0.0) * total:
        return f"Hydrogen is missing: {says[0].lower()}{says[1:]}."
    shares = all(
        abs(found[symbol] * size / total - (n := stated.get(symbol, 0.0))) <= _ROUNDING + 0.001 * n
        for symbol in {*found, *stated}
    )
    if not shares or total < size - 0.5:
        return f"{says}; it may be cut short." if total < size - 0.5 else f"{says}."
    units = total / size
    if evidence.z is not None and not math.isclose(units, evidence.z, rel_tol=_SHARE):
        # Some programs state the content of the cell as the formula, and Z beside it.
        whole = math.gcd(*(round(count) for count in stated.values()))
        content = math.isclose(units, 1, rel_tol=_SHARE) and whole % max(1, round(evidence.z)) == 0
        if not content:
            return (
                f"The CIF states {evidence.z:g} formula units '{evidence.formula}' in the cell, "
                f"but its symmetry gives {units:g}."
            )
    return ""


def _optional(text: str) -> float | None:
    try:
        value = number(text, "it")
    except DataError:
        return None
    return value if value > 0 else None
