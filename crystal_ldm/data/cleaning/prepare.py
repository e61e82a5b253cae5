"""Which crystals are used: entries parsed, brought to canonical form, measured and filtered."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from crystal_ldm.crystals.canonical import canonical_arrays
from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.distances import shortest_distance
from crystal_ldm.crystals.readers.entries import (
    Entry,
    LabelValue,
    Payload,
    Problem,
    problem_kind,
    read_payload,
)
from crystal_ldm.crystals.readers.report import Rejection
from crystal_ldm.errors import DataError
from crystal_ldm.parallel import AnyWorkers, Outcome
from crystal_ldm.parallel.executor import map_items

# spglib reports on standard error each time it tries again with another tolerance.
os.environ.setdefault("SPGLIB_WARNING", "OFF")


_TIMEOUT_S = 600.0  # for one crystal


class Prepared(NamedTuple):
    """A canonical cell with its volume (Å³ per atom) and shortest distance (Å), and notes."""

    cell: Cell
    volume: float
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

    def atoms_reason(self, num_atoms: int) -> tuple[str, str] | None:
        """Return (kind, reason) if the primitive cell has too many atoms."""
        if num_atoms <= self.max_atoms:
            return None
        reason = f"The primitive cell has {num_atoms} atoms; at most {self.max_atoms} are used."
        return f"more than {self.max_atoms} atoms", reason

    def reason(
        self, labels: Mapping[str, LabelValue], volume: float, distance: float
    ) -> tuple[str, str] | None:
        """Return (kind, reason) why a crystal is not used, or None.

        Args:
            labels: the entry's labels.
            volume: Å³ per atom.
            distance: shortest distance, Å.
        """
        if self.need_band_gap and not _finite(labels.get("band_gap")):
            return "no band gap", "The band gap is not a finite number."
        energy = labels.get("formation_energy_per_atom")
        limit = self.max_formation_energy
        if limit is not None and isinstance(energy, float) and not abs(energy) < limit:
            kind = f"formation energy not within {limit:g} eV/atom"
            return kind, f"The formation energy is {energy:.2f} eV/atom."
        if self.max_volume is not None and not volume < self.max_volume:
            kind = f"{self.max_volume:g} Å³ per atom or more"
            return kind, f"The volume is {volume:.1f} Å³ per atom."
        if not volume > self.min_volume:
            return f"{self.min_volume:g} Å³ per atom or less", f"It has {volume:.3f} Å³ per atom."
        if not distance > self.min_distance:
            kind = f"atoms within {self.min_distance:g} Å"
            return kind, f"The shortest distance is {distance:.3f} Å."
        return None


def _finite(value: LabelValue) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def prepare_entries(
    entries: Sequence[Entry],
    filters: Filters,
    workers: AnyWorkers = None,
    progress: bool = True,
    done: dict[int, Prepared | tuple[str, str]] | None = None,
    check: Callable[[int, int], None] | None = None,
) -> tuple[list[tuple[Entry, Prepared]], list[Rejection]]:
    """Return the entries that pass `filters`, with their cells, and the others with reasons.

    Args:
        entries: what was read.
        filters: limits.
        workers, progress: see `map_items`.
        done: results of `prepare` by position that are there already; new ones are added.
        check: called with the number of results and of entries; what it raises ends the work.
    """
    results = {} if done is None else done
    todo = [i for i in range(len(entries)) if i not in results]
    failed: dict[int, str] = {}

    def keep(outcome: Outcome) -> None:
        if outcome.error is None:
            results[todo[outcome.index]] = outcome.value
        if check is not None:
            check(len(results), len(entries))

    outcomes = map_items(
        partial(prepare, filters=filters), [entries[i].payload for i in todo], workers=workers,
        timeout=_TIMEOUT_S, progress=progress, label="Preparing crystals", on_outcome=keep,
    )  # fmt: skip
    for i, outcome in zip(todo, outcomes, strict=True):
        if outcome.error is not None:
            failed[i] = outcome.error
        else:
            results[i] = outcome.value  # also where only the second attempt had one
    kept: list[tuple[Entry, Prepared]] = []
    rejected: list[Rejection] = []
    for i, entry in enumerate(entries):
        result = results.get(i)
        reason: tuple[str, str] | None
        if result is None:
            reason = "unreadable", f"It cannot be brought to canonical form ({failed[i]})."
        elif isinstance(result, Prepared):
            reason = filters.reason(entry.labels, result.volume, result.distance)
            if reason is None:
                kept.append((entry, result))
                continue
        else:
            reason = result
        kind, sentence = reason
        rejected.append(Rejection(entry.id, entry.where, kind, sentence))
    return kept, rejected


def prepare(payload: Payload, filters: Filters) -> Prepared | tuple[str, str]:
    """Return the canonical cell of an entry, or (kind, reason) why there is none."""
    if isinstance(payload, Problem):
        return payload.kind, payload.reason
    try:
        cell, notes = read_payload(payload)
        cell = cell.checked()
        # The primitive cell holds at least one formula unit: large cells need no further work.
        counts = np.unique(cell.numbers, return_counts=True)[1]
        smallest = len(cell.numbers) // int(np.gcd.reduce(counts))
        if too_many := filters.atoms_reason(smallest):
            return too_many
        cell = Cell(*canonical_arrays(*cell))
        if too_many := filters.atoms_reason(len(cell.numbers)):
            return too_many
        return Prepared(cell, volume_per_atom(cell), shortest_distance(cell), tuple(notes))
    except DataError as error:
        return problem_kind(str(error)), str(error)
    # Whatever else a strange structure provokes must not stop the rest.
    except Exception as error:
        return "unreadable", f"It cannot be brought to canonical form ({error!r})."


def volume_per_atom(cell: Cell) -> float:
    """Return the volume in Å³ per atom."""
    return float(abs(np.linalg.det(cell.lattice))) / len(cell.numbers)
