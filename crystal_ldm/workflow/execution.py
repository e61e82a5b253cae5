"""Executing a notebook by papermill, in the kernel of this Python: here, or as a job.

A job is executed by a worker process (`crystal_ldm.parallel`). It ends when its parent dies, and
the kernel ends with it, so that nothing keeps on writing after a kill.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shutil
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crystal_ldm.errors import CrystalLDMError, RunError
from crystal_ldm.files import DirectoryLock, read_status, repo_root, resolve_path
from crystal_ldm.files.run_directory import new_run_path, read_object
from crystal_ldm.files.writing import (
    atomic_write,
    atomic_write_json,
    make_folder,
    open_file,
    write_error,
)
from crystal_ldm.parallel.worker import THREAD_VARIABLES
from crystal_ldm.workflow.declared_parameters import notebook_parameters
from crystal_ldm.workflow.kernel import WRITTEN_OUTSIDE
from crystal_ldm.workflow.notebooks import find_notebook, kernel_environment, read_notebook
from crystal_ldm.workflow.report import export_html
from crystal_ldm.workflow.spec import Job

_CELL_LOG = (
    "Executing Cell", "Ending Cell", "Executing notebook with kernel",
    "Input Notebook", "Output Notebook",  # a temporary one: `run` says where it ends up
    "<IPython.core.display",  # what only a page can show
    "Passed unknown parameter",  # of the settings that no line sets; others are refused before
)  # fmt: skip


def execute_notebook(
    source: Path, output: Path, parameters: dict[str, Any], cwd: Path | None = None
) -> str:
    """Execute a notebook into `output`; returns why it failed, or an empty text.

    Args:
        source: the notebook.
        output: is written after each cell, also when one fails.
        cwd: working directory of the kernel; None: this process's.
    """
    os.environ[WRITTEN_OUTSIDE] = "1"
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    try:
        papermill.execute_notebook(
            str(source),
            str(output),
            parameters=parameters,
            kernel_name="python3",
            progress_bar=False,
            log_output=True,
            cwd=None if cwd is None else str(cwd),
            # That kernel and papermill, on this machine, talk without encryption is no news, nor
            # that the kernel is interrupted at its end; what a cell raises comes another way.
            extra_arguments=["--log-level=CRITICAL"],
        )
    except PapermillExecutionError as error:
        logging.getLogger(__name__).info("%s", error)  # the traceback, for the log of a job
        return f"{error.ename}: {error.evalue}"[:2000]
    except DeadKernelError:
        return "DeadKernelError: the kernel died; was there enough memory?"
    except OSError as error:
        return str(write_error(output, error))
    return ""


def run_once(name: str, parameters: dict[str, Any]) -> tuple[Path, str]:
    """Execute a notebook and put it and its HTML report into its run directory.

    Args:
        parameters: plain data or text by name; without `run_dir` a new directory under `runs/`.

    Returns:
        where the executed notebook lies, and why it failed (empty: it did not). A directory that
        refused the run is left as it was, and the notebook lies in a temporary one.

    Raises:
        CrystalLDMError: the notebook refuses its parameters, before a kernel starts.
        RunError: there is no such notebook, or the report cannot be written.
    """
    os.environ.update(kernel_environment())
    source = find_notebook(name)
    check_early(source, parameters)
    named = str(parameters.get("run_dir") or "").strip()
    run_dir = resolve_path(named) if named else new_run_path(source.stem)
    before = read_status(run_dir)
    output = Path(tempfile.mkdtemp(prefix="crystal-ldm-")) / source.name
    if any(one.name == "run_dir" for one in notebook_parameters(source)):
        parameters = {**parameters, "run_dir": str(run_dir)}
    message = execute_notebook(source, output, parameters)
    # Another process that is at work there changes the status, too.
    if message and (read_status(run_dir) == before or not _is_by_my_kernel(run_dir)):
        return output, message
    copy = run_dir / source.name
    make_folder(run_dir)
    atomic_write(copy, output.read_bytes())
    shutil.rmtree(output.parent)
    export_html(copy)
    return copy, message


def _is_by_my_kernel(run_dir: Path) -> bool:
    """Return whether a kernel of this process has written the status of a run directory."""
    status = read_status(run_dir)
    return (status.get("parent"), status.get("host")) == (os.getpid(), socket.gethostname())


CHECKS = "checks"
"""Tag of the cell after the parameters that reads them, and computes, prints and writes nothing."""


def check_early(path: Path, parameters: Mapping[str, Any]) -> None:
    """Execute a notebook's cell with the tag `checks` in this process, if it has one.

    The kernel executes the same cell again: a refusal has the same words, but comes at once. What
    else may go wrong in the cell is left to the kernel, which shows it in the notebook.

    Args:
        path: the notebook.
        parameters: what papermill would give it.

    Raises:
        CrystalLDMError: that of the cell.
    """
    cells = read_notebook(path)["cells"]
    tags = [cell.get("metadata", {}).get("tags", ()) for cell in cells]
    sources = ["".join(cell["source"]) for cell in cells]
    if not any(CHECKS in some for some in tags):
        return
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for source, some in zip(sources, tags, strict=True):
                if CHECKS in some or "parameters" in some:
                    exec(source, namespace)  # noqa: S102 - the kernel executes it, too
                    namespace.update(parameters)
        except CrystalLDMError:
            raise
        except Exception:
            return


def log_outputs() -> None:
    """Show what a notebook prints, without papermill's own lines about its cells."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.addFilter(lambda record: not record.getMessage().startswith(_CELL_LOG))
    log = logging.getLogger("papermill")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


