"""What all ways of running per-structure work share: an outcome for each item, whatever happens."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

Progress = Callable[[int], None]
"""Called with the number of items finished since the last call."""

TIMEOUT_S = 60.0
MEMORY_GB = 4.0


@dataclass(frozen=True)
class Outcome:
    """The result of one item.

    Attributes:
        index: position of the item in the input.
        value: what the function returned; None when it failed.
        error: why it failed, as one line; None when it did not.
    """

    index: int
    value: Any = None
    error: str | None = None


class Executor(Protocol):
    """Runs a function on many items; a failure of any kind costs only its own item."""

    def imap(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        *,
        timeout: float | None = None,
        chunk: int = 8,
        progress: Progress | None = None,
    ) -> Iterator[Outcome]:
        """Yield outcomes as they come, in any order. `timeout` (s) holds for each item."""
        ...

    def map(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        *,
        timeout: float | None = None,
        chunk: int = 8,
        progress: Progress | None = None,
    ) -> list[Outcome]:
        """Return all outcomes in the order of the items."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def default_workers() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def open_executor(
    workers: int | None = None,
    client: Any = None,
    *,
    timeout: float = TIMEOUT_S,
    memory_gb: float = MEMORY_GB,
) -> Executor:
    """Return local worker processes, or a Dask client's workers when a client is given.

    Args:
        workers: number of local processes; None: one for each core.
        client: a `dask.distributed.Client`.
        timeout: longest time for one item, s.
        memory_gb: longest memory for one worker, GiB; beyond it an item fails with MemoryError.
    """
    from crystal_ldm.evaluate.workers.dask import DaskExecutor
    from crystal_ldm.evaluate.workers.pool import WorkerPool

    if client is not None:
        return DaskExecutor(client, timeout=timeout, memory_gb=memory_gb)
    return WorkerPool(workers, timeout=timeout, memory_gb=memory_gb)


def borrow_or_open(
    executor: Executor | None,
    workers: int | None = None,
    client: Any = None,
    *,
    timeout: float = TIMEOUT_S,
    memory_gb: float = MEMORY_GB,
) -> contextlib.AbstractContextManager[Executor]:
    """Return a context that gives an open executor and closes it only if it was opened here."""
    if executor is not None:
        return contextlib.nullcontext(executor)
    return open_executor(workers, client, timeout=timeout, memory_gb=memory_gb)
