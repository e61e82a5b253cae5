"""Parse entries, bring them to canonical form and measure them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from crystal_ldm.crystals.canonical import canonical_arrays
from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.distances import shortest_distance
from crystal_ldm.crystals.readers.entries import (
    Entry,
    Payload,
    Problem,
    problem_kind,
    read_payload,
)
from crystal_ldm.crystals.readers.report import Rejection
from crystal_ldm.data.cleaning.filters import Filters
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
