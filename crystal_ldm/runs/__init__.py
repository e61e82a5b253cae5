"""Run directories: named, locked, continued with the same recipe, never overwritten."""

from crystal_ldm.runs.directory import (
    Run,
    newest_runs,
    open_run,
    read_run,
    read_status,
    repo_root,
    resolve_path,
)
from crystal_ldm.runs.locks import DirectoryLock

__all__ = [
    "DirectoryLock",
    "Run",
    "newest_runs",
    "open_run",
    "read_run",
    "read_status",
    "repo_root",
    "resolve_path",
]
