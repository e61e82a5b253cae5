"""Files that appear whole or not at all, whatever kills the process or fills the disk; and csv text
whose cells a spreadsheet program takes for what they are."""

from __future__ import annotations

import contextlib
import csv
import ctypes
import errno
import io
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM),
        "You have no permission to write there: name another directory with run_dir.",
    ),
    errno.EFBIG: f"The file is larger than this system allows: raise the limit, or {_KEPT}",
    errno.ELOOP: "It is a symbolic link, and a run writes through none: remove it.",
}


def write_error(path: Path | str, error: OSError) -> RunError:
    """Return the error to raise when `path` could not be written because of `error`."""
    advice = _ADVICE.get(error.errno or 0, "Name another directory with run_dir.")
    reason = error.strerror or type(error).__name__
    return RunError(f"'{path}' could not be written ({reason}). {advice}")


def open_file(path: Path | str, flags: int) -> int:
    """Open a file as `os.open` does, but never through a symbolic link; return the descriptor.

    Raises:
        RunError: it is a link, or the file system refused.
    """
    try:
        if not hasattr(os, "O_NOFOLLOW") and os.path.islink(path):  # Windows
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        raise write_error(path, error) from error


def append_text(path: Path | str, text: str) -> None:
    """Append text to a file (not through a link) and make it last through a power cut.

    Raises:
        RunError: it is a link, or the file system refused; then a part of it may be there.
    """
    descriptor = open_file(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise write_error(path, error) from error


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
def atomic_path(path: Path | str, sole_writer: bool = False, flush: bool = True) -> Iterator[Path]:
    """Give a temporary file name in the directory of `path`; on success it becomes `path`.

    The temporary file is flushed to the disk before it takes the place of `path`, so that a
    reader sees the old content or the new one, never a part. When anything fails, `path` stays
    as it was and the temporary file is removed. After a kill it stays behind as a hidden file
    that ends in `.part`: no search for `*.cif` finds it, and it can be removed at any time.
    Writers that choose a format by suffix must be told the format.

    Args:
        sole_writer: nobody else writes this file now (the directory is locked): what a killed
            process left of a large file is then overwritten instead of kept beside the next.
        flush: False: the caller flushes several files together (`flush_files`).

    Raises:
        RunError: the file system refused (disk full, no permission, ...).
    """
    path = Path(path)
    # A short name of its own: the target's may already be as long as the system allows.
    name = path.name if sole_writer else uuid.uuid4().hex[:12]
    temporary = path.with_name(f".{name}{_TEMPORARY}")
    try:
        try:
            if temporary.is_symlink():  # of a name that others can know
                temporary.unlink()
            yield temporary
            if flush:
                _flush(temporary)
            os.replace(temporary, path)
            if flush:
                _flush_directory(path.parent)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
    except OSError as error:
        if error.filename not in (None, str(temporary), temporary):
            raise  # the caller's own trouble with another file
        raise write_error(path, error) from error


def atomic_write(path: Path | str, content: bytes | str, flush: bool = True) -> None:
    """Write `content` (text as UTF-8, line ends kept) to `path`, whole or not at all.

    Args:
        flush: see `atomic_path`.

    Raises:
        RunError: the file system refused (disk full, no permission, ...).
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    with atomic_path(path, flush=flush) as temporary:
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


def flush_files(files: Iterable[Path]) -> None:
    """Make files that were written without a flush last through a power cut, with their names.

    Linux does it for a whole file system at once, in the time of one file.

    Raises:
        RunError: the file system refused.
    """
    files = list(files)
    folders = {file.parent for file in files}
    try:
        if _sync_file_systems(folders):
            return
        for file in files:
            _flush(file)
    except OSError as error:
        raise write_error(error.filename or files[0], error) from error
    for folder in folders:
        _flush_directory(folder)


def _sync_file_systems(folders: Iterable[Path]) -> bool:
    """Flush all that is written to the file systems of some folders, where the system can."""
    syncfs = getattr(ctypes.CDLL(None), "syncfs", None) if os.name == "posix" else None
    if syncfs is None:
        return False
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            if syncfs(descriptor) != 0:
                return False
        finally:
            os.close(descriptor)
    return True


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


_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def csv_text(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], header: bool = True) -> str:
    """Return rows as csv text with these columns, whose cells no program runs as formulas."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, extrasaction="ignore", lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows({name: safe_cell(value) for name, value in row.items()} for row in rows)
    return buffer.getvalue()


def safe_cell(value: Any) -> Any:
    """Return a cell that no spreadsheet program runs as a formula.

    Text that begins as formulas do gets an apostrophe in front; numbers stay what they are.
    """
    if not isinstance(value, str) or not value.startswith(_FORMULA_SIGNS):
        return value
    if value.startswith("-"):
        with contextlib.suppress(ValueError):
            float(value)
            return value
    return f"'{value}"
