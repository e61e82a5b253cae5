"""Running the jobs of a sweep: each after what it needs, none twice, no failure stops the rest."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_ldm.errors import RunError
from crystal_ldm.files import DirectoryLock, resolve_path
from crystal_ldm.files.writing import atomic_write, csv_text, make_folder
from crystal_ldm.parallel.cluster import dask_client
from crystal_ldm.workflow.execution import job_status, prepare_job, run_job
from crystal_ldm.workflow.spec import Job, Sweep, read_sweep, single_job

if TYPE_CHECKING:
    from distributed import Client

TABLE = "jobs.csv"


@dataclass
class JobResult:
    """How a job ended: `finished`, `failed`, or `blocked` by a failed one that it needs."""

    job: Job
    state: str
    message: str = ""
    seconds: float = 0.0
    repeated: bool = False  # finished by an earlier call


@dataclass
class SweepResult:
    """All jobs of a sweep, in its order."""

    directory: Path
    jobs: list[JobResult] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every job is finished."""
        return all(result.state == "finished" for result in self.jobs)

    def count(self, state: str) -> int:
        """Return the number of jobs in that state."""
        return sum(result.state == state for result in self.jobs)


def run_sweep(
    source: Path | str | dict[str, Any],
    *,
    workers: int | None = None,
    client: Client | None = None,
    progress: Callable[[str], None] | None = print,
) -> SweepResult:
    """Run a sweep, or what is left of it.

    Args:
        source: a YAML file or a mapping, see `crystal_ldm.workflow.spec`.
        workers: jobs at a time, instead of the sweep's own number.
        client: a Dask client to run the jobs on; its workers must see the same directories.
        progress: gets a line for each job that ends; None: silence.

    Raises:
        ConfigError: the description is wrong.
        RunError: a notebook or the directory cannot be used, or another sweep is at work there.
    """
    sweep = read_sweep(source)
    number = workers or sweep.keys.workers
    make_folder(sweep.directory)
    lock = DirectoryLock(sweep.directory, ".sweep.lock")
    lock.acquire()
    try:
        dask = sweep.keys.dask if client is None else None
        with dask_client(dask, number) if dask else nullcontext(client) as engine:
            return _Runner(sweep, number, engine, progress or (lambda line: None)).run()
    finally:
        lock.release()


def run_notebook(
    notebook: str,
    parameters: dict[str, Any] | None = None,
    run_dir: Path | str = "",
    *,
    threads: int | None = None,
    timeout: float | None = None,
) -> JobResult:
    """Execute one notebook with papermill in a directory of its own.

    Args:
        notebook: name (`04_sample`) or path.
        parameters: of the notebook, without `run_dir`.
        run_dir: the directory; empty: a new one under `runs/`. A finished job is not run again.
        threads: for numerical libraries.
        timeout: seconds.

    Raises:
        ConfigError: an unknown parameter.
        RunError: there is no such notebook, or the directory cannot be used.
    """
    from crystal_ldm.files.run_directory import new_run_path

    directory = resolve_path(run_dir) if str(run_dir) else new_run_path(Path(notebook).stem)
    job = single_job(notebook, parameters or {}, directory)
    prepare_job(job)
    before = job_status(directory)
    if before["state"] == "finished":
        return _result(job, before, repeated=True)
    return _result(job, run_job(str(directory), threads, timeout))


