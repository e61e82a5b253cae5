"""Worker processes for per-structure work: killed when they hang, replaced when they crash."""

from crystal_ldm.evaluate.workers.executor import Executor, Outcome, open_executor
from crystal_ldm.evaluate.workers.packed import PackedCrystal
from crystal_ldm.evaluate.workers.pool import WorkerPool

__all__ = ["Executor", "Outcome", "PackedCrystal", "WorkerPool", "open_executor"]
