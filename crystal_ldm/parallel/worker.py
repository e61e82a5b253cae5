"""The worker process: reads tasks from standard input, writes results to standard output.

It is started as `python -m crystal_ldm.parallel.worker` rather than through
`multiprocessing`, so that it never imports the caller's main module: it works from notebooks and
from scripts without a main guard.
"""

from __future__ import annotations

import math
import os
import pickle
import queue
import struct
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import IO, Any

import psutil

from crystal_ldm.errors import describe_error

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""Environment variables that say how many threads numerical libraries take."""

_LOOK_EVERY_S = 0.5
HEADER = struct.Struct("<Q")


def write_message(stream: IO[bytes], message: object) -> None:
    """Write one pickled message with its length in front."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(HEADER.pack(len(body)) + body)
    stream.flush()


def read_message(stream: IO[bytes]) -> Any:
    """Read one message.

    Raises:
        EOFError: when the other side has closed the pipe.
    """
    return pickle.loads(read_body(stream))  # noqa: S301 - the pipe's other end is this very program


def read_body(stream: IO[bytes]) -> bytes:
    """Read one message without unpickling it; raises as `read_message` does."""
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        raise EOFError
    (size,) = HEADER.unpack(header)
    body = stream.read(size)
    if len(body) < size:
        raise EOFError
    return body


def _limit_memory(gigabytes: float) -> None:
    """Make allocations beyond the limit fail with MemoryError, where the system can do it."""
    try:
        import resource
    except ImportError:  # Windows
        return
    if gigabytes == math.inf:
        return
    limit = int(gigabytes * 2**30)
    # RLIMIT_DATA counts what is allocated; RLIMIT_AS would also count torch's mapped libraries.
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _load(body: bytes) -> Callable[[Any], Any]:
    try:
        loaded: Callable[[Any], Any] = pickle.loads(body)  # noqa: S301
    except Exception as error:
        text = describe_error(error)

        def fail(_: Any) -> Any:
            raise ImportError(f"the worker cannot load the function to run ({text})")

        return fail
    return loaded


def end_with_parent() -> None:
    """End this process as soon as its parent is gone.

    A closed pipe says so, too, but a child that the parent has forked (a data loader's worker)
    holds the pipe's other end open.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent and psutil.pid_exists(parent):
            time.sleep(_LOOK_EVERY_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Serve the parent until it closes the pipe."""
    source = sys.stdin.buffer
    # Whatever a library prints must not mix with the messages.
    target = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    warnings.simplefilter("ignore")
    _limit_memory(float(sys.argv[1]))
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    end_with_parent()

    def receive() -> None:
        while True:
            try:
                # Unpickling imports modules: one thread does it, or two would import at a time and
                # this one could end in an error that nobody sees.
                inbox.put(read_body(source))
            except EOFError:
                os._exit(0)  # the parent is gone: stop even in the middle of a task

    threading.Thread(target=receive, daemon=True).start()
    write_message(target, ("ready", None, None, None))
    function: Callable[[Any], Any] = _load(b"")
    while True:
        kind, body = pickle.loads(inbox.get())  # noqa: S301
        if kind == "function":
            function = _load(body)
            continue
        for index, item in body:
            try:
                message = ("done", index, function(item), None)
                reply = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
            except Exception as error:
                reply = pickle.dumps(("done", index, None, describe_error(error)))
            target.write(HEADER.pack(len(reply)) + reply)
            target.flush()


if __name__ == "__main__":
    main()
