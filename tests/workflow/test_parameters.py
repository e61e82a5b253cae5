from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystal_ldm.errors import CrystalLDMError, RequestError
from crystal_ldm.workflow.declared_parameters import check_parameters, injected_names
from crystal_ldm.workflow.parameters import (
    as_flag,
    as_integer,
    as_mapping,
    as_number,
    as_numbers,
    as_overrides,
    as_paths,
    as_text,
    as_value,
    as_words,
)

RIGHT: list[tuple[Any, Any, Any]] = [
    (as_text, None, ""),
    (as_text, " runs/a ", "runs/a"),
    (as_text, Path("runs/a"), "runs/a"),
    (as_text, "2024", "2024"),
    (as_words, "InF", ["InF"]),
    (as_words, "", []),
    (as_words, ["SrTiO3", "NO"], ["SrTiO3", "NO"]),
    (as_words, "[SrTiO3, 'NaCl']", ["SrTiO3", "NaCl"]),
    (as_words, "Sr, Ti O", ["Sr", "Ti", "O"]),
    (as_words, None, []),
    (as_words, ["N", "O"], ["N", "O"]),
    (as_number, "2", 2.0),
    (as_integer, 3.0, 3),
    (as_numbers, 2, [2.0]),
    (as_numbers, "[1, 2.5]", [1.0, 2.5]),
    (as_flag, "true", True),
    (as_flag, 0, False),
    (as_value, "[1.0, 2]", [1.0, 2]),
    (as_value, "", None),
    (as_value, "None", None),
    (as_value, "fcc", "fcc"),
    (as_value, "{band_gap: [1, 2], site: fcc}", {"band_gap": [1, 2], "site": "fcc"}),
    (as_mapping, '{"band_gap": 2, "x": null}', {"band_gap": 2, "x": None}),
    (as_mapping, None, {}),
    (as_overrides, "a.b=1 c=[2,3]", ["a.b=1", "c=[2,3]"]),
    (as_overrides, "['a=1']", ["a=1"]),
    (as_overrides, "[a.b=true]", ["a.b=true"]),
    (as_overrides, "[a=/x y/z, b=true]", ["a=/x y/z", "b=true"]),
    (as_overrides, "[a=[1,2], b={x: 1}]", ["a=[1,2]", "b={x: 1}"]),
    (as_overrides, "a=1, b=2", ["a=1", "b=2"]),
    (as_overrides, "a=/my data/(x), [1].csv +b=2  ~c", ["a=/my data/(x), [1].csv", "+b=2", "~c"]),
    (as_overrides, "[]", []),
    (as_paths, "runs/a, runs/b runs/c", ["runs/a", "runs/b", "runs/c"]),
    (as_paths, ["runs/a b"], ["runs/a b"]),
    (as_paths, None, []),
    (
        as_value,
        "{space_group: None, band_gap: null, k_vrh:[1, None]}",
        {"space_group": None, "band_gap": None, "k_vrh": [1, None]},
    ),
    (as_mapping, "{anion:no}", {"anion": "no"}),
    (as_number, np.float32(0.5), 0.5),
    (as_integer, np.int64(3), 3),
]
WRONG: list[tuple[Any, Any, str]] = [
    (as_text, False, "put quotes around it"),
    (as_text, 2024, "-r x TEXT"),
    (as_text, float("inf"), "arrived as inf and not as text.*-r x TEXT.*crystal-ldm run.*--x TEXT"),
    (as_text, float("nan"), "-r x TEXT"),
    (as_text, [1], "should be text"),
    (as_words, 5, "-r x TEXT"),
    (as_words, False, "in YAML or Python put quotes"),
    (as_words, ["SrTiO3", False], r"x\[1\] arrived as False.*-r x TEXT.*--x TEXT"),
    (as_number, "wide", "should be a number"),
    (as_number, True, "should be a number"),
    (as_number, float("nan"), "should be a number"),
    (as_numbers, "wide", "x should be a number and is 'wide'"),
    (as_numbers, [1, "b"], "x should be a number and is 'b'"),
    (as_numbers, [], "is empty"),
    (as_integer, 1.5, "whole number"),
    (as_flag, "maybe", "true or false"),
    (as_value, "[1, 2", "not a list or mapping"),
    (as_value, [1.0, float("inf")], "finite"),
    (as_mapping, "2.0", "should be a mapping"),
    (as_overrides, [1], "list of 'key=value'"),
]


@pytest.mark.parametrize(("function", "value", "wanted"), RIGHT)
def test_values_as_they_were_meant(function: Any, value: Any, wanted: Any) -> None:
    assert function(value, "x") == wanted


@pytest.mark.parametrize(("function", "value", "told"), WRONG)
def test_wrong_values_say_how_to_write_them(function: Any, value: Any, told: str) -> None:
    with pytest.raises(RequestError, match=told):
        function(value, "x")


def test_a_path_with_any_character_is_that_path(clone: Path) -> None:
    odd = clone / "my [runs], (ü) = #1"
    odd.mkdir()
    assert as_paths(str(odd), "runs") == [str(odd)]
    assert as_paths(odd.name, "runs") == [odd.name]


CELL = (
    """
from crystal_ldm.workflow import start_notebook
from crystal_ldm.workflow.parameters import *
interactive = start_notebook(globals(), "typed")
""",
    """
print(as_words(f1, "f1"), as_words(f2, "f2"), as_value(band_gap, "band_gap"))
print(as_text(run_dir, "run_dir"), as_mapping(scales, "scales"), interactive)
""",
)


def papermill(clone: Path, *words: str) -> tuple[subprocess.CompletedProcess[str], str]:
    command = [sys.executable, "-m", "papermill", "notebooks/typed.ipynb", "out.ipynb", *words]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
    cells = nbformat.read(clone / "out.ipynb", as_version=4).cells
    return done, "".join(o.get("text", "") for o in cells[-1].outputs)


@pytest.mark.notebook
def test_text_survives_the_real_papermill_or_is_refused(clone: Path, make_notebook: Any) -> None:
    make_notebook("typed", "f1 = f2 = ''\nband_gap=None\nrun_dir=''\nscales={}", *CELL)
    words = ["-p", "f1", "NO", "-r", "f2", "INF", "-r", "run_dir", "2_024"]
    words += ["-p", "band_gap", "[1.0, 2.0]", "-r", "scales", "{band_gap: 3}"]
    done, printed = papermill(clone, *words)
    assert done.returncode == 0, done.stderr
    assert printed == "['NO'] ['INF'] [1.0, 2.0]\n2_024 {'band_gap': 3} False\n"

    done, _ = papermill(clone, "-p", "f1", "InF")
    assert done.returncode == 1
    assert "RequestError: f1 arrived as inf and not as text" in done.stderr
    done, _ = papermill(clone, "-p", "bandgap", "2")
    assert done.returncode == 1
    assert "The notebook has no parameter 'bandgap'. Did you mean 'band_gap'?" in done.stderr


def test_only_injected_cells_are_checked() -> None:
    namespace = {"In": ["", "x = 1", "# Parameters\nformula = 'a'\nrun_dir: str = 'b'"]}
    given = injected_names(namespace)
    check_parameters(given, ["formula", "run_dir"])
    with pytest.raises(RequestError, match="no parameter 'run_dir'"):
        check_parameters(given, ["formula"])
    assert injected_names({}) == []


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=5,
)


@given(st.sampled_from([function for function, *_ in RIGHT]), VALUES)
def test_any_value_raises_documented_errors_only(function: Any, value: Any) -> None:
    try:
        function(value, "x")
    except CrystalLDMError as error:
        assert isinstance(error, RequestError)
