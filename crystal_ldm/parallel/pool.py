"""A pool of worker processes that survives hanging and crashing tasks.

`concurrent.futures` and loky break the whole pool when one process dies and cannot stop a running
task. pebble can, but starts its processes through `multiprocessing`: they import the caller's main
module, so that a script without a main guard runs itself again, or they are forked with the
threads of torch. Here each worker is a process of its own with one reader thread in the parent; a
task over its time limit has its process killed, and only that task fails. One whose process dies
is tried once more: what is killed from outside (out of memory, say) costs nothing, and what kills
its process by itself costs only its own item.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from crystal_ldm.errors import EvaluationError
from crystal_ldm.parallel.executor import Executor, Numbered, Outcome, Workers, default_workers
from crystal_ldm.parallel.worker import THREAD_VARIABLES

_START_TIMEOUT_S = 300.0
_LONGEST_WAIT_S = 3600.0  # a queue takes no endless time limit
_MAX_FAILED_STARTS = 3


class _Worker:
    """One process, the tasks it has been given, and when the current one must be done."""

    def __init__(self, number: int, memory_gb: float, inbox: queue.SimpleQueue[Any]) -> None:
        environment = dict(os.environ)
        environment.update(dict.fromkeys(THREAD_VARIABLES, "1"))
        environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
        self.number = number
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `stop`
        self.process = subprocess.Popen(
            [sys.executable, "-m", "crystal_ldm.parallel.worker", str(memory_gb)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=environment,
            start_new_session=True,  # Ctrl-C goes to the parent, which closes the pipes
        )
        self.ready = False
        self.pending: deque[tuple[int, Any]] = deque()
        self.deadline = time.monotonic() + _START_TIMEOUT_S
        threading.Thread(target=self._receive, args=(inbox,), daemon=True).start()

    def _receive(self, inbox: queue.SimpleQueue[Any]) -> None:
        stream = self.process.stdout
        assert stream is not None
        while True:
            try:
                inbox.put((self.number, pickle.load(stream)))  # noqa: S301 - of this program
            except (EOFError, OSError, ValueError, pickle.UnpicklingError):
                inbox.put((self.number, "gone"))
                return

    def send(self, message: object) -> None:
        assert self.process.stdin is not None
        # A worker that has just died is noticed by its reader thread.
        with contextlib.suppress(BrokenPipeError, OSError):
            pickle.dump(message, self.process.stdin)
            self.process.stdin.flush()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        self.log.close()

    def cause_of_death(self) -> str:
        """Return how the process ended, in words."""
        code = self.process.wait()
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"the worker process was ended by {signal.Signals(-code).name}"
        return f"the worker process ended with exit code {code}"

    def last_words(self) -> str:
        self.log.seek(0)
        lines = self.log.read()[-2000:].decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it printed nothing"


class WorkerPool(Executor):
    """Local worker processes, one thread each; use as a context manager.

    They start when first needed.

    Args:
        workers: how many, and their limits; None: the defaults.
    """

    def __init__(self, workers: Workers | None = None) -> None:
        super().__init__(workers)
        self._count = self.workers.count or default_workers()
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._processes: dict[int, _Worker] = {}
        self._numbers = itertools.count()
        self._failed_starts = 0

    def close(self) -> None:
        """End all worker processes."""
        for worker in self._processes.values():
            worker.stop()
        self._processes.clear()

    def _outcomes(
        self, function: Callable[[Any], Any], items: Numbered, limit: float, chunk: int
    ) -> Iterator[Outcome]:
        body = pickle.dumps(function)
        retry: deque[tuple[int, Any]] = deque()
        died: set[int] = set()
        try:
            while True:
                while len(self._busy()) < self._count:
                    # One of them at a time: its neighbour has just cost a process.
                    tasks = [retry.popleft()] if retry else list(itertools.islice(items, chunk))
                    if not tasks:
                        break
                    idle = (w for w in self._processes.values() if not w.pending)
                    worker = next(idle, None) or self._start()
                    worker.pending.extend(tasks)
                    worker.send((body, tasks))
                    if worker.ready:
                        worker.deadline = time.monotonic() + limit
                if not self._busy():
                    return
                yield from self._collect(retry, died, limit)
        finally:  # also when the caller stops early: no worker keeps old tasks
            for worker in self._busy():
                self._drop(worker)

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._processes.values() if worker.pending]

    def _collect(
        self, retry: deque[tuple[int, Any]], died: set[int], limit: float
    ) -> Iterator[Outcome]:
        """Wait for one message or one missed deadline; yield the outcomes that follow from it."""
        busy = self._busy()
        wait = min(max(0.0, min(w.deadline for w in busy) - time.monotonic()), _LONGEST_WAIT_S)
        try:
            number, message = self._inbox.get(timeout=wait)
        except queue.Empty:
            now = time.monotonic()
            for worker in [w for w in busy if w.deadline <= now]:
                if not worker.ready:
                    self._count_failed_start(worker)
                    retry.extend(worker.pending)
                else:
                    index, _ = worker.pending.popleft()
                    retry.extend(worker.pending)
                    yield Outcome(index, error=f"Timeout: it took longer than {limit:g} s")
                self._drop(worker)
            return
        sender = self._processes.get(number)
        if sender is None:  # a late message of a process that was killed
            return
        if message == "ready":
            sender.ready = True
            self._failed_starts = 0
        elif isinstance(message, Outcome):
            sender.pending.popleft()
            yield message
        elif not sender.ready:
            self._count_failed_start(sender)
            retry.extend(sender.pending)
            self._drop(sender)
        else:
            if sender.pending:
                index, item = sender.pending.popleft()
                retry.extend(sender.pending)
                if index in died:
                    yield Outcome(index, error=f"Crash: {sender.cause_of_death()}")
                else:
                    died.add(index)
                    retry.append((index, item))
            self._drop(sender)
            return
        sender.deadline = time.monotonic() + limit

    def _start(self) -> _Worker:
        worker = _Worker(next(self._numbers), self.workers.memory_gb, self._inbox)
        self._processes[worker.number] = worker
        return worker

    def _drop(self, worker: _Worker) -> None:
        worker.pending.clear()
        worker.stop()
        self._processes.pop(worker.number, None)

    def _count_failed_start(self, worker: _Worker) -> None:
        self._failed_starts += 1
        if self._failed_starts >= _MAX_FAILED_STARTS:
            raise EvaluationError(
                f"No worker process could be started: {worker.last_words()}. "
                "Try fewer workers or a higher memory limit."
            )
