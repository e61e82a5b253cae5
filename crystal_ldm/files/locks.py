"""A lock on a directory that dies with the process that holds it.

filelock locks files in the same way, but cannot say who holds one, keeps the file, and has no
answer for file systems whose `flock` fails with other errors than ENOSYS (Lustre, some NFS).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from crystal_ldm.errors import RunError
from crystal_ldm.files.writing import open_file, write_error

LOCK_NAME = ".run.lock"

_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
_held: dict[Path, tuple[int, int]] = {}  # lock file -> (descriptor, how often it was taken)
_guard = threading.RLock()


class DirectoryLock:
    """Keeps every other process out of a directory while this one writes there.

    The operating system holds the lock (`flock`, on Windows a locked byte), so one that belongs
    to a dead process is free at once, even after `kill -9`. The file `.run.lock` says who holds
    it: process, host and time. File systems without locks fall back to that information: a
    process of this host that no longer lives loses its lock, one of another host keeps it.

    Locks on one directory with different file names are different locks.

    The same process may take the lock several times (a notebook cell that is run again); it is
    free when each has been released.
    """

    def __init__(self, directory: Path | str, name: str = LOCK_NAME) -> None:
        self.directory = Path(directory).resolve()
        self._file = self.directory / name
        self._taken = False

    def acquire(self, wait: float = 5.0, alone: bool = False) -> None:
        """Take the lock, trying for `wait` seconds.

        Args:
            alone: whether this process may not have taken it before.

        Raises:
            RunError: another process holds it, or the directory cannot be written.
        """
        deadline = time.monotonic() + wait
        while True:
            with _guard:
                descriptor, count = _held.get(self._file, (-1, 0))
                if alone and count:
                    raise RunError(
                        f"'{self.directory}' is in use by this process. Wait for it to end, or "
                        "name another run_dir."
                    )
                taken = descriptor if count else _take(self._file)
                if isinstance(taken, int):
                    _held[self._file] = (taken, count + 1)
                    self._taken = True
                    return
            if time.monotonic() > deadline:
                raise RunError(
                    f"'{self.directory}' is in use by {_describe(taken)}. "
                    "Wait for it to end, or name another run_dir."
                )
            time.sleep(0.1)

    def release(self) -> None:
        """Give the lock back; does nothing when it is not held."""
        with _guard:
            if not self._taken:
                return
            self._taken = False
            descriptor, count = _held.pop(self._file, (-1, 0))
            if count > 1:
                _held[self._file] = (descriptor, count - 1)
            elif count == 1:
                _give_back(descriptor, self._file)

    def __enter__(self) -> DirectoryLock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _take(path: Path) -> int | dict[str, Any]:
    """Return the descriptor of the locked file, or what is known about its holder."""
    # A named pipe in its place must not hold us up.
    descriptor = open_file(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0))
    try:
        locked = _system_lock(descriptor)
        if locked is None:
            locked = not claimed_by_living(_read(descriptor))
        # The former holder may have removed the file between our opening and locking it.
        if not locked or not _is_same_file(descriptor, path):
            holder = _read(descriptor)
            os.close(descriptor)
            return holder
        _write(descriptor)
        return descriptor
    except OSError as error:
        os.close(descriptor)
        raise write_error(path, error) from error


def _system_lock(descriptor: int) -> bool | None:
    """Lock the open file without waiting; None when this file system has no locks."""
    try:
        if os.name == "nt":
            import msvcrt

            os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # far behind what others read
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return None
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        raise
    return True


def claimed_by_living(holder: dict[str, Any]) -> bool:
    """Tell whether the process that a lock file names may still be at work.

    A process of another host cannot be asked and counts as alive. A process number that was
    given to a newer process does not.
    """
    if not holder:
        return False
    if holder.get("host") != socket.gethostname():
        return True
    try:
        process = psutil.Process(int(holder["pid"]))
        return abs(process.create_time() - float(holder["started"])) < 2.0
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def _read(descriptor: int) -> dict[str, Any]:
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        holder = json.loads(os.read(descriptor, 4096))
    except (ValueError, OSError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _write(descriptor: int) -> None:
    holder = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "started": psutil.Process().create_time(),
    }
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, json.dumps(holder).encode())


def _give_back(descriptor: int, path: Path) -> None:
    if os.name == "nt":
        os.ftruncate(descriptor, 0)
        os.close(descriptor)
        return
    # Removed while still locked: whoever opened it meanwhile sees that it is gone and tries again.
    with contextlib.suppress(OSError):
        path.unlink()
    os.close(descriptor)


def _describe(holder: dict[str, Any]) -> str:
    if "pid" not in holder:
        return "another process"
    return f"process {holder['pid']} on {holder.get('host')} since {holder.get('time')}"


def _forget_in_child() -> None:
    """A forked child (a data loader's worker) must not keep its parent's locks alive."""
    for descriptor, _ in _held.values():
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
