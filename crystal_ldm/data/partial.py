"""What a reading has prepared by now: one that ends early is gone on with by the next call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.data.cache import atomic_file
from crystal_ldm.data.cleaning.prepare import Prepared
from crystal_ldm.errors import DataError

SUFFIX = ".unfinished"


def _never() -> bool:
    return False


@dataclass
class PartialReading:
    """Results that are there already, and whether to stop.

    Attributes:
        prepared: crystals, or (kind, reason) of a rejection, by the entry's position.
        compared: duplicates of a group of the same formula, by the group's first position.
        over: asked after each result; once it is true, the reading ends.
    """

    prepared: dict[int, Prepared | tuple[str, str]] = field(default_factory=dict)
    compared: dict[int, dict[int, int]] = field(default_factory=dict)
    over: Callable[[], bool] = _never

    def check(self, doing: str, done: int, total: int) -> None:
        """See whether there is time for more.

        Raises:
            DataError: if there is not.
        """
        if self.over():
            raise DataError(
                f"{doing} ended after {done:,} of {total:,}, since it was stopped or its time "
                "(max_minutes) is over. What was done is kept: run it again to go on from there."
            )


@contextmanager
def partial_reading(path: Path, over: Callable[[], bool] | None) -> Iterator[PartialReading]:
    """Give what an earlier reading of the cache entry `path` has left; keep what this one leaves.

    Whatever ends the block early, also an interrupt, leaves a file beside `path`; its good end
    removes the file. Whoever calls it holds the entry's lock.
    """
    file = path.with_name(path.name + SUFFIX)
    reading = _read(file)
    reading.over = over or _never
    before = len(reading.prepared) + len(reading.compared)
    try:
        yield reading
    except BaseException:
        if len(reading.prepared) + len(reading.compared) > before:
            with atomic_file(file) as part:
                part.write_text("".join(_lines(reading)), encoding="utf-8")
        raise
    file.unlink(missing_ok=True)


def _lines(reading: PartialReading) -> Iterator[str]:
    for position, result in reading.prepared.items():
        value: Any = result
        if isinstance(result, Prepared):
            cell = [array.tolist() for array in result.cell]
            value = [cell, result.volume, result.distance, list(result.notes)]
        yield json.dumps([position, value]) + "\n"
    for position, duplicates in reading.compared.items():
        yield json.dumps([position, {str(i): j for i, j in duplicates.items()}]) + "\n"


def _read(file: Path) -> PartialReading:
    """Read the file; JSON keeps every digit. What is damaged is done again."""
    reading = PartialReading()
    try:
        for line in file.read_text(encoding="utf-8").splitlines():
            position, value = json.loads(line)
            if isinstance(value, dict):
                reading.compared[position] = {int(i): j for i, j in value.items()}
            elif len(value) == 2:
                reading.prepared[position] = value[0], value[1]
            else:
                (lattice, coords, numbers), volume, distance, notes = value
                arrays = np.array(lattice), np.array(coords), np.array(numbers, dtype=np.int64)
                reading.prepared[position] = Prepared(Cell(*arrays), volume, distance, tuple(notes))
    except (OSError, ValueError, TypeError):
        pass
    return reading
