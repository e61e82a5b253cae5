"""What a notebook asks of its own kernel: is a person there, and what came out so far."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import warnings
from collections.abc import Mapping
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

_recorders: list[_Recorder] = []  # one, once outputs are recorded
_OUTPUTS = ("stream", "display_data", "execute_result", "error")


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
    interactive = is_interactive()
    if not interactive and _kernel() is not None and not os.environ.get(WRITTEN_OUTSIDE):
        _recorders[:] = _recorders or [_Recorder()]
    return interactive


def executed_notebook(name: str) -> dict[str, Any] | None:
    """Return this notebook as executed so far, or None where nothing records its outputs.

    Cells are those of the notebook `name`; what was executed and stands in none of them
    (papermill's parameters, or a cell of an edited copy) has its place in the order of execution.

    Raises:
        RunError: the notebook cannot be read.
    """
    if not _recorders:
        return None
    source = read_notebook(find_notebook(name))
    cells: list[dict[str, Any]] = []
    waiting = list(source["cells"])
    for code, count, outputs in _recorders[0].executed():
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


class _Recorder:
    """Keeps the outputs that this kernel publishes, as a client that it publishes them to, too."""

    def __init__(self) -> None:
        import zmq
        from ipykernel.connect import get_connection_file
        from jupyter_client import BlockingKernelClient

        self._client: Any = BlockingKernelClient(connection_file=get_connection_file())
        self._client.load_connection_file()
        self._client.context.setsockopt(zmq.RCVHWM, 0)  # however much waits there to be read
        self._client.start_channels(shell=False, stdin=False, hb=False, control=False)
        self._outputs: dict[str, list[dict[str, Any]]] = {}  # by the request's id
        self._counts: dict[str, int] = {}
        kernel = _kernel()
        for _ in range(50):  # until the client hears the kernel
            kernel.session.send(kernel.iopub_socket, "status", {"execution_state": "busy"})
            with contextlib.suppress(queue.Empty):
                self._read(0.1)
                break

    def _read(self, timeout: float = 5.0) -> None:
        from nbformat.v4 import output_from_msg

        message = self._client.get_iopub_msg(timeout=timeout)
        kind, content = message["header"]["msg_type"], message["content"]
        request = message["parent_header"].get("msg_id", "")
        outputs = self._outputs.setdefault(request, [])
        if kind == "execute_input":
            self._counts[request] = content["execution_count"]
        elif kind == "clear_output":
            outputs.clear()
        elif kind in _OUTPUTS:
            output = dict(output_from_msg(message))
            last = outputs[-1] if outputs else {}
            if kind == "stream" and last.get("name") == output["name"]:
                last["text"] += output["text"]
            else:
                outputs.append(output)

    def executed(self) -> list[tuple[str, int, list[dict[str, Any]]]]:
        """Return (source, number, outputs) of each cell that was executed, in order."""
        kernel = _kernel()
        this = (kernel.get_parent("shell") or {}).get("header", {}).get("msg_id")
        with contextlib.suppress(queue.Empty):
            while this not in self._counts:  # what comes before this cell has arrived when it has
                self._read()
        outputs = {n: self._outputs[request] for request, n in self._counts.items()}
        sources = enumerate(kernel.shell.history_manager.input_hist_raw)
        return [(source, n, outputs.get(n, [])) for n, source in sources if n > 0]


def _kernel() -> Any:
    """Return the kernel that this code runs in, or None outside of one."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None)
