"""Which crystals are used: entries parsed, brought to canonical form, measured and filtered; and
duplicates among them found with pymatgen's StructureMatcher at its default tolerances."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from crystal_ldm.crystals.canonical import canonical_arrays
from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.geometry.distances import shortest_distance
from crystal_ldm.crystals.readers.entries import (
    Entry,
    LabelValue,
    Payload,
    Problem,
    read_payload,
)
from crystal_ldm.crystals.readers.report import Rejection
from crystal_ldm.crystals.same_crystal import SAME_CRYSTAL, reduced_cell, same_crystal
from crystal_ldm.errors import DataError
from crystal_ldm.parallel import AnyWorkers, Outcome
from crystal_ldm.parallel.executor import map_items

_TIMEOUT_S = 600.0  # for one crystal


class Prepared(NamedTuple):
    """A canonical cell with its shortest distance (Å), and notes."""

    cell: Cell
    distance: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Filters:
    """Limits, each inclusive or exclusive as its message says. None: no such limit.

    Attributes:
        max_atoms: largest number of atoms in the primitive cell.
        min_distance: shortest allowed distance between two atoms, periodic images included, Å.
        max_volume: largest volume, Å³ per atom.
        min_volume: smallest volume, Å³ per atom.
        max_formation_energy: largest absolute formation energy, eV/atom.
        need_band_gap: whether the band gap must be given.
        unique: whether duplicates are removed.
    """

    max_atoms: int = 20
    min_distance: float = 0.5
    max_volume: float | None = 1000.0  # a cell in pm is not a crystal
    min_volume: float = 0.1
    max_formation_energy: float | None = None
    need_band_gap: bool = False
    unique: bool = False

    def too_many_atoms(self, num_atoms: int) -> Problem | None:
        """Return what is wrong if the primitive cell has too many atoms."""
        if num_atoms <= self.max_atoms:
            return None
        reason = f"The primitive cell has {num_atoms} atoms; at most {self.max_atoms} are used."
        return Problem(f"more than {self.max_atoms} atoms", reason)

    def problem(self, labels: Mapping[str, LabelValue], prepared: Prepared) -> Problem | None:
        """Return why a crystal with these labels is not used, or None."""
        gap = labels.get("band_gap")
        if self.need_band_gap and not (isinstance(gap, float) and math.isfinite(gap)):
            return Problem("no band gap", "The band gap is not a finite number.")
        energy = labels.get("formation_energy_per_atom")
        limit, most = self.max_formation_energy, self.max_volume
        volume = prepared.cell.volume / len(prepared.cell)
        of_volume = f"The volume is {volume:.4g} Å³ per atom."
        if limit is not None and isinstance(energy, float) and not abs(energy) < limit:
            kind = f"formation energy not within {limit:g} eV/atom"
            return Problem(kind, f"The formation energy is {energy:.2f} eV/atom.")
        if most is not None and not volume < most:
            return Problem(f"{most:g} Å³ per atom or more", of_volume)
        if not volume > self.min_volume:
            return Problem(f"{self.min_volume:g} Å³ per atom or less", of_volume)
        if not prepared.distance > self.min_distance:
            kind = f"atoms within {self.min_distance:g} Å"
            return Problem(kind, f"The shortest distance is {prepared.distance:.3f} Å.")
        return None


@dataclass
class PartialReading:
    """Results that are there already, whether to stop, and who does the rest.

    Attributes:
        prepared: crystals, or why there is none, by the entry's position.
        compared: duplicates of a group of the same formula, by the group's first position.
        over: asked after each result; once it is true, the reading ends.
        workers, progress: see `map_items`.
    """

    prepared: dict[int, Prepared | Problem] = field(default_factory=dict)
    compared: dict[int, dict[int, int]] = field(default_factory=dict)
    over: Callable[[], bool] = lambda: False
    workers: AnyWorkers = None
    progress: bool = True

    def add(
        self,
        results: dict[int, Any],
        function: Callable[[Any], Any],
        items: Mapping[int, Any],
        doing: str,
        timeout: float,
    ) -> dict[int, str]:
        """Add what a function makes of the items that have no result yet; return errors by item.

        Args:
            results: one of the two above.
            doing: what it is, for a message.
            timeout: for an item, s.

        Raises:
            DataError: the reading has to stop.
        """
        todo = [key for key in items if key not in results]

        def keep(outcome: Outcome) -> None:
            if outcome.error is None:
                results[todo[outcome.index]] = outcome.value
            if self.over():
                raise DataError(
                    f"{doing} ended after {len(results):,} of {len(items):,}, since it was stopped "
                    "or its time (max_minutes) is over. What was done is kept: run it again to go "
                    "on from there."
                )

        outcomes = map_items(
            function,
            [items[key] for key in todo],
            on_outcome=keep,
            workers=self.workers,
            timeout=timeout,
            progress=self.progress,
            label=doing,
        )
        done = dict(zip(todo, outcomes, strict=True))
        # Also those of which only the second attempt had a result.
        results |= {key: outcome.value for key, outcome in done.items() if outcome.error is None}
        return {key: outcome.error for key, outcome in done.items() if outcome.error is not None}


def prepare_entries(
    entries: Sequence[Entry],
    filters: Filters,
    reading: PartialReading | None = None,
) -> tuple[list[tuple[Entry, Prepared]], list[Rejection]]:
    """Return the entries that pass `filters`, with their cells, and the others with reasons.

    Args:
        entries: what was read.
        filters: limits.
        reading: results that are there already; new ones are added.
    """
    reading = reading or PartialReading()
    failed = reading.add(
        reading.prepared,
        partial(prepare, filters=filters),
        {i: entry.payload for i, entry in enumerate(entries)},
        "Preparing the crystals",
        _TIMEOUT_S,
    )
    kept: list[tuple[Entry, Prepared]] = []
    rejected: list[Rejection] = []
    for i, entry in enumerate(entries):
        result = _not_canonical(failed[i]) if i in failed else reading.prepared[i]
        if isinstance(result, Prepared):
            problem = filters.problem(entry.labels, result)
            if problem is None:
                kept.append((entry, result))
                continue
            result = problem
        rejected.append(Rejection(entry.id, entry.where, result.kind, result.reason))
    return kept, rejected


def prepare(payload: Payload, filters: Filters) -> Prepared | Problem:
    """Return the canonical cell of an entry, or why there is none."""
    if isinstance(payload, Problem):
        return payload
    try:
        cell, notes = read_payload(payload)
        cell = cell.checked()
        # The primitive cell holds at least one formula unit: large cells need no further work.
        if problem := filters.too_many_atoms(sum(count for _, count in cell.formula_key)):
            return problem
        cell = Cell(*canonical_arrays(*cell))
        if problem := filters.too_many_atoms(len(cell)):
            return problem
        return Prepared(cell, shortest_distance(cell), tuple(notes))
    except DataError as error:
        return Problem.of(error)
    # Whatever else a strange structure provokes must not stop the rest.
    except Exception as error:
        return _not_canonical(repr(error))


def _not_canonical(reason: str) -> Problem:
    return Problem("unreadable", f"It cannot be brought to canonical form ({reason}).")


def find_duplicates(
    cells: Sequence[Cell],
    formulas: Sequence[str],
    energies: Sequence[float],
    reading: PartialReading | None = None,
) -> dict[int, int]:
    """Return, for each duplicate, the position of the entry that stays in its place.

    Entries of the same reduced formula are taken from the lowest energy upwards (unknown energies
    last, ties in order); one that matches an entry already kept is a duplicate of it. Tolerances:
    ltol 0.2, stol 0.3, angle_tol 5° (StructureMatcher's defaults).

    Args:
        cells: the crystals.
        formulas: their reduced formulas.
        energies: eV/atom; NaN where unknown.
        reading: groups of one formula that are compared already; new ones are added.
    """
    reading = reading or PartialReading()
    groups: dict[str, list[int]] = defaultdict(list)
    rank = [math.inf if math.isnan(energy) else energy for energy in energies]
    for i in sorted(range(len(cells)), key=lambda i: rank[i]):
        groups[formulas[i]].append(i)
    several = [members for members in groups.values() if len(members) > 1]
    # The largest groups first, so that no process is left alone with one of them at the end.
    several.sort(key=lambda members: (-len(members), min(members)))
    failed = reading.add(
        reading.compared,
        duplicates_in_group,
        {members[0]: (members, [cells[i] for i in members]) for members in several},
        "Comparing the crystals of each formula",
        math.inf,
    )
    for first, error in failed.items():
        raise DataError(
            f"The {len(groups[formulas[first]])} crystals of {formulas[first]} could not be "
            f"compared ({error}). Free some memory, or keep duplicates out of the data."
        )
    return {i: j for group in reading.compared.values() for i, j in group.items()}


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
