from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest


@pytest.fixture
def make_notebook(clone: Path) -> Callable[..., Path]:
    """Write a notebook of the clone: a parameters cell and what comes after it."""

    def make(name: str, parameters: str, *cells: str) -> Path:
        first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
        made = nbformat.v4.new_notebook(cells=[first, *map(nbformat.v4.new_code_cell, cells)])
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "x", "language": "python"}
        path = clone / "notebooks" / f"{name}.ipynb"
        nbformat.write(made, path)
        return path

    return make
