"""What a notebook asks of its own kernel: is a person there, and what came out so far."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from crystal_ldm.workflow.declared_parameters import (
    INJECTED,
    check_parameters,
    injected_names,
    permitted_parameters,
)
from crystal_ldm.workflow.notebooks import find_notebook, read_notebook

WRITTEN_OUTSIDE = "CRYSTAL_LDM_REPORT"
"""Environment variable of a kernel whose notebook and report `crystal-ldm` itself writes."""

_STREAMS = {"out_stream": "stdout", "err_stream": "stderr"}


def is_interactive() -> bool:
    """Return whether a person is at the notebook, who can press its buttons.

    Each request to execute a cell says whether its sender can ask a person for input: JupyterLab
    and other front ends can, papermill and nbconvert cannot. Voila's pages cannot either, but a
    person looks at them.
    """
    kernel = _kernel()
    if kernel is None:
        return False
    request = kernel.get_parent("shell") or {}
    asked_by_person = bool(request.get("content", {}).get("allow_stdin", False))
    return asked_by_person or os.environ.get("SERVER_SOFTWARE", "").startswith("voila/")


def start_notebook(namespace: Mapping[str, Any], name: str) -> bool:
    """Check a notebook's parameters and, when nobody is there, begin to record its outputs.

    Call it in the cell after the parameters:
    `interactive = start_notebook(globals(), "04_sample")`.

    Args:
        name: of the notebook, whose parameters cell says which there are.

    Returns:
        whether a person is at the notebook.

    Raises:
        RequestError: papermill was given a parameter that the notebook does not have.
    """
    names = injected_names(namespace)
    if names:
        permitted = permitted_parameters(find_notebook(name), names)
        check_parameters(names, [parameter.name for parameter in permitted])
    # To a person a warning's place in the code says nothing.
    warnings.formatwarning = lambda message, category, *_, **__: (
        f"{'Note' if category is UserWarning else category.__name__}: {message}\n"
    )
    if _is_recorded():
        _record_displays(_kernel().shell)
    return is_interactive()


def _is_recorded() -> bool:
    """Return whether nobody sees this notebook's outputs and nobody else writes them down."""
    outside = os.environ.get(WRITTEN_OUTSIDE)
    return _kernel() is not None and not outside and not is_interactive()


def _record_displays(shell: Any) -> None:
    """Have IPython's history keep what cells display beside what they print and return."""
    from IPython.core.history import HistoryOutput

    def record(message: dict[str, Any]) -> dict[str, Any]:
        kind, number = message["header"]["msg_type"], shell.displayhook.prompt_count
        if kind == "display_data":
            output = HistoryOutput(kind, message["content"]["data"])
            shell.history_manager.outputs[number].append(output)
        elif kind == "clear_output":
            shell.history_manager.outputs.pop(number, None)
        return message

    shell.display_pub.register_hook(record)


def executed_notebook(name: str) -> dict[str, Any] | None:
    """Return this notebook as executed so far, or None where nothing records its outputs.

    Cells are those of the notebook `name`; what was executed and stands in none of them
    (papermill's parameters, or a cell of an edited copy) has its place in the order of execution.

    Raises:
        RunError: the notebook cannot be read.
    """
    if not _is_recorded():
        return None
    source = read_notebook(find_notebook(name))
    cells: list[dict[str, Any]] = []
    waiting = list(source["cells"])
    for code, count, outputs in _executed():
        texts = ["".join(c["source"]) if c["cell_type"] == "code" else None for c in waiting]
        if code in texts:
            place = texts.index(code)
            cells += waiting[:place]
            cell, waiting = waiting[place], waiting[place + 1 :]
        else:
            tags = ["injected-parameters"] if code.startswith(INJECTED) else []
            cell = {"cell_type": "code", "metadata": {"tags": tags}, "source": code}
        cells.append({**cell, "execution_count": count, "outputs": outputs})
    cells += waiting
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    return {**source, "cells": cells, "nbformat": 4, "nbformat_minor": 5}


def _executed() -> Iterator[tuple[str, int, list[dict[str, Any]]]]:
    """Yield (source, number, outputs) of each cell that was executed, in order."""
    from ipykernel.jsonutil import encode_images
    from nbformat.v4 import new_output

    history = _kernel().shell.history_manager
    for number, source in enumerate(history.input_hist_raw[1:], 1):
        outputs = []
        for output in history.outputs.get(number, ()):
            kind, content = output.output_type, output.bundle
            if kind in _STREAMS:
                text = "".join(content["stream"])
                outputs.append(new_output("stream", name=_STREAMS[kind], text=text))
            else:
                count = {"execution_count": number} if kind == "execute_result" else {}
                outputs.append(new_output(kind, data=encode_images(content), **count))
        if number in history.exceptions:
            outputs.append(new_output("error", **history.exceptions[number]))
        yield source, number, outputs


def _kernel() -> Any:
    """Return the kernel that this code runs in, or None outside of one."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None)
