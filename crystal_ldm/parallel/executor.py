"""What all ways of running per-structure work share: an outcome for each item, whatever happens."""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

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


class Executor(ABC):
    """Runs a function on many items; a failure of any kind costs only its own item.

    Use it as a context manager.
    """

    @abstractmethod
    def imap(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        *,
        timeout: float | None = None,
        chunk: int = 8,
        progress: Progress | None = None,
    ) -> Iterator[Outcome]:
        """Yield an outcome for each item as it comes, in any order.

        Items are drawn as workers become free, so that an endless input needs no memory.

        Args:
            function: importable by name (it may be a `functools.partial` of such a function).
            items: pickled one by one.
            timeout: longest time for one item, s; None: the executor's.
            chunk: number of items sent at a time; 1 for long ones.
            progress: called with the number of items just finished.

        Raises:
            EvaluationError: if no worker process can be started.
        """

    def map(
        self, function: Callable[[Any], Any], items: Iterable[Any], **options: Any
    ) -> list[Outcome]:
        """Return all outcomes in the order of the items; options as for `imap`."""
        outcomes = self.imap(function, items, **options)
        return sorted(outcomes, key=lambda outcome: outcome.index)

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        """End what was started here."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


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
    from crystal_ldm.parallel.dask import DaskExecutor
    from crystal_ldm.parallel.pool import WorkerPool

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
