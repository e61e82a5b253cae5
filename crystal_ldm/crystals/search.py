"""Which crystals of a set have a formula, or lie in a chemical system."""

from __future__ import annotations

import re
from collections import Counter

from crystal_ldm.crystals.cell import formula_key
from crystal_ldm.crystals.elements import atomic_number, symbols
from crystal_ldm.crystals.formula import parse_formula
from crystal_ldm.crystals.inputs import CrystalSet
from crystal_ldm.errors import DataError, FormulaError

EXAMPLES = "a formula such as SrTiO3, a chemical system such as Sr-Ti-O, or an id"


def find_crystals(known: CrystalSet, text: str) -> list[int]:
    """Return the positions of the crystals that a text means.

    Args:
        known: where to look.
        text: an id; a formula, which means all its polymorphs, small cells first; or elements
            between hyphens, commas or blanks, which mean all crystals of these elements and no
            others, those of most elements first.

    Raises:
        DataError: the text is none of these, or nothing is known; one sentence.
    """
    wanted = text.strip()
    if not wanted:
        raise DataError(f"Give {EXAMPLES}.")
    if wanted in known.ids:
        return [known.ids.index(wanted)]
    system = chemical_system(wanted)
    found = _of_system(known, system) if len(system) > 1 else _of_formula(known, wanted)
    if not found:
        what = "crystal of only " + ", ".join(system) if len(system) > 1 else f"crystal '{wanted}'"
        raise DataError(f"None of the {len(known):,} known crystals is a {what}.")
    return found


def chemical_system(text: str) -> tuple[str, ...]:
    """Return the elements of a chemical system, such as Sr-Ti-O; empty for another text."""
    words = [word for word in re.split(r"[-–,;\s]+", text.strip()) if word]
    return tuple(dict.fromkeys(words)) if all(word in symbols()[1:] for word in words) else ()


def _of_formula(known: CrystalSet, text: str) -> list[int]:
    try:
        formula = parse_formula(text)
    except FormulaError as error:
        raise DataError(f"Nothing is known of '{text}': give {EXAMPLES}. ({error})") from None
    if formula.num_open:
        raise DataError(f"'{text}' has open atoms: give {EXAMPLES}.")
    key = formula_key(bytes(formula.atomic_numbers))
    found = [
        i for i, one in enumerate(known.crystals) if one is not None and one.formula_key == key
    ]
    return sorted(found, key=lambda i: len(known.crystals[i] or ()))


def _of_system(known: CrystalSet, system: tuple[str, ...]) -> list[int]:
    allowed = {atomic_number(symbol) for symbol in system}
    ranked = []
    for i, crystal in enumerate(known.crystals):
        if crystal is None:
            continue
        elements = {z for z, _ in crystal.formula_key}
        if elements <= allowed:
            ranked.append(((-len(elements), crystal.formula, len(crystal), i), i))
    return [i for _, i in sorted(ranked)]


def summary(known: CrystalSet, found: list[int]) -> str:
    """Return how many crystals and formulas were found, one sentence."""
    formulas = Counter(crystal.formula for i in found if (crystal := known.crystals[i]) is not None)
    crystals = "1 crystal" if len(found) == 1 else f"{len(found)} crystals"
    if len(formulas) == 1:
        return f"{crystals} of {next(iter(formulas))}."
    return f"{crystals} of {len(formulas)} formulas."
