"""Executing a notebook by papermill, in the kernel of this Python."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from crystal_ldm.files import read_status, resolve_path
from crystal_ldm.files.run_directory import new_run_path
from crystal_ldm.files.writing import write_error
from crystal_ldm.workflow.declared_parameters import notebook_parameters
from crystal_ldm.workflow.kernel import WRITTEN_OUTSIDE
from crystal_ldm.workflow.notebooks import find_notebook, kernel_environment
from crystal_ldm.workflow.report import put_report

_CELL_LOG = ("Executing Cell", "Ending Cell", "Executing notebook with kernel")


def execute_notebook(
    source: Path, output: Path, parameters: dict[str, Any], cwd: Path | None = None
) -> str:
    """Execute a notebook into `output`; returns why it failed, or an empty text.

    Args:
        source: the notebook.
        output: is written after each cell, also when one fails.
        parameters: plain data by name.
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
        name: of the notebook, or its path.
        parameters: plain data or text by name; without `run_dir` a new directory under `runs/`.

    Returns:
        where the executed notebook lies, and why it failed (empty: it did not). A directory that
        refused the run is left as it was, and the notebook lies in a temporary one.

    Raises:
        RunError: there is no such notebook, or the report cannot be written.
    """
    os.environ.update(kernel_environment())
    source = find_notebook(name)
    given = str(parameters.get("run_dir") or "").strip()
    run_dir = resolve_path(given) if given else new_run_path(source.stem)
    before = read_status(run_dir)
    output = Path(tempfile.mkdtemp(prefix="crystal-ldm-")) / source.name
    if any(one.name == "run_dir" for one in notebook_parameters(source)):
        parameters = {**parameters, "run_dir": str(run_dir)}
    message = execute_notebook(source, output, parameters)
    if message and read_status(run_dir) == before:
        return output, message
    copy = run_dir / source.name
    put_report(output, copy)
    shutil.rmtree(output.parent)
    return copy, message


def log_outputs() -> None:
    """Show what a notebook prints, without papermill's own lines about its cells."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.addFilter(lambda record: not record.getMessage().startswith(_CELL_LOG))
    log = logging.getLogger("papermill")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
