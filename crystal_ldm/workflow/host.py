"""What runs the notebook that this kernel executes: papermill's command line and its files."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import psutil

OUTPUT_VARIABLE = "CRYSTAL_LDM_NOTEBOOK"  # set by a job of the pipeline: the file it writes

_GENERATIONS = 4  # on Windows a launcher stands between papermill and its kernel


@dataclass(frozen=True)
class Host:
    """The command that executes this notebook.

    Attributes:
        output: the notebook that it writes.
        typed: what was typed after `-p name` or `-r name` for each parameter.
    """

    output: Path | None = None
    typed: dict[str, str] = field(default_factory=dict)


def find_host() -> Host:
    """Return the papermill command or pipeline job that started this kernel (empty: neither)."""
    try:
        for parent in psutil.Process().parents()[:_GENERATIONS]:
            words = parent.cmdline()
            arguments = _after_papermill(words)
            if arguments is not None:
                return read_command(arguments, Path(parent.cwd()))
            if "crystal_ldm.workflow.job" in words and os.environ.get(OUTPUT_VARIABLE):
                return Host(Path(os.environ[OUTPUT_VARIABLE]))
    except psutil.Error:
        pass
    return Host()


def read_command(arguments: list[str], cwd: Path) -> Host:
    """Read papermill's arguments as papermill itself does.

    Args:
        arguments: the words after `papermill`.
        cwd: the directory that it was started in.
    """
    import click
    from papermill.cli import papermill

    try:
        context = papermill.make_context("papermill", list(arguments), resilient_parsing=True)
    except click.ClickException:
        return Host()
    given = context.params
    typed = [*(given.get("parameters") or ()), *(given.get("parameters_raw") or ())]
    output = given.get("output_path") or "-"
    return Host(None if output == "-" or "://" in output else cwd / output, dict(typed))


def current_notebook() -> Path | None:
    """Return the file that papermill, the pipeline or JupyterLab keeps of this notebook.

    papermill writes it after each cell, so that a cell finds there the outputs of all cells
    before it. JupyterLab's file is as the user last saved it. None where there is no telling.
    """
    output = find_host().output
    if output is None:
        output = Path(os.environ.get("JPY_SESSION_NAME", ""))
    return output.resolve() if output.suffix == ".ipynb" and output.is_file() else None


def _after_papermill(words: list[str]) -> list[str] | None:
    """Return what follows `papermill` or `python -m papermill` in a command line."""
    for index, word in enumerate(words[:4]):
        is_module = index > 0 and words[index - 1] == "-m" and word == "papermill"
        if is_module or (index < 2 and Path(word).stem.lower() == "papermill"):
            return words[index + 1 :]
    return None
