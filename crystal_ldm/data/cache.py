"""Where prepared data sets lie on disk, and what a reading that ended early has left there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.readers.content import shortened
from crystal_ldm.crystals.readers.entries import Problem
from crystal_ldm.data.cleaning import PartialReading, Prepared
from crystal_ldm.errors import DataError, RunError
from crystal_ldm.files.paths import in_home
from crystal_ldm.files.writing import atomic_path

CACHE_VARIABLE = "CRYSTAL_LDM_CACHE"
"""Environment variable that names the cache folder. Child processes inherit it."""


def cache_path(cache_dir: str | Path | None = None) -> Path:
    """Return `cache_dir`, else the folder in `CRYSTAL_LDM_CACHE`, else the user's cache folder.

    The last is `$XDG_CACHE_HOME/crystal_ldm`, else `~/.cache/crystal_ldm` (as platformdirs has it
    on other systems).

    Raises:
        DataError: if it is in the home folder of a user who has none, or cannot be a path.
    """
    import platformdirs

    chosen = cache_dir or os.environ.get(CACHE_VARIABLE)
    try:
        path = in_home(chosen or platformdirs.user_cache_dir("crystal_ldm", appauthor=False))
    except RuntimeError:
        path = Path("~")
    if str(path).startswith("~") or "\0" in str(path):  # of a user without a home folder
        raise DataError(
            f"The cache folder {shortened(path)!r} cannot be a path here; name another one in the "
            f"environment variable {CACHE_VARIABLE} or as cache_dir."
        )
    return path.absolute()


def set_cache_dir(path: str | Path | None) -> Path:
    """Use `path` as the cache folder for this process and its children; None: the default again."""
    if path is None:
        os.environ.pop(CACHE_VARIABLE, None)
    else:
        os.environ[CACHE_VARIABLE] = str(cache_path(path))
    return cache_path()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Make the folder of a file of the cache; say of what cannot be written that it is the cache's.

    Raises:
        DataError: if the cache cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except (OSError, RunError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        reason = getattr(cause, "strerror", None) or str(cause)
        raise DataError(
            f"The cache file or folder {shortened(path)} cannot be written ({reason}). Free some "
            f"space, or name another folder in the environment variable {CACHE_VARIABLE} or as "
            "cache_dir."
        ) from error


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; it takes the name `path` when the block ends well.

    What a killed process leaves of it is written over by the next holder of the entry's lock.

    Raises:
        DataError: if the folder cannot be written or the disk is full.
    """
    with _writing(path), atomic_path(path, sole_writer=True) as part:
        yield part


@contextmanager
def entry_lock(path: Path, progress: bool = True) -> Iterator[None]:
    """Hold the lock of the cache entry `path`: one process builds it, others wait for it.

    The operating system frees the lock when its holder dies.

    Raises:
        DataError: if the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(f"{path}.lock")
    with _writing(path):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if progress:
                print(f"Another process is preparing {path.name}; waiting for it.", flush=True)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


SUFFIX = ".unfinished"


@contextmanager
def partial_reading(path: Path, over: Callable[[], bool] | None) -> Iterator[PartialReading]:
    """Give what an earlier reading of the cache entry `path` has left; keep what this one leaves.

    Whatever ends the block early, also an interrupt, leaves a file beside `path`; its good end
    removes the file. Whoever calls it holds the entry's lock.
    """
    file = path.with_name(path.name + SUFFIX)
    reading = _read(file)
    reading.over = over or reading.over
    before = len(reading.prepared) + len(reading.compared)
    try:
        yield reading
    except BaseException:
        if len(reading.prepared) + len(reading.compared) > before:
            with atomic_file(file) as part:
                part.write_text("".join(_lines(reading)), encoding="utf-8")
        raise
    file.unlink(missing_ok=True)


def _lines(reading: PartialReading) -> Iterator[str]:
    for position, result in reading.prepared.items():
        value: Any = [result.kind, result.reason] if isinstance(result, Problem) else None
        if isinstance(result, Prepared):
            value = [[array.tolist() for array in result.cell], result.distance, result.notes]
        yield json.dumps([position, value]) + "\n"
    for position, duplicates in reading.compared.items():
        yield json.dumps([position, duplicates]) + "\n"


def _read(file: Path) -> PartialReading:
    """Read the file; JSON keeps every digit. What is damaged is done again."""
    reading = PartialReading()
    try:
        for line in file.read_text(encoding="utf-8").splitlines():
            position, value = json.loads(line)
            if isinstance(value, dict):
                reading.compared[position] = {int(i): j for i, j in value.items()}
            elif len(value) == 2:
                reading.prepared[position] = Problem(*value)
            else:
                (lattice, coords, numbers), distance, notes = value
                arrays = np.array(lattice), np.array(coords), np.array(numbers, dtype=np.int64)
                reading.prepared[position] = Prepared(Cell(*arrays), distance, tuple(notes))
    except (OSError, ValueError, TypeError):
        pass
    return reading
