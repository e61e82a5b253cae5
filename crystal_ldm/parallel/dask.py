"""The same work on the workers of a Dask client.

A Dask task cannot be killed, so each one runs its items in a local pool of one process, which can.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from crystal_ldm.parallel.executor import (
    MEMORY_GB,
    TIMEOUT_S,
    Executor,
    Outcome,
    Progress,
)
from crystal_ldm.parallel.pool import WorkerPool

_ITEMS_PER_TASK = 64
_TASKS_IN_FLIGHT = 4


def _run_items(
    function: Callable[[Any], Any],
    items: list[tuple[int, Any]],
    timeout: float,
    memory_gb: float,
) -> list[Outcome]:
    with WorkerPool(1, timeout=timeout, memory_gb=memory_gb) as pool:
        outcomes = pool.map(function, (item for _, item in items))
    return [
        Outcome(index, outcome.value, outcome.error)
        for (index, _), outcome in zip(items, outcomes, strict=True)
    ]


class DaskExecutor(Executor):
    """Runs items on a `dask.distributed.Client`; the client stays the caller's to close."""

    def __init__(
        self, client: Any, *, timeout: float = TIMEOUT_S, memory_gb: float = MEMORY_GB
    ) -> None:
        self.client = client
        self.timeout = timeout
        self.memory_gb = memory_gb

    def imap(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        *,
        timeout: float | None = None,
        chunk: int = 8,
        progress: Progress | None = None,
    ) -> Iterator[Outcome]:
        """Yield outcomes as they come; a few tasks for each Dask worker are in flight at a time."""
        from distributed import as_completed

        limit = self.timeout if timeout is None else timeout
        size = 1 if chunk == 1 else _ITEMS_PER_TASK
        source = iter(enumerate(items))
        batches = iter(lambda: list(itertools.islice(source, size)), [])

        def submit(batch: list[tuple[int, Any]]) -> Any:
            return self.client.submit(
                _run_items, function, batch, limit, self.memory_gb, pure=False
            )

        in_flight = max(1, _TASKS_IN_FLIGHT * len(self.client.scheduler_info()["workers"]))
        futures = {}
        running = as_completed()
        for batch in itertools.islice(batches, in_flight):
            future = submit(batch)
            futures[future.key] = batch
            running.add(future)
        for future in running:
            batch = futures.pop(future.key)
            if future.status == "finished":
                outcomes = future.result()
            else:  # the Dask worker itself was lost
                text = f"Crash: the Dask task failed ({future.exception()})"
                outcomes = [Outcome(index, error=text) for index, _ in batch]
            future.release()
            following = next(batches, None)
            if following is not None:
                new = submit(following)
                futures[new.key] = following
                running.add(new)
            if progress is not None:
                progress(len(outcomes))
            yield from outcomes
