"""Uniqueness within a set, and novelty against a reference set.

Two crystals are the same if `StructureMatcher.fit` says so: every site within stol, which is
stricter than an RMSE within it. Before that, crystals with different reduced compositions or
different numbers of atoms in the primitive cell are told apart: for these `fit` is always False, so
that the answer is that of the full comparison.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.cell import Cell, FormulaKey
from crystal_ldm.crystals.same_crystal import Tolerances, rms_distance, same_crystal
from crystal_ldm.evaluate.reference_set import Reference
from crystal_ldm.parallel import Executor


@dataclass
class Duplicate:
    """Whether a crystal repeats an earlier one.

    Attributes:
        unique: False for a repetition, and where it could not be decided.
        of: position of the first crystal of its kind; None for the first itself.
        error: why it could not be decided.
    """

    unique: bool = True
    of: int | None = None
    error: str | None = None


def find_duplicates(
    reduced: Sequence[Cell | None],
    tolerances: Tolerances,
    executor: Executor,
) -> list[Duplicate]:
    """Group a set as `StructureMatcher.group_structures` does; the first of each group is unique.

    A crystal is compared with the first of each earlier group only, in order. StructureMatcher's
    relation is neither symmetric nor transitive; with this convention the number of unique crystals
    is the number of pymatgen's groups.

    Args:
        reduced: primitive Niggli cells; None for a crystal that could not be reduced, which counts
            as not unique.
    """
    result = [
        Duplicate() if crystal is not None else Duplicate(False, None, "it could not be reduced")
        for crystal in reduced
    ]
    open_groups: dict[tuple[FormulaKey, int], list[int]] = defaultdict(list)
    for position, crystal in enumerate(reduced):
        if crystal is not None:
            open_groups[crystal.formula_key, len(crystal.numbers)].append(position)
    unmatched = [group for group in open_groups.values() if len(group) > 1]
    function = partial(same_crystal, tolerances=tolerances)
    while unmatched:
        # One representative of every group at a time, so that all comparisons of a round can run
        # side by side.
        pairs = [(group[0], other) for group in unmatched for other in group[1:]]
        same: set[int] = set()
        cells = ((reduced[first], reduced[other]) for first, other in pairs)
        for outcome in executor.imap(function, cells, label="uniqueness"):
            first, other = pairs[outcome.index]
            if outcome.error is not None:
                result[other].unique = False
                result[other].error = f"comparison with crystal {first}: {outcome.error}"
            elif outcome.value:
                result[other] = Duplicate(False, first)
                same.add(other)
        unmatched = [[o for o in group[1:] if o not in same] for group in unmatched]
        unmatched = [group for group in unmatched if len(group) > 1]
    return result


@dataclass
class Nearest:
    """How a crystal relates to those of the reference set.

    Attributes:
        novel: True if no reference crystal is the same; False also where it could not be decided.
        nearest: position of the nearest one.
        kind: "same crystal"; "same formula" (the closest packing among those of its formula);
            "closest composition" (the fewest atoms to exchange).
        rmse: for the same crystal, in units of (volume / atom)^(1/3); else nan.
        composition_difference: share of atoms to exchange, 0 to 1.
        error: why it could not be decided.
    """

    novel: bool = True
    nearest: int | None = None
    kind: str = ""
    rmse: float = math.nan
    composition_difference: float = math.nan
    error: str | None = None


def find_in_reference(
    crystals: Sequence[tuple[Cell, NDArray[np.float64] | None] | None],
    reference: Reference,
    tolerances: Tolerances,
    executor: Executor,
) -> list[Nearest]:
    """Compare each crystal with all of the reference set of its formula, until one is the same.

    Args:
        crystals: reduced cell and packing of each (see `description.comparison_form`); None for a
            crystal that could not be reduced, which counts as not novel.
        tolerances: of StructureMatcher; `fit(crystal, reference)`.
    """
    reference.reduce({form[0].formula_key for form in crystals if form is not None}, executor)
    result: list[Nearest] = []
    waiting: dict[int, list[int]] = {}
    for position, form in enumerate(crystals):
        if form is None:
            result.append(Nearest(novel=False, error="it could not be reduced"))
            continue
        cell, packing = form
        nearest, difference = reference.closest_composition(cell.formula_key)
        candidates = reference.of_formula(cell, packing)
        kind = "same formula" if difference == 0 else "closest composition"
        entry = Nearest(True, candidates[0] if candidates else nearest, kind)
        entry.composition_difference = difference
        result.append(entry)
        size = len(cell.numbers)
        waiting[position] = [p for p in candidates if len(reference.reduced(p).numbers) == size]

    function = partial(_fit_and_distance, tolerances=tolerances)
    batch = 1
    while any(waiting.values()):
        # The closest packing first, then ever more at once: most crystals of the set are found so.
        pairs = [(p, q) for p, queue in waiting.items() for q in queue[:batch]]
        waiting = {p: queue[batch:] for p, queue in waiting.items() if queue[batch:]}
        batch *= 4
        cells = ((crystals[p][0], reference.reduced(q)) for p, q in pairs)  # type: ignore[index]
        for outcome in executor.imap(function, cells, label="novelty"):
            position, candidate = pairs[outcome.index]
            entry = result[position]
            if outcome.error is not None:
                name = reference.crystals.ids[candidate]
                entry.error = f"comparison with '{name}': {outcome.error}"
            elif outcome.value is not None and not entry.rmse <= outcome.value:
                entry.novel, entry.kind = False, "same crystal"
                entry.nearest, entry.rmse = candidate, outcome.value
        waiting = {p: queue for p, queue in waiting.items() if result[p].novel}
    for entry in result:
        if entry.kind == "same crystal":
            entry.error = None  # one match decides, whatever else failed
        elif entry.error is not None:
            entry.novel = False
    return result


def _fit_and_distance(pair: tuple[Cell, Cell], tolerances: Tolerances) -> float | None:
    """Return the RMSE of two reduced cells that are the same crystal, else None."""
    if not same_crystal(pair, tolerances):
        return None
    distance = rms_distance(pair, tolerances)
    return math.inf if distance is None else distance
