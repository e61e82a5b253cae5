"""The same work on a cluster: Dask clients, and an executor that runs on one.

A Dask task cannot be killed, so each one runs its items in a local pool of one process, which can.
The pool stays for the next task, so that what its process has loaded (a model) is loaded once.
"""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from crystal_ldm.errors import ConfigError, no_such
from crystal_ldm.parallel.executor import Executor, Numbered, Outcome, Workers
from crystal_ldm.parallel.pool import WorkerPool

if TYPE_CHECKING:
    from distributed import Client


_CLUSTERS = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "lsf": "LSFCluster"}


@contextmanager
def dask_client(settings: Mapping[str, Any], workers: int = 1) -> Iterator[Client]:
    """Give a Dask client as a sweep's key `dask` describes it, and close it afterwards.

    Args:
        settings: `{"cluster": "local"}`; or `{"address": "tcp://host:8786"}` of a running
            scheduler; or `{"cluster": "slurm", "options": {...}}` (also `pbs`, `lsf`) with the
            options of that class of dask-jobqueue, for example
            `{"queue": "cpu", "cores": 4, "memory": "16GB", "walltime": "08:00:00"}`.
        workers: how many to start.

    Raises:
        ConfigError: the settings are wrong, dask-jobqueue is missing, or the scheduler is silent.
    """
    from distributed import Client, LocalCluster

    unknown = set(settings) - {"cluster", "address", "options"}
    if unknown or ("cluster" in settings) == ("address" in settings):
        raise ConfigError("'dask' needs either 'cluster' (with 'options') or 'address'.")
    if "address" in settings:
        try:
            client = Client(str(settings["address"]), timeout="10s")
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"There is no Dask scheduler at {settings['address']} ({error})."
            ) from error
        with client:
            yield client
        return
    options = dict(settings.get("options", {}))
    kind = settings["cluster"]
    if kind == "local":
        defaults = {"threads_per_worker": 1, "dashboard_address": None}
        cluster = LocalCluster(n_workers=workers, **{**defaults, **options})
    else:
        cluster = _batch_system(str(kind), options)
        cluster.scale(jobs=workers)
    with cluster, Client(cluster) as client:
        yield client


def _batch_system(kind: str, options: dict[str, Any]) -> Any:
    if kind not in _CLUSTERS:
        raise ConfigError(no_such("cluster", kind, ["local", *_CLUSTERS]))
    try:
        import dask_jobqueue
    except ImportError as error:
        raise ConfigError(
            f"The cluster '{kind}' needs dask-jobqueue: pip install 'crystal-ldm[cluster]'."
        ) from error
    try:
        return getattr(dask_jobqueue, _CLUSTERS[kind])(**options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"The options of the cluster '{kind}' are wrong: {error}.") from error


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
    return [replace(o, index=index) for (index, _), o in zip(items, outcomes, strict=True)]


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

    def _outcomes(
        self, function: Callable[[Any], Any], items: Numbered, limit: float, chunk: int
    ) -> Iterator[Outcome]:
        # A few tasks for each Dask worker are in flight at a time.
        from distributed import as_completed

        client, limits = self.workers.client, replace(self.workers, client=None)
        size = 1 if chunk == 1 else _ITEMS_PER_TASK
        in_flight = max(1, _TASKS_IN_FLIGHT * len(client.scheduler_info()["workers"]))
        running, batch_of = as_completed(), dict[Any, list[tuple[int, Any]]]()

        def submit() -> None:
            while len(batch_of) < in_flight and (batch := list(itertools.islice(items, size))):
                arguments = (function, batch, limits, limit, self._name)
                future = client.submit(_run_items, *arguments, pure=False)
                batch_of[future] = batch
                running.add(future)

        try:
            submit()
            for future in running:
                batch = batch_of.pop(future)
                if future.status == "finished":
                    outcomes = future.result()
                else:  # the Dask worker itself was lost
                    text = f"Crash: the Dask task failed ({future.exception()})"
                    outcomes = [Outcome(index, error=text) for index, _ in batch]
                future.release()
                yield from outcomes
                submit()
        finally:  # also when the caller stops early
            client.cancel(list(batch_of))
