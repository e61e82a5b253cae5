from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from click.testing import CliRunner, Result

from crystal_ldm.files import read_status
from crystal_ldm.workflow.command_line import main
from crystal_ldm.workflow.declared_parameters import (
    Parameter,
    permitted_parameters,
    read_parameters,
)
from crystal_ldm.workflow.notebooks import find_notebook

PARAMETERS = """
formula = ""  # what to make
count: int = 2  # how many
scale: float | dict = 1.0  # one number, or one for each
sure = False  # whether
gap = None
run_dir = ""  # where
"""
CELLS = (
    """
from crystal_ldm.files import open_run
from crystal_ldm.workflow import start_notebook
interactive = start_notebook(globals(), "typed")
""",
    """
with open_run(run_dir, "typed", {"formula": formula}) as run:
    print(repr((formula, count, scale, sure, gap, interactive)))
    if formula == "Xx":
        raise ValueError("there is no Xx")
""",
)


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words), prog_name="crystal-ldm")


def test_help_is_quick_and_light(clone: Path) -> None:
    code = "import sys, crystal_ldm.workflow.command_line as c\n" + (
        "try: c.main(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'pymatgen', 'papermill', 'pydantic') if m in sys.modules])"
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert time.monotonic() - started < 5  # 0.1 s on an idle machine
    assert done.stdout.splitlines()[-1] == "[]"
    for command in ("run", "sweep", "sample", "lab", "models", "data", "report", "show"):
        assert f"\n  {command} " in done.stdout


def test_a_cell_of_parameters_says_types_defaults_and_help() -> None:
    assert read_parameters(PARAMETERS) == [
        Parameter("formula", "text", "''", "what to make"),
        Parameter("count", "whole number", "2", "how many"),
        Parameter("scale", "value", "1.0", "one number, or one for each"),
        Parameter("sure", "flag", "False", "whether"),
        Parameter("gap", "value", "None", ""),
        Parameter("run_dir", "text", "''", "where"),
    ]


def test_options_have_the_types_and_help_of_the_notebook(clone: Path, make_notebook: Any) -> None:
    make_notebook("typed", PARAMETERS)
    shown = call("run", "typed", "--help").output
    for line in ("--formula TEXT", "--count NUMBER", "--sure / --no-sure", "how many [default: 2]"):
        assert line in shown
    assert "typed" in call("run", "--help").output
    wrong = call("run", "typed", "--count", "many")
    assert wrong.exit_code == 2 and "'many' is not a valid integer" in wrong.output
    assert "--formula" in call("run", "typed", "--formulla", "x").output
    missing = call("run", "typd")
    assert missing.exit_code == 1 and "Did you mean 'typed'?" in missing.output


@pytest.mark.notebook
def test_text_stays_text_and_the_run_gets_notebook_and_report(
    clone: Path, make_notebook: Any
) -> None:
    make_notebook("typed", PARAMETERS, *CELLS)
    words = ["--formula", "InF", "--scale", "1e3", "--sure", "--count", "007", "--run-dir", "2_0"]
    done = subprocess.run(
        [sys.executable, "-m", "crystal_ldm", "run", "typed", *words],
        cwd=clone, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "('InF', 7, '1e3', True, None, False)" in done.stdout
    run = clone / "2_0"
    assert read_status(run)["state"] == "finished"
    executed = nbformat.read(run / "typed.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text.startswith("('InF'")
    assert "InF" in (run / "typed.html").read_text()


@pytest.mark.notebook
def test_a_failure_is_one_sentence_and_a_directory_that_refuses_keeps_its_notebook(
    clone: Path, make_notebook: Any
) -> None:
    make_notebook("typed", PARAMETERS, *CELLS)
    command = [sys.executable, "-m", "crystal_ldm", "run", "typed", "--run-dir", "runs/a"]

    def run(*words: str) -> list[str]:
        done = subprocess.run([*command, *words], cwd=clone, capture_output=True, text=True)
        assert done.returncode == 1
        return done.stderr.strip().splitlines()

    *_, sentence, place = run("--formula", "Xx")
    assert sentence == "ValueError: there is no Xx"
    kept = clone / "runs" / "a" / "typed.ipynb"
    assert place == f"The notebook with the error: {kept}"
    before = kept.read_bytes()
    *_, sentence, place = run("--formula", "NaCl")
    assert sentence.startswith("RunError: ") and "formula was" in sentence
    assert kept.read_bytes() == before
    refused = Path(place.removeprefix("The notebook with the error: "))
    assert "RunError" in refused.read_text() and clone not in refused.parents


def test_every_setting_of_sampling_is_an_option_of_04() -> None:
    from crystal_ldm.sampling import options

    names = [parameter.name for parameter in permitted_parameters(find_notebook("04_sample"))]
    of_crystals = {"start_crystal_", "start_host_"}  # whose request no notebook can name
    wanted = {one.path.replace(".", "_") for one in options()}
    assert {n for n in names if n.startswith(tuple(of_crystals))} == set()
    assert {n for n in wanted if not n.startswith(tuple(of_crystals))} <= set(names)
    assert len(names) == len(set(names))
    shown = call("run", "04_sample", "--help").output
    for option in ("--preset [explore|discover|predict]", "--filters-min-distance-limit NUMBER"):
        assert option in shown


def test_models_data_and_runs_are_listed(clone: Path) -> None:
    assert "oqmd_icsd (default): " in call("models").output
    listed = call("data").output
    assert "perov_5: " in listed and "oqmd_icsd: " in listed
    run = clone / "runs" / "a"
    (run / "cif").mkdir(parents=True)
    (run / "cif" / "1.cif").touch()
    (run / "run.json").write_text(json.dumps({"notebook": "04_sample", "recipe": {}}))
    shown = call("show", "runs/a").output
    assert shown.splitlines() == ["04_sample: unknown", f"  crystals {run / 'cif'} (1 CIF files)"]
    assert call("show", "runs/b").exit_code == 1


def test_a_report_of_an_executed_notebook(tmp_path: Path) -> None:
    cell = nbformat.v4.new_code_cell("1", outputs=[nbformat.v4.new_output("stream", text="made")])
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "out.ipynb")
    done = call("report", str(tmp_path / "out.ipynb"), str(tmp_path / "run"), "--name", "04_sample")
    assert done.exit_code == 0, done.output
    assert "made" in (tmp_path / "run" / "04_sample.html").read_text()
    assert (tmp_path / "run" / "04_sample.ipynb").is_file()


@pytest.mark.parametrize("words", [["sweep", "none.yaml"], ["sample", "none.yaml"]])
def test_a_file_that_is_missing_is_one_sentence(clone: Path, words: list[str]) -> None:
    done = call(*words)
    assert done.exit_code == 1 and len(done.output.strip().splitlines()) == 1
    assert "none.yaml" in done.output
