"""Running the jobs of a sweep: each after what it needs, none twice, no failure stops the rest."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_ldm.errors import RunError
from crystal_ldm.files import DirectoryLock, resolve_path
from crystal_ldm.files.writing import atomic_write, csv_text, make_folder
from crystal_ldm.parallel import Executor, Outcome, Workers, open_executor
from crystal_ldm.parallel.cluster import dask_client
from crystal_ldm.workflow.execution import (
    LOG_FILE,
    job_status,
    prepare_job,
    run_job,
    save_status,
)
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
        ConfigError, RequestError: the description is wrong.
        RunError: a notebook or the directory cannot be used, or another sweep is at work there.
    """
    sweep = read_sweep(source)
    keys = sweep.keys
    number = workers or keys.workers
    limits = _limits(number, None if keys.timeout_minutes is None else 60 * keys.timeout_minutes)
    make_folder(sweep.directory)
    dask = keys.dask if client is None else None
    with (
        DirectoryLock(sweep.directory, ".sweep.lock"),
        dask_client(dask, number) if dask else nullcontext(client) as engine,
        open_executor(replace(limits, client=engine)) as executor,
    ):
        return _Runner(sweep, number, executor, progress or (lambda line: None)).run()


def _limits(workers: int, timeout: float | None) -> Workers:
    """Return where jobs run: as many at a time, each as long as it may take, s, and as large."""
    return Workers(workers, timeout=timeout or math.inf, memory_gb=math.inf)


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
        threads: for numerical libraries; None: one a core.
        timeout: seconds.

    Raises:
        ConfigError, RequestError: a parameter that is unknown or not plain data.
        RunError: there is no such notebook, or the directory cannot be used.
    """
    from crystal_ldm.files.run_directory import new_run_path

    directory = resolve_path(run_dir) if str(run_dir) else new_run_path(Path(notebook).stem)
    job = single_job(notebook, parameters or {}, directory)
    prepare_job(job)
    before = job_status(directory)
    if before["state"] == "finished":
        return _result(job, before, repeated=True)
    work = partial(run_job, threads=threads or os.cpu_count() or 1)
    with open_executor(_limits(1, timeout)) as executor:
        (outcome,) = executor.map(work, [str(directory)])
    return _ended(job, outcome)


@dataclass
class _Runner:
    """One call of `run_sweep`, and an iterator over the folders of jobs that can run now."""

    sweep: Sweep
    workers: int
    executor: Executor
    tell: Callable[[str], None]

    def __post_init__(self) -> None:
        self.results: dict[str, JobResult] = {}
        self.waiting: list[Job] = []
        self.begun: list[Job] = []
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
        self.waiting = [job for job in self.sweep.jobs if job.name not in self.results]
        threads = self.sweep.keys.threads or max(1, (os.cpu_count() or 1) // self.workers)
        work = partial(run_job, threads=threads)
        try:
            for outcome in self.executor.imap(work, self, chunk=1):
                self._end(_ended(self.begun[outcome.index], outcome))
                self._write_table()
        finally:
            for job in self.begun:
                if job.name not in self.results and job_status(job.directory)["state"] == "running":
                    stopped = {"state": "failed", "message": "stopped; run it again to continue"}
                    save_status(job.directory, stopped)
            self._write_table()
        result = SweepResult(self.sweep.directory, self._ordered())
        counts = (f"{result.count(s)} {s}" for s in ("finished", "failed", "blocked"))
        self.tell(f"{', '.join(counts)}; table: {self.sweep.directory / TABLE}")
        return result

    def __iter__(self) -> _Runner:
        return self

    def __next__(self) -> str:
        for job in self.waiting.copy():
            before = [self.results.get(name) for name in job.needs]
            failed = next((one for one in before if one and one.state != "finished"), None)
            if failed or all(before):
                self.waiting.remove(job)
            if failed:
                reason = f"it needs {failed.job.name}, which failed"
                self._end(JobResult(job, "blocked", reason))
            elif all(before):
                self.begun.append(job)
                return str(job.directory)
        raise StopIteration

    def _end(self, result: JobResult) -> None:
        """Note how a job ended, and tell it."""
        self.results[result.job.name] = result
        total, done = len(self.sweep.jobs), len(self.results)
        new = [r for r in self.results.values() if not r.repeated and r.state != "blocked"]
        elapsed = time.monotonic() - self.started
        left = elapsed / max(1, len(new)) * (total - done)
        parts = [f"[{done}/{total}] {result.state} {result.job.name}"]
        if result.state != "blocked":
            parts.append(f"{result.seconds:.1f} s")
            if total > done:
                parts.append(f"about {left:.0f} s left")
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


def _ended(job: Job, outcome: Outcome) -> JobResult:
    """Return how a job ended; where its process did not come to write it down, do so."""
    status = outcome.value
    if status is None:
        seconds = round(time.time() - job_status(job.directory).get("started", time.time()), 2)
        message = f"{outcome.error}; see {LOG_FILE}"
        status = {"state": "failed", "message": message, "seconds": seconds}
        save_status(job.directory, status)
    return _result(job, status)


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
