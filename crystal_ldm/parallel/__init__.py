"""Worker processes for per-structure work: killed when they hang, replaced when they crash."""

from crystal_ldm.parallel.executor import Executor, Outcome, open_executor
from crystal_ldm.parallel.pool import WorkerPool

__all__ = ["Executor", "Outcome", "WorkerPool", "open_executor"]
