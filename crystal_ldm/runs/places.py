"""Sets of places in a request: few ranges however many crystals."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator


class Places:
    """A set of (row, number), kept as ranges of numbers for each row.

    Args:
        ranges: (row, first number, number after the last), see `ranges`.
    """

    def __init__(self, ranges: Iterable[Iterable[int]] = ()) -> None:
        self._starts: dict[int, list[int]] = {}
        self._ends: dict[int, list[int]] = {}
        self._count = 0
        for row, start, end in ranges:
            for number in range(start, end):
                self.add(row, number)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, place: object) -> bool:
        if not isinstance(place, tuple):
            return False
        row, number = place
        i = bisect_right(self._starts.get(row, []), number) - 1
        return i >= 0 and number < self._ends[row][i]

    def add(self, row: int, number: int) -> None:
        """Add a place; one that is there already stays."""
        starts, ends = self._starts.setdefault(row, []), self._ends.setdefault(row, [])
        i = bisect_right(starts, number)
        if i and number < ends[i - 1]:
            return
        self._count += 1
        joins_before = i > 0 and ends[i - 1] == number
        joins_after = i < len(starts) and starts[i] == number + 1
        if joins_before and joins_after:
            ends[i - 1] = ends.pop(i)
            del starts[i]
        elif joins_before:
            ends[i - 1] = number + 1
        elif joins_after:
            starts[i] = number
        else:
            starts.insert(i, number)
            ends.insert(i, number + 1)

    def ranges(self) -> Iterator[tuple[int, int, int]]:
        """Yield (row, first number, number after the last) of each range."""
        for row, starts in self._starts.items():
            for start, end in zip(starts, self._ends[row], strict=True):
                yield row, start, end
