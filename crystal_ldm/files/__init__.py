"""Files that are written whole or not at all, and run directories: locked, continued, never
overwritten."""

from crystal_ldm.files.locks import DirectoryLock
from crystal_ldm.files.paths import repo_root, resolve_path
from crystal_ldm.files.run_directory import (
    Run,
    is_at_work,
    newest_runs,
    open_run,
    read_run,
    read_status,
)

__all__ = [
    "DirectoryLock",
    "Run",
    "is_at_work",
    "newest_runs",
    "open_run",
    "read_run",
    "read_status",
    "repo_root",
    "resolve_path",
]
