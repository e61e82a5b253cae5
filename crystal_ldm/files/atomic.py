"""Files that appear whole or not at all, whatever kills the process or fills the disk."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crystal_ldm.errors import RunError

_TEMPORARY = ".part"

_KEPT = "free some space and run it again; finished files are kept."
# What to do, by the reason that the operating system gives.
_ADVICE = {
    errno.ENOSPC: f"The disk is full: {_KEPT}",
    # Windows has no disk quotas under this name.
    getattr(errno, "EDQUOT", errno.ENOSPC): f"The disk or your share of it is full: {_KEPT}",
    errno.EFBIG: "The file is larger than this system allows: raise the limit and run it again; "
    "finished files are kept.",
    errno.EACCES: "You have no permission to write there: name another directory with run_dir.",
    errno.EPERM: "You have no permission to write there: name another directory with run_dir.",
    errno.EROFS: "That directory is read-only: name another one with run_dir.",
    errno.ENOENT: "The directory is gone: was it moved or removed?",
    errno.EEXIST: "There is a file of that name: name another directory with run_dir.",
    errno.ENOTDIR: "A part of that path is a file: name another directory with run_dir.",
    errno.ENAMETOOLONG: "The path is too long: name a shorter one.",
}


def write_error(path: Path | str, error: OSError) -> RunError:
    """Return the error to raise when `path` could not be written because of `error`."""
    advice = _ADVICE.get(error.errno or 0, "Name another directory with run_dir.")
    reason = error.strerror or type(error).__name__
    return RunError(f"'{path}' could not be written ({reason}). {advice}")


def make_folder(path: Path | str) -> Path:
    """Make a directory, with those above it, unless it is there; return it.

    Raises:
        RunError: the file system refused.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(path, error) from error
    return path


@contextlib.contextmanager
def atomic_path(path: Path | str, sole_writer: bool = False) -> Iterator[Path]:
    """Give a temporary file name in the directory of `path`; on success it becomes `path`.

    The temporary file is flushed to the disk before it takes the place of `path`, so that a
    reader sees the old content or the new one, never a part. When anything fails, `path` stays
    as it was and the temporary file is removed. After a kill it stays behind as a hidden file
    that ends in `.part`: no search for `*.cif` finds it, and it can be removed at any time.
    Writers that choose a format by suffix must be told the format.

    Args:
        path: the file to write.
        sole_writer: nobody else writes this file now (the directory is locked): what a killed
            process left of a large file is then overwritten instead of kept beside the next.

    Raises:
        RunError: the file system refused (disk full, no permission, ...).
    """
    path = Path(path)
    # A short name of its own: the target's may already be as long as the system allows.
    name = path.name if sole_writer else uuid.uuid4().hex[:12]
    temporary = path.with_name(f".{name}{_TEMPORARY}")
    try:
        try:
            yield temporary
            _flush(temporary)
            os.replace(temporary, path)
            _flush_directory(path.parent)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
    except OSError as error:
        if error.filename not in (None, str(temporary), temporary):
            raise  # the caller's own trouble with another file
        raise write_error(path, error) from error


def atomic_write(path: Path | str, content: bytes | str) -> None:
    """Write `content` (text as UTF-8, line ends kept) to `path`, whole or not at all.

    Raises:
        RunError: the file system refused (disk full, no permission, ...).
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def atomic_write_json(path: Path | str, value: Any) -> None:
    """Write `value` as strict JSON (no NaN, no infinity) to `path`, whole or not at all.

    Raises:
        RunError: the file system refused, or `value` is not plain JSON.
    """
    try:
        text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise RunError(f"'{path}' was not written: its content is not JSON ({error}).") from error
    atomic_write(path, text + "\n")


def _flush(path: Path) -> None:
    # Windows flushes only files that are open for writing.
    with open(path, "r+b") as file:
        os.fsync(file.fileno())


def _flush_directory(path: Path) -> None:
    """Make the new name itself last through a power cut, where the system can do that."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
