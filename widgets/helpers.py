"""Worker processes that the panels share for what takes seconds and must not slow the notebook."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from crystal_ldm.parallel.executor import Executor, Outcome, Workers
from crystal_ldm.parallel.pool import WorkerPool

NICENESS = 10
"""The priority of a helper, where the system knows that: 0 is the usual one, 19 the last."""
IDLE = 60.0
"""Seconds after which helpers that have nothing to do are ended."""


class Helpers(WorkerPool):
    """Worker processes that let all others go first: `with helpers.open() as pool: …`, one user at
    a time.

    They start at the first use (some seconds) and stay for the next one, `IDLE` seconds long.
    """

    def __init__(self) -> None:
        super().__init__(Workers(count=1, memory_gb=6))
        self._lock = threading.Lock()
        self._timer = threading.Timer(IDLE, self.close)

    @contextmanager
    def open(self) -> Iterator[Executor]:
        """Give the processes as an executor, as `evaluate` takes it for `workers`."""
        with self._lock:
            self._timer.cancel()
            try:
                yield self
            finally:
                self._timer = threading.Timer(IDLE, self.close)
                self._timer.daemon = True
                self._timer.start()

    def close(self) -> None:
        """End the processes; the next use starts them again."""
        with self._lock:
            super().close()

    def imap(
        self, function: Callable[[Any], Any], items: Iterable[Any], **options: Any
    ) -> Iterator[Outcome]:
        """See `Executor.imap`."""
        return super().imap(partial(_patiently, function=function), items, **options)


def _patiently(item: Any, function: Callable[[Any], Any]) -> Any:
    if hasattr(os, "nice"):
        os.nice(max(0, NICENESS - os.nice(0)))  # not further where it stands back already
    return function(item)
