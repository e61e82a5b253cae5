"""Per-structure work: where it runs, and an outcome for each item, whatever happens."""

from __future__ import annotations

import contextlib
import copy
import operator
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from crystal_ldm.errors import EvaluationError, describe_error

Progress = Callable[[int], object]
"""Called with the number of items finished since the last call."""

Numbered = Iterator[tuple[int, Any]]
"""Items with their positions; one that has none for the moment is asked again after an outcome."""


_FEW = 200
"""Starting processes takes about a second; less work than this is done at once."""


@dataclass(frozen=True)
class Workers:
    """Where per-structure work runs, and within which limits.

    Attributes:
        count: number of worker processes; None: one for each core.
        client: a `dask.distributed.Client`: its workers instead.
        here: in this process instead, where nothing can end an item that hangs or takes too much.
        timeout: longest time for one item, s; infinite: any.
        memory_gb: largest memory of one worker, GiB, beyond which an item fails with MemoryError;
            infinite: any.

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

    Attributes:
        bars: whether a bar shows how far named work is.
    """

    bars = False

    def __init__(self, workers: Workers | None = None) -> None:
        self.workers = workers or Workers()

    def imap(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        *,
        timeout: float | None = None,
        chunk: int = 8,
        label: str = "",
        progress: Progress | None = None,
    ) -> Iterator[Outcome]:
        """Yield an outcome for each item as it comes, in any order.

        Items are drawn as workers become free, so that an endless input needs no memory. An
        iterator that has none for the moment is asked again after the next outcome.

        Args:
            function: importable by name (it may be a `functools.partial` of such a function).
            items: pickled one by one; None has no outcome.
            timeout: longest time for one item, s; None: the executor's.
            chunk: number of items sent at a time; 1 for long ones.
            label: names the work for a bar.
            progress: called with the number of items just finished.

        Raises:
            EvaluationError: if no worker process can be started.
        """
        from tqdm import tqdm

        limit = self.workers.timeout if timeout is None else timeout
        present = filter(lambda pair: pair[1] is not None, enumerate(items))
        # In plain text: bars that are widgets are blank in an exported notebook.
        bar = tqdm(
            desc=label,
            total=operator.length_hint(items) or None,
            file=sys.stdout,
            mininterval=1.0,
            disable=not (self.bars and label),
        )
        with bar:
            for outcome in self._outcomes(function, present, limit, chunk):
                bar.update()
                if progress is not None:
                    progress(1)
                yield outcome

    @abstractmethod
    def _outcomes(
        self, function: Callable[[Any], Any], items: Numbered, limit: float, chunk: int
    ) -> Iterator[Outcome]:
        """Yield outcomes of numbered items as they come; `limit` seconds for each item."""

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

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.close()


class HereExecutor(Executor):
    """Runs items one after the other in this thread; limits of time and memory do not hold."""

    def _outcomes(
        self, function: Callable[[Any], Any], items: Numbered, limit: float, chunk: int
    ) -> Iterator[Outcome]:
        for index, item in items:
            try:
                yield Outcome(index, function(item))
            except Exception as error:
                yield Outcome(index, error=describe_error(error))


def default_workers() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


AnyWorkers = int | Workers | Executor | None
"""How functions take their workers, see `open_executor`."""


def open_executor(
    workers: AnyWorkers = None, default: Workers | None = None, bars: bool = False
) -> contextlib.AbstractContextManager[Executor]:
    """Return a context that gives an executor: this process, worker processes, or Dask's.

    Args:
        workers: settings; a number of processes; None: one for each core; or an open executor,
            which is used as it is and stays open.
        default: limits where only a number or nothing is given.
        bars: whether to show bars of what it does.
    """
    if isinstance(workers, Executor):
        if bars and not workers.bars:
            workers = copy.copy(workers)  # the same workers
            workers.bars = True
        return contextlib.nullcontext(workers)
    from crystal_ldm.parallel.cluster import DaskExecutor
    from crystal_ldm.parallel.pool import WorkerPool

    if not isinstance(workers, Workers):
        workers = replace(default or Workers(), count=workers)
    kind: type[Executor] = HereExecutor if workers.here else WorkerPool
    executor = (DaskExecutor if workers.client is not None else kind)(workers)
    executor.bars = bars
    return executor


def map_items(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    *,
    workers: AnyWorkers = None,
    timeout: float,
    progress: bool = True,
    label: str = "",
    on_outcome: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Return the outcome of each item; short lists are worked on in this process.

    Args:
        function: importable by name, or a `functools.partial` of such a function.
        timeout: longest time for one item, s.
        on_outcome: called with each outcome as it comes; what it raises ends the work.
    """
    if len(items) < _FEW or workers == 1:
        workers = Workers(here=True)
    chunk = 1 + min(63, len(items) // 1000)
    outcomes = []
    with open_executor(workers, Workers(memory_gb=16), bars=progress) as executor:
        for outcome in executor.imap(function, items, timeout=timeout, chunk=chunk, label=label):
            outcomes.append(outcome)
            if on_outcome is not None:
                on_outcome(outcome)
    return sorted(outcomes, key=lambda outcome: outcome.index)
