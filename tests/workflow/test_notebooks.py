from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crystal_ldm.errors import RunError
from crystal_ldm.workflow.declared_parameters import notebook_parameters
from crystal_ldm.workflow.notebooks import find_notebook


def test_found_by_name_and_by_path(clone: Path, make_notebook: Any) -> None:
    path = make_notebook("04_sample", "formula = ''  # a formula\nseed: int = 0")
    assert find_notebook("04_sample") == find_notebook("notebooks/04_sample.ipynb") == path
    assert [one.name for one in notebook_parameters(path)] == ["formula", "seed"]
    with pytest.raises(RunError, match=r"Did you mean '04_sample'\?"):
        find_notebook("04_smaple")


def test_wrong_notebooks_are_named(clone: Path, make_notebook: Any) -> None:
    path = make_notebook("broken", "formula = = 1")
    with pytest.raises(RunError, match="not Python"):
        notebook_parameters(path)
    path.write_text(path.read_text()[:50])
    with pytest.raises(RunError, match="cannot be read as a notebook"):
        notebook_parameters(path)
    (clone / "notebooks" / "plain.ipynb").write_text('{"cells": []}')
    with pytest.raises(RunError, match="no cell with the tag 'parameters'"):
        notebook_parameters(find_notebook("plain"))
