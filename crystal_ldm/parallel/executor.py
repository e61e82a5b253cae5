"""Per-structure work: where it runs, and an outcome for each item, whatever happens."""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from crystal_ldm.errors import EvaluationError

Progress = Callable[[int], None]
"""Called with the number of items finished since the last call."""


@dataclass(frozen=True)
class Workers:
    """Where per-structure work runs, and within which limits.

    Attributes:
        count: number of worker processes; None: one for each core.
        client: a `dask.distributed.Client`: its workers instead.
        here: in this process instead, where nothing can end an item that hangs or takes too much.
        timeout: longest time for one item, s.
        memory_gb: longest memory for one worker, GiB; beyond it an item fails with MemoryError.

    Raises:
        EvaluationError: if the number of workers or a limit makes no sense.
    """

    count: int | None = None
    client: Any = None
    here: bool = False
    timeout: float = 60.0
    memory_gb: float = 4.0

    def __post_init__(self) -> None:
        if self.count is not None and self.count < 1:
            raise EvaluationError(f"workers must be at least 1, not {self.count}.")
        if not self.timeout > 0 or not self.memory_gb > 0:
            raise EvaluationError("The time limit and the memory limit must be above zero.")


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

    Args:
        workers: settings; None: the defaults.
    """

    def __init__(self, workers: Workers | None = None) -> None:
        self.workers = workers or Workers()

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


AnyWorkers = int | Workers | Executor | None
"""How functions take their workers, see `open_executor`."""


def as_workers(workers: AnyWorkers, default: Workers | None = None) -> Workers:
    """Return settings for a number of workers; None: as many as `default` (or each core) says."""
    if isinstance(workers, Workers):
        return workers
    if isinstance(workers, Executor):
        return workers.workers
    default = default or Workers()
    return default if workers is None else replace(default, count=int(workers))


def open_executor(
    workers: AnyWorkers = None, default: Workers | None = None
) -> contextlib.AbstractContextManager[Executor]:
    """Return a context that gives an executor: this process, worker processes, or Dask's.

    Args:
        workers: settings; a number of processes; None: one for each core; or an open executor,
            which is used as it is and stays open.
        default: limits where only a number or nothing is given.
    """
    if isinstance(workers, Executor):
        return contextlib.nullcontext(workers)
    from crystal_ldm.parallel.dask import DaskExecutor
    from crystal_ldm.parallel.here import HereExecutor
    from crystal_ldm.parallel.pool import WorkerPool

    settings = as_workers(workers, default)
    if settings.client is not None:
        return DaskExecutor(settings)
    return HereExecutor(settings) if settings.here else WorkerPool(settings)
