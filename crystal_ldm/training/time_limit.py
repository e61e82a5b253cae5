"""How long a call may take."""

from __future__ import annotations

import math
import threading
import time


class TimeOver(Exception):
    """There is no time for the rest of something that the next call can do again."""


class TimeLimit:
    """When a call has to end: `max_minutes` from now, or when `stop` is set."""

    def __init__(self, max_minutes: float | None, stop: threading.Event | None) -> None:
        self.deadline = math.inf if max_minutes is None else time.monotonic() + 60 * max_minutes
        self.stop = stop

    def over(self) -> bool:
        """Whether the call has to end now."""
        asked = self.stop is not None and self.stop.is_set()
        return asked or time.monotonic() > self.deadline

    def check(self, *_: object) -> None:
        """Raise `TimeOver` if the call has to end now; whatever it is called with is not used."""
        if self.over():
            raise TimeOver