class _Runner:
    """One call of `run_sweep`."""

    def __init__(
        self,
        sweep: Sweep,
        workers: int,
        client: Client | None,
        tell: Callable[[str], None],
    ) -> None:
        self.sweep = sweep
        self.workers = workers
        self.client = client
        self.tell = tell
        self.stop = threading.Event()
        self.results: dict[str, JobResult] = {}
        self.started = time.monotonic()

    def run(self) -> SweepResult:
        for job in self.sweep.jobs:
            prepare_job(job)
            before = job_status(job.directory)
            if before["state"] == "finished":
                self.results[job.name] = _result(job, before, repeated=True)
        total, done = len(self.sweep.jobs), len(self.results)
        again = f", {done} finished before" if done else ""
        self.tell(f"{total} jobs{again}; {self.workers} at a time; {self.sweep.directory}")
        # Jobs have their own memory on disk: Dask must not take two of them for one.
        executor: Executor = (
            ThreadPoolExecutor(self.workers)
            if self.client is None
            else self.client.get_executor(pure=False)
        )
        try:
            self._run_all(executor)
        finally:
            self.stop.set()
            executor.shutdown(wait=True)
            self._write_table()
        result = SweepResult(self.sweep.directory, self._ordered())
        counts = (f"{result.count(s)} {s}" for s in ("finished", "failed", "blocked"))
        self.tell(f"{', '.join(counts)}; table: {self.sweep.directory / TABLE}")
        return result

    def _run_all(self, executor: Executor) -> None:
        keys = self.sweep.keys
        threads = keys.threads or max(1, (os.cpu_count() or 1) // self.workers)
        stop = self.stop if self.client is None else None
        timeout = None if keys.timeout_minutes is None else 60.0 * keys.timeout_minutes
        work = partial(run_job, threads=threads, timeout=timeout, stop=stop)
        waiting = [job for job in self.sweep.jobs if job.name not in self.results]
        running: dict[Future[dict[str, Any]], Job] = {}
        try:
            while waiting or running:
                for job in list(waiting):
                    if self._blocked(job):
                        waiting.remove(job)
                    elif all(name in self.results for name in job.needs):
                        waiting.remove(job)
                        running[executor.submit(work, str(job.directory))] = job
                if running:
                    ended, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in ended:
                        self._end(running.pop(future), future, len(running))
        finally:
            for future in running:  # left only when this call was interrupted
                future.cancel()

    def _blocked(self, job: Job) -> bool:
        failed = [
            name
            for name in job.needs
            if name in self.results and self.results[name].state != "finished"
        ]
        if failed:
            self.results[job.name] = JobResult(
                job, "blocked", f"it needs {failed[0]}, which failed"
            )
            self._tell_end(self.results[job.name], None)
        return bool(failed)

    def _end(self, job: Job, future: Future[dict[str, Any]], running: int) -> None:
        try:
            status = future.result()
        except Exception as error:  # a Dask worker that died again and again
            status = {"state": "failed", "message": f"{type(error).__name__}: {error}"}
        self.results[job.name] = _result(job, status)
        self._tell_end(self.results[job.name], running)
        self._write_table()

    def _tell_end(self, result: JobResult, running: int | None) -> None:
        total, done = len(self.sweep.jobs), len(self.results)
        new = [r for r in self.results.values() if not r.repeated and r.state != "blocked"]
        elapsed = time.monotonic() - self.started
        left = elapsed / max(1, len(new)) * (total - done)
        parts = [f"[{done}/{total}] {result.state} {result.job.name}"]
        if result.state != "blocked":
            parts.append(f"{result.seconds:.1f} s")
        if running is not None and total > done:
            parts.append(f"{running} running, about {left:.0f} s left")
        if result.message:
            parts.append(result.message.splitlines()[0][:300])
        self.tell("; ".join(parts))

    def _ordered(self) -> list[JobResult]:
        return [self.results[job.name] for job in self.sweep.jobs if job.name in self.results]

    def _write_table(self) -> None:
        atomic_write(self.sweep.directory / TABLE, _table(self._ordered()))


def _result(job: Job, status: dict[str, Any], repeated: bool = False) -> JobResult:
    seconds = float(status.get("seconds", 0.0))
    return JobResult(job, status["state"], str(status.get("message", "")), seconds, repeated)


def _table(results: Iterable[JobResult]) -> str:
    rows = [
        {
            "job": result.job.name,
            "notebook": result.job.notebook.stem,
            "state": result.state,
            "seconds": result.seconds,
            "message": result.message,
            "parameters": json.dumps(result.job.parameters, ensure_ascii=False),
        }
        for result in results
    ]
    return csv_text(rows, ["job", "notebook", "state", "seconds", "message", "parameters"])


def sweep_failed(result: SweepResult) -> RunError | None:
    """Return the error that describes the jobs of a sweep that failed, or None."""
    if result.ok:
        return None
    bad = [r.job.name for r in result.jobs if r.state == "failed"]
    return RunError(
        f"{len(bad)} jobs of '{result.directory}' failed ({', '.join(bad[:3])}). Each directory "
        "has the notebook with the error and job.log; run the same sweep again to repeat only "
        "these."
    )
