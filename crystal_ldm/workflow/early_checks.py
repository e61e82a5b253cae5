"""What a notebook refuses of its parameters, found out before a kernel starts."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crystal_ldm.errors import CrystalLDMError
from crystal_ldm.workflow.notebooks import read_notebook

TAG = "checks"
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
    if not any(TAG in some for some in tags):
        return
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for source, some in zip(sources, tags, strict=True):
                if TAG in some or "parameters" in some:
                    exec(source, namespace)  # noqa: S102 - the kernel executes it, too
                    namespace.update(parameters)
        except CrystalLDMError:
            raise
        except Exception:
            return
