"""Turns that are shared out in proportion to votes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Turns:
    """Whose turn it is, as far as it was asked: `Turns(votes)[number]`.

    The turns are shared out as seats are to votes (D'Hondt's method): who has more votes comes
    earlier and more often, and any number of first turns is in proportion.
    """

    def __init__(self, votes: NDArray[np.float64], taken: int | None = None) -> None:
        """`votes`: (n,); `taken`: who had a turn before the first one, None: nobody."""
        self._votes = votes
        self._had = np.zeros(len(votes), dtype=np.int64)
        if taken is not None:
            self._had[taken] = 1
        self._sequence: list[tuple[int, int]] = []

    def __getitem__(self, number: int) -> tuple[int, int]:
        """Return whose turn it is, 0 to n - 1, and how many turns it had before."""
        while len(self._sequence) <= number:
            seat = int((self._votes / (self._had + 1)).argmax())
            self._sequence.append((seat, int(self._had[seat])))
            self._had[seat] += 1
        return self._sequence[number]