JOB_FILE, STATUS_FILE, LOG_FILE = "job.json", "job.status.json", "job.log"


def prepare_job(job: Job) -> None:
    """Make the job's directory; one that is there keeps what it has.

    Raises:
        RunError: it belongs to another job, or cannot be written.
    """
    content = {"notebook": str(job.notebook), "parameters": job.parameters}
    file = job.directory / JOB_FILE
    make_folder(job.directory)
    if not file.exists():
        atomic_write_json(file, content)
    elif read_object(file).get("parameters") != job.parameters:
        raise RunError(
            f"'{job.directory}' holds a job with other parameters, or its {JOB_FILE} is damaged. "
            "Name another run_dir."
        )


def job_status(directory: Path | str) -> dict[str, Any]:
    """Return the last status of a job: state, message, seconds; state `waiting` without one."""
    waiting = {"state": "waiting", "message": "", "seconds": 0.0}
    return read_object(Path(directory) / STATUS_FILE) or waiting


def run_job(directory: str, threads: int) -> dict[str, Any]:
    """Execute the prepared job in `directory` and return its status, whatever goes wrong in it.

    Called in a worker process, whose output goes to the job's log from here on, as that of the
    kernel does.

    Args:
        threads: for numerical libraries.
    """
    started = time.time()
    path = Path(directory)
    os.environ.update(kernel_environment())
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with os.fdopen(open_file(path / LOG_FILE, flags), "ab") as log:
            os.dup2(log.fileno(), sys.stdout.fileno())
            os.dup2(log.fileno(), sys.stderr.fileno())
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        with DirectoryLock(path, ".job.lock"):
            running = {"state": "running", "message": "", "pid": os.getpid(), "started": started}
            save_status(path, running)
            message = _execute(path)
    except CrystalLDMError as error:
        message = str(error)
    state, seconds = "failed" if message else "finished", round(time.time() - started, 2)
    status = {"state": state, "message": message, "seconds": seconds}
    save_status(path, status)
    return status


def save_status(directory: Path, status: dict[str, Any]) -> None:
    """Write the status of a job, if the file system lets it."""
    try:
        atomic_write_json(directory / STATUS_FILE, status)
    except RunError as error:
        # A full disk: the state lives on in the sweep's memory, and the job will be run again.
        print(error, file=sys.stderr)


def _execute(directory: Path) -> str:
    """Execute the notebook and write its report; returns why it failed, or an empty text."""
    job = read_object(directory / JOB_FILE)
    source = Path(job["notebook"])
    output = directory / source.name
    message = execute_notebook(source, output, job["parameters"], cwd=repo_root())
    if output.is_file():
        export_html(output)
    return message
