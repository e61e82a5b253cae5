"""Dask as the engine of a sweep: worker processes here, or jobs of a cluster's batch system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from crystal_ldm.errors import ConfigError, suggest

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
        made = LocalCluster(n_workers=workers, **{**defaults, **options})
    else:
        made = _batch_system(str(kind), options)
        made.scale(jobs=workers)
    with made, Client(made) as client:
        yield client


def _batch_system(kind: str, options: dict[str, Any]) -> Any:
    if kind not in _CLUSTERS:
        known = ["local", *_CLUSTERS]
        raise ConfigError(
            f"There is no cluster '{kind}'.{suggest(kind, known)} There are: {', '.join(known)}."
        )
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
