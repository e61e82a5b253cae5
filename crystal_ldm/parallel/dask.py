"""The same work on the workers of a Dask client.

A Dask task cannot be killed, so each one runs its items in a local pool of one process, which can.
The pool stays for the next task, so that what its process has loaded (a model) is loaded once.
"""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from crystal_ldm.parallel.executor import Executor, Outcome, Progress, Workers
from crystal_ldm.parallel.pool import WorkerPool

_ITEMS_PER_TASK = 64
_TASKS_IN_FLIGHT = 4

_pools: dict[tuple[str, int], WorkerPool] = {}  # by executor and thread, in each Dask worker


def _run_items(
    function: Callable[[Any], Any],
    items: list[tuple[int, Any]],
    limits: Workers,
    timeout: float,
    executor: str,
) -> list[Outcome]:
    place = (executor, threading.get_ident())
    if place not in _pools:
        _pools[place] = WorkerPool(replace(limits, count=1))
    outcomes = _pools[place].map(function, (item for _, item in items), timeout=timeout)
    return [
        Outcome(index, outcome.value, outcome.error)
        for (index, _), outcome in zip(items, outcomes, strict=True)
    ]


def _close_pools(executor: str) -> None:
    for place in [place for place in list(_pools) if place[0] == executor]:
        _pools.pop(place).close()


class DaskExecutor(Executor):
    """Runs items on a `dask.distributed.Client`; the client stays the caller's to close."""

    def __init__(self, workers: Workers) -> None:
        super().__init__(workers)
        self._name = uuid.uuid4().hex

    def close(self) -> None:
        """End the processes that Dask's workers have started for this executor."""
        self.workers.client.run(_close_pools, self._name, on_error="ignore")

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

        client, limits = self.workers.client, replace(self.workers, client=None)
        limit = self.workers.timeout if timeout is None else timeout
        size = 1 if chunk == 1 else _ITEMS_PER_TASK
        source = iter(enumerate(items))
        batches = iter(lambda: list(itertools.islice(source, size)), [])

        def submit(batch: list[tuple[int, Any]]) -> Any:
            return client.submit(_run_items, function, batch, limits, limit, self._name, pure=False)

        in_flight = max(1, _TASKS_IN_FLIGHT * len(client.scheduler_info()["workers"]))
        futures = {}
        running = as_completed()
        try:
            for batch in itertools.islice(batches, in_flight):
                future = submit(batch)
                futures[future.key] = future, batch
                running.add(future)
            for future in running:
                _, batch = futures.pop(future.key)
                if future.status == "finished":
                    outcomes = future.result()
                else:  # the Dask worker itself was lost
                    text = f"Crash: the Dask task failed ({future.exception()})"
                    outcomes = [Outcome(index, error=text) for index, _ in batch]
                future.release()
                following = next(batches, None)
                if following is not None:
                    new = submit(following)
                    futures[new.key] = new, following
                    running.add(new)
                if progress is not None:
                    progress(len(outcomes))
                yield from outcomes
        finally:  # also when the caller stops early
            client.cancel([future for future, _ in futures.values()])
