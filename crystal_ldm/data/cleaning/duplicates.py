"""Removal of duplicates with pymatgen's StructureMatcher at its default tolerances."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.same_crystal import SAME_CRYSTAL, reduced_cell, same_crystal
from crystal_ldm.errors import DataError
from crystal_ldm.parallel import AnyWorkers, Outcome
from crystal_ldm.parallel.executor import map_items


def find_duplicates(
    cells: Sequence[Cell],
    formulas: Sequence[str],
    energies: Sequence[float],
    workers: AnyWorkers = None,
    progress: bool = True,
    done: dict[int, dict[int, int]] | None = None,
    check: Callable[[int, int], None] | None = None,
) -> dict[int, int]:
    """Return, for each duplicate, the position of the entry that stays in its place.

    Entries of the same reduced formula are taken from the lowest energy upwards (unknown energies
    last, ties in order); one that matches an entry already kept is a duplicate of it. Tolerances:
    ltol 0.2, stol 0.3, angle_tol 5° (StructureMatcher's defaults).

    Args:
        cells: the crystals.
        formulas: their reduced formulas.
        energies: eV/atom; NaN where unknown.
        workers, progress: as in `map_items`.
        done: duplicates of a group by its first position that are known already; new ones are
            added.
        check: called with the number of groups that are done and of all; what it raises ends the
            work.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for i, formula in enumerate(formulas):
        groups[formula].append(i)
    several = []
    for members in groups.values():
        if len(members) > 1:
            members.sort(key=lambda i: (math.isnan(energies[i]), energies[i], i))
            several.append((members, [cells[i] for i in members]))
    # The largest groups first, so that no process is left alone with one of them at the end.
    several.sort(key=lambda group: -len(group[0]))
    results = {} if done is None else done
    todo = [group for group in several if group[0][0] not in results]

    def keep(outcome: Outcome) -> None:
        if outcome.error is None:
            results[todo[outcome.index][0][0]] = outcome.value
        if check is not None:
            check(len(results), len(several))

    outcomes = map_items(
        duplicates_in_group, todo, workers=workers, timeout=math.inf, progress=progress,
        label="Comparing crystals", on_outcome=keep,
    )  # fmt: skip
    for (members, _), outcome in zip(todo, outcomes, strict=True):
        results[members[0]] = outcome.value
        if outcome.error is not None:
            raise DataError(
                f"The {len(members)} crystals of {formulas[members[0]]} could not be compared "
                f"({outcome.error}). Free some memory, or keep duplicates out of the data."
            )
    return {i: j for group in results.values() for i, j in group.items()}


def duplicates_in_group(group: tuple[list[int], list[Cell]]) -> dict[int, int]:
    """Return duplicate -> kept for the entries of one formula, sorted by energy.

    Each is reduced once, and only cells with the same number of atoms after reduction are compared:
    StructureMatcher finds no match between others.
    """
    kept: dict[int, list[tuple[int, Cell]]] = defaultdict(list)
    duplicates: dict[int, int] = {}
    for i, cell in zip(*group, strict=True):
        reduced = reduced_cell(cell)
        for j, other in kept[len(reduced)]:
            if same_crystal((other, reduced), SAME_CRYSTAL):
                duplicates[i] = j
                break
        else:
            kept[len(reduced)].append((i, reduced))
    return duplicates
