"""A set of crystals in order, each usable or with a reason why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.packed import PackedCrystal
from crystal_ldm.errors import CrystalLDMError, EvaluationError, describe_error


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

    crystals: list[PackedCrystal | None]
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
    """Pack a list of structures; one that cannot be used keeps its place, with the reason."""
    crystals: list[PackedCrystal | None] = []
    errors: list[str | None] = []
    names: list[str] = []
    for position, item in enumerate(objects):
        names.append(str(ids[position]) if ids is not None else str(position))
        try:
            crystals.append(_pack(item))
            errors.append(None)
        except CrystalLDMError as error:
            crystals.append(None)
            errors.append(str(error))
        except Exception as error:
            crystals.append(None)
            errors.append(describe_error(error))
    return CrystalSet(crystals, names, errors)


def _pack(item: Any) -> PackedCrystal:
    if isinstance(item, PackedCrystal):
        return item
    if item is None:
        raise EvaluationError("there is no structure")
    if isinstance(item, dict):
        from pymatgen.core import Structure

        item = Structure.from_dict(item.get("structure", item))
    if hasattr(item, "get_scaled_positions"):  # ASE Atoms
        scaled = item.get_scaled_positions(wrap=False)
        return PackedCrystal.from_arrays(item.get_atomic_numbers(), scaled, item.cell.array)
    return PackedCrystal.from_structure(item)
