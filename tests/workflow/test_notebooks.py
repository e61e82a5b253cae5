from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from crystal_ldm.workflow.__main__ import main

from crystal_ldm.errors import RunError
from crystal_ldm.workflow.declared import parameter_names
from crystal_ldm.workflow.notebooks import find_notebook


def test_found_by_name_and_by_path(clone: Path, make_notebook: Any) -> None:
    path = make_notebook("04_sample", "formula = ''  # a formula\nseed: int = 0")
    assert find_notebook("04_sample") == find_notebook("notebooks/04_sample.ipynb") == path
    assert parameter_names(path) == ["formula", "seed"]
    with pytest.raises(RunError, match=r"Did you mean '04_sample'\?"):
        find_notebook("04_smaple")


def test_wrong_notebooks_are_named(clone: Path, make_notebook: Any) -> None:
    path = make_notebook("broken", "formula = = 1")
    with pytest.raises(RunError, match="not Python"):
        parameter_names(path)
    path.write_text(path.read_text()[:50])
    with pytest.raises(RunError, match="cut short"):
        parameter_names(path)
    (clone / "notebooks" / "plain.ipynb").write_text('{"cells": []}')
    with pytest.raises(RunError, match="no cell with the tag 'parameters'"):
        parameter_names(find_notebook("plain"))


def test_stripping_takes_outputs_away_and_nothing_else(clone: Path, make_notebook: Any) -> None:
    path = make_notebook("a", "x = 1\n", "print(x)")
    made = nbformat.read(path, as_version=4)
    made.cells[1].outputs = [nbformat.v4.new_output("stream", text="1\n")]
    made.cells[1].execution_count = 3
    made.cells[1].metadata["execution"] = {"time": "now"}
    made.metadata["widgets"] = {}
    nbformat.write(made, path)
    sources = [cell.source for cell in made.cells]

    assert main(["stripped", str(path.parent)]) == 1
    assert main(["strip", str(path.parent)]) == 0
    assert main(["stripped", str(path.parent)]) == 0
    clean = nbformat.read(path, as_version=4)
    nbformat.validate(clean)
    assert [cell.source for cell in clean.cells] == sources
    assert clean.cells[0].metadata == {"tags": ["parameters"]}
    assert not any(cell.outputs or cell.execution_count for cell in clean.cells)
