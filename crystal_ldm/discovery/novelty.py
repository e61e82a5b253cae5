"""What kind of new a crystal is: known, known with elements exchanged, of a known type, or new."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.elements import symbols
from crystal_ldm.crystals.inputs import read_crystals
from crystal_ldm.crystals.same_crystal import SAME_CRYSTAL, reduced_cell, same_crystal
from crystal_ldm.ldm_module.training_crystals import TrainingCrystals
from crystal_ldm.parallel import Executor

KINDS = ("known", "elements exchanged", "known prototype", "new")
"""A crystal of the training set; one with its elements exchanged; another crystal of a type in the
AFLOW library of prototypes (Mehl et al., Comput. Mater. Sci. 136, S1 (2017)); none of these."""

RELATIVES = 100
"""Training crystals that a crystal is compared with after their elements were exchanged, those of
the most similar elements first."""

_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Novelty:
    """What kind of new a crystal is.

    Attributes:
        kind: one of `KINDS`; empty: it could not be found out.
        of: formula of the training crystal, and which elements took whose place, for example
            `CaTiO3 (Ca → Sr)`.
        prototype: name of the structure type in the AFLOW library; empty: none matches.
    """

    kind: str = ""
    of: str = ""
    prototype: str = ""


def novelty_of(
    crystals: Sequence[Cell], known: TrainingCrystals, executor: Executor
) -> list[Novelty]:
    """Return what kind of new each crystal is.

    Two crystals are the same as `StructureMatcher.fit` has it, with pymatgen's tolerances, which
    leave out the scale.

    Args:
        crystals: as a rule relaxed.
    """
    reduced = [outcome.value for outcome in executor.map(reduced_cell, crystals)]
    items, names = [], []
    for cell in reduced:
        same, relatives, labels = ([], [], []) if cell is None else _compared_with(cell, known)
        items.append((cell, same, relatives))
        names.append(labels)
    result = []
    outcomes = executor.map(_classify, items, timeout=_TIMEOUT_S, chunk=1)
    for (_, same, _), labels, outcome in zip(items, names, outcomes, strict=True):
        if outcome.value is None:
            result.append(Novelty())
            continue
        kind, place, prototype = outcome.value
        of = same[place].formula if kind == KINDS[0] else ""
        of = labels[place] if kind == KINDS[1] else of
        result.append(Novelty(kind, of, prototype))
    return result


def _compared_with(cell: Cell, known: TrainingCrystals) -> tuple[list[Cell], list[Cell], list[str]]:
    """Return the training crystals of a cell's formula, and its relatives with their names."""
    if known.empty:
        return [], [], []
    rows = known.rows_of(torch.from_numpy(cell.numbers)[None])[0]
    same = [c for c in read_crystals(known.crystals[rows]).crystals if c] if rows else []
    prototypes = known.search.nearest(np.sort(cell.numbers), RELATIVES)
    relatives, labels, names = [], [], symbols()
    formulas = known.crystals[[p.row for p in prototypes]].formulas if prototypes else []
    for prototype, formula in zip(prototypes, formulas, strict=True):
        lattice, coords, numbers = known.search.cell(prototype)
        relatives.append(Cell.from_arrays(numbers, coords, lattice))
        changed = [f"{names[a]} → {names[b]}" for a, b in prototype.replaced.items() if a != b]
        labels.append(f"{formula} ({', '.join(changed)})")
    return same, relatives, labels


def _classify(item: tuple[Cell | None, list[Cell], list[Cell]]) -> tuple[str, int, str] | None:
    """Return kind, place of the training crystal (-1: none) and name of the prototype."""
    cell, same, relatives = item
    if cell is None:
        return None
    prototype = prototype_name(cell)
    for kind, others in zip(KINDS, (same, relatives), strict=False):
        for place, other in enumerate(map(reduced_cell, others)):
            if len(other) == len(cell) and same_crystal((cell, other), SAME_CRYSTAL):
                return kind, place, prototype
    return KINDS[2] if prototype else KINDS[3], -1, prototype


def prototype_name(crystal: Cell) -> str:
    """Return mineral, Strukturbericht and AFLOW label of a crystal's type; empty: none matches."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        matching = _matcher().get_prototypes(crystal.to_structure())
    if not matching:
        return ""
    tags = matching[0].get("tags", matching[0])
    labels = [str(tags.get(name) or "") for name in ("mineral", "strukturbericht", "aflow")]
    return ", ".join(label for label in labels if label and label != "None")


@lru_cache(maxsize=1)
def _matcher() -> Any:
    """Return pymatgen's matcher of AFLOW prototypes, loaded once in each process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions have it under another name, too
        from pymatgen.analysis.prototypes import AflowPrototypeMatcher

        return AflowPrototypeMatcher()
