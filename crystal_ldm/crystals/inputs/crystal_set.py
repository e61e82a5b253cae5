"""A set of crystals in order, each usable or with a reason why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.readers.entries import LabelValue, Source, read_payload, summarised
from crystal_ldm.crystals.readers.objects import cell_of
from crystal_ldm.errors import CrystalLDMError, DataError, describe_error


@dataclass
class CrystalSet:
    """Crystals in order, each usable or with a reason.

    Attributes:
        crystals: one for each entry; None where it cannot be used.
        ids: one for each entry, all different.
        errors: why an entry cannot be used; None where it can.
        rows: row of the request that a generated crystal belongs to (its position if unknown).
        numbers: its number within the row.
        labels: known properties by name, (n,) float with nan for unknown.
        notes: sentences on what was changed while reading.
    """

    crystals: list[Cell | None]
    ids: list[str]
    errors: list[str | None]
    rows: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    labels: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.rows:
            self.rows = list(range(len(self.crystals)))
        if not self.numbers:
            self.numbers = [0] * len(self.crystals)
        repeated = {name for name, count in Counter(self.ids).items() if count > 1}
        if repeated:
            self.ids = without_repetition(self.ids)
            some = ", ".join(sorted(repeated)[:3])
            self.notes.append(
                f"{len(repeated)} ids occur more than once ({some}); "
                "the later entries carry #2, #3 and so on."
            )

    def __len__(self) -> int:
        return len(self.crystals)

    def select(self, positions: Sequence[int]) -> CrystalSet:
        """Return the entries at some positions."""
        return CrystalSet(
            [self.crystals[i] for i in positions],
            [self.ids[i] for i in positions],
            [self.errors[i] for i in positions],
            [self.rows[i] for i in positions],
            [self.numbers[i] for i in positions],
            {name: values[list(positions)] for name, values in self.labels.items()},
        )

    def head(self, count: int) -> CrystalSet:
        """Return the first entries."""
        return self.select(range(min(count, len(self))))

    @classmethod
    def cat(cls, sets: Sequence[CrystalSet]) -> CrystalSet:
        """Join sets; the position in the result becomes the row."""
        joined = cls([], [], [])
        for part in sets:
            joined.crystals += part.crystals
            joined.ids += part.ids
            joined.errors += part.errors
        joined.ids = without_repetition(joined.ids)
        joined.rows = list(range(len(joined)))
        joined.numbers = [0] * len(joined)
        return joined


def without_repetition(names: Sequence[str]) -> list[str]:
    """Return the names with #2, #3 ... added to those that have occurred before."""
    taken = set(names)
    seen: set[str] = set()
    result: list[str] = []
    for name in names:
        unique, copy = name, 2
        while unique in seen or (copy > 2 and unique in taken):
            unique, copy = f"{name}#{copy}", copy + 1
        seen.add(unique)
        result.append(unique)
    return result


def from_objects(objects: Sequence[Any], ids: Sequence[str] | None = None) -> CrystalSet:
    """Take a list of crystals (see `objects.cell_of`), whole cells as they are.

    One that cannot be used keeps its place, with the reason.
    """
    crystals: list[Cell | None] = []
    errors: list[str | None] = []
    for item in objects:
        try:
            crystals.append(cell_of(item))
            errors.append(None)
        except CrystalLDMError as error:
            crystals.append(None)
            errors.append(str(error))
        except Exception as error:  # whatever a strange object provokes
            crystals.append(None)
            errors.append(describe_error(error))
    names = [str(i) for i in range(len(crystals))] if ids is None else [str(i) for i in ids]
    return CrystalSet(crystals, names, errors)


def from_source(source: Source) -> CrystalSet:
    """Parse all entries of a source; one that cannot be used keeps its place, with the reason."""
    crystals: list[Cell | None] = []
    errors: list[str | None] = []
    notes: list[str] = []
    for entry in source.entries:
        notes += entry.notes
        try:
            cell, changed = read_payload(entry.payload)
        except DataError as error:
            crystals.append(None)
            errors.append(str(error))
            continue
        crystals.append(cell)
        errors.append(None)
        notes += changed
    names = dict.fromkeys(name for entry in source.entries for name in entry.labels)
    labels = {name: _numbers([e.labels.get(name) for e in source.entries]) for name in names}
    ids = [entry.id for entry in source.entries]
    result = CrystalSet(crystals, ids, errors, notes=[*source.notes, *summarised(notes)])
    result.labels = {name: values for name, values in labels.items() if values is not None}
    return result


def _numbers(values: Sequence[LabelValue]) -> NDArray[np.float64] | None:
    """Return a label as numbers; None for text."""
    if any(isinstance(value, str) for value in values):
        return None
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
