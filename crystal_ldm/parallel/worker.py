"""The worker process: reads tasks from standard input, writes results to standard output.

It is started as `python -m crystal_ldm.parallel.worker` rather than through
`multiprocessing`, so that it never imports the caller's main module: it works from notebooks and
from scripts without a main guard.
"""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import sys
import threading
import time
import warnings
from functools import lru_cache

import psutil

from crystal_ldm.errors import describe_error
from crystal_ldm.parallel.executor import Outcome

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""Environment variables that say how many threads numerical libraries take."""

_LOOK_EVERY_S = 0.5


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


# A function that cannot be loaded fails with each of its items, and says why.
_load = lru_cache(maxsize=1)(pickle.loads)


def end_with_parent() -> None:
    """End this process as soon as its parent is gone.

    A closed pipe says so, too, but not in the middle of a task, nor where a child that the parent
    has forked (a data loader's worker) holds its other end open.
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
    end_with_parent()
    ready = False
    while True:
        try:
            body, tasks = pickle.load(source)  # noqa: S301 - the parent is this very program
        except EOFError:
            return
        if not ready:
            # What a function's module imports takes long on a busy machine: it is no part of the
            # first item's time.
            with contextlib.suppress(Exception):
                _load(body)
            pickle.dump("ready", target)
            target.flush()
            ready = True
        for index, item in tasks:
            try:
                reply = pickle.dumps(Outcome(index, _load(body)(item)))
            except Exception as error:
                reply = pickle.dumps(Outcome(index, error=describe_error(error)))
            target.write(reply)
            target.flush()


if __name__ == "__main__":
    main()
