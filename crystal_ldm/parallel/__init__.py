"""Per-structure work: here, in worker processes that may hang or crash, or on a Dask cluster."""

from crystal_ldm.parallel.executor import AnyWorkers, Executor, Outcome, Workers, open_executor
from crystal_ldm.parallel.pool import WorkerPool

__all__ = ["AnyWorkers", "Executor", "Outcome", "WorkerPool", "Workers", "open_executor"]
