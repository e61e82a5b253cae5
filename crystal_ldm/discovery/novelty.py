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
    reduced = [
        outcome.value for outcome in executor.map(reduced_cell, crystals, timeout=_TIMEOUT_S)
    ]
    items = [None if cell is None else (cell, _compared_with(cell, known)) for cell in reduced]
    found = {o.index: o.value for o in executor.imap(_classify, items, timeout=_TIMEOUT_S, chunk=1)}
    return [found.get(i) or Novelty() for i in range(len(items))]


def _compared_with(cell: Cell, known: TrainingCrystals) -> list[tuple[str, str, Cell]]:
    """Return training crystals of a cell's formula and relatives of it, each with the kind of
    novelty and the name that it gives to what is the same."""
    if known.empty:
        return []
    rows = known.rows_of(torch.from_numpy(cell.numbers)[None])[0]
    same = read_crystals(known.crystals[rows]).crystals if rows else []
    others = [(KINDS[0], one.formula, one) for one in same if one]
    prototypes = known.search.nearest(np.sort(cell.numbers), RELATIVES)
    formulas = known.crystals[[p.row for p in prototypes]].formulas if prototypes else []
    names = symbols()
    for prototype, formula in zip(prototypes, formulas, strict=True):
        lattice, coords, numbers = known.search.cell(prototype)
        changed = [f"{names[a]} → {names[b]}" for a, b in prototype.replaced.items() if a != b]
        label = f"{formula} ({', '.join(changed)})"
        others.append((KINDS[1], label, Cell.from_arrays(numbers, coords, lattice)))
    return others


def _classify(item: tuple[Cell, list[tuple[str, str, Cell]]]) -> Novelty:
    """Return the kind of novelty by the first of the others that is the same."""
    cell, others = item
    prototype = prototype_name(cell)
    for kind, label, crystal in others:
        other = reduced_cell(crystal)
        if len(other) == len(cell) and same_crystal((cell, other), SAME_CRYSTAL):
            return Novelty(kind, label, prototype)
    return Novelty(KINDS[2] if prototype else KINDS[3], "", prototype)


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
