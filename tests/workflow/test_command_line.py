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

from crystal_ldm.errors import RequestError
from crystal_ldm.files import DirectoryLock, read_status
from crystal_ldm.workflow.command_line import main
from crystal_ldm.workflow.declared_parameters import (
    Parameter,
    permitted_parameters,
    read_parameters,
)
from crystal_ldm.workflow.execution import check_early
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
    import warnings
    from IPython.display import HTML, display
    warnings.warn("a warning")
    display(HTML("<b>InF</b>"))
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
    for command in ("run", "sweep", "sample", "again", "lab", "models", "data", "show"):
        assert f"\n  {command} " in done.stdout


def test_options_of_the_notebook_itself_load_no_others(clone: Path) -> None:
    """Those of sampling need PyTorch, which the notebook's kernel loads, and not this process."""
    words = ["run", "04_sample", "--formula", "SrO", "--num-samples", "many"]
    code = "import sys, crystal_ldm.workflow.command_line as c\n" + (
        f"try: c.main({words})\nexcept SystemExit: pass\nprint('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'many' is not a valid integer" in done.stderr
    assert done.stdout.splitlines()[-1] == "False"


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
    run = clone / "2_0"
    shown = [line for line in done.stdout.splitlines() if line]
    place = f"notebook and report: {run}"
    assert shown == ["('InF', 7, '1e3', True, None, False)", "Note: a warning", place]
    assert not done.stderr
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


@pytest.mark.notebook
def test_a_directory_where_another_process_is_at_work_keeps_its_notebook(
    clone: Path, make_notebook: Any
) -> None:
    make_notebook("typed", PARAMETERS, *CELLS)
    (run := clone / "runs" / "a").mkdir(parents=True)
    (run / "typed.ipynb").write_text("of the other run")
    code = (
        "import time\nfrom crystal_ldm.files import open_run\n"
        "with open_run('runs/a', 'typed', {'formula': ''}) as run:\n"
        "    print('open', flush=True)\n"
        "    while True: run.progress(1), time.sleep(0.2)"
    )
    other = subprocess.Popen([sys.executable, "-c", code], cwd=clone, stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None and other.stdout.readline()
        done = subprocess.run(
            [sys.executable, "-m", "crystal_ldm", "run", "typed", "--run-dir", "runs/a"],
            cwd=clone, capture_output=True, text=True,
        )  # fmt: skip
    finally:
        other.kill()
        other.communicate()
    assert done.returncode == 1 and f"in use by process {other.pid}" in done.stderr
    assert (run / "typed.ipynb").read_text() == "of the other run"
    assert not (run / "typed.html").exists()


def test_what_cannot_be_meant_is_refused_before_a_kernel_starts() -> None:
    refused = {
        "04_sample --formula sr?o3": "'sr?o3' cannot be read",
        "04_sample --temperature 11": "temperature must be a number from 0 to 10",
        "04_sample --elements-temperature 11": "elements.temperature|temperature must be",
        "04_sample --num-atoms 5": "Give a formula",
        "04_sample --num-samples 0": "num_samples must be a whole number from 1",
        "04_sample --band-gap 1-3": "a range of two, such as [1, 3], not '1-3'",
        "04_sample --conditions {'space_grup':225}": "Did you mean 'space_group'?",
        "04_sample --ldm-ckpt none": "There is no checkpoint",
        "04_sample --forbidden Sr,Xx": "Xx",
        "04_sample --crystals none.cif": "set one of their settings, such as start_host_rest",
        "04_sample --crystals none.cif --start-host-rest Li": "There is no file or folder",
        "04_sample --start-host-rest Li": "needs structure files",
        "01_data --dataset mp_2": "Did you mean 'mp_20'?",
        "01_data --dataset mp_20": "give data_dir",
        "06_discover --system Li-Xx": "Xx",
        "06_discover --system Li-O --allowed Li": "are for a formula",
        "06_discover --formula Sr?O3 --num-atoms 5": "formula_units",
    }
    code = (
        "import resource, sys, crystal_ldm.workflow.command_line as c\n"
        "for words in sys.argv[1:]:\n"
        "    try: c.main(['run', *words.split()])\n"
        "    except SystemExit as end: print(end.code, file=sys.stderr)\n"
        "seconds = resource.getrusage(resource.RUSAGE_SELF).ru_utime\n"
        "print([m for m in ('papermill', 'nbclient') if m in sys.modules], seconds)"
    )
    words = [sys.executable, "-c", code, *refused]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    modules, _, seconds = done.stdout.strip().rpartition(" ")
    assert modules == "[]" and float(seconds) < 8  # all of them; 2 s on an idle machine
    lines = done.stderr.splitlines()
    assert lines[1::2] == ["1"] * len(refused)  # one sentence each, and the exit status
    for sentence, told in zip(lines[::2], refused.values(), strict=True):
        assert any(part in sentence for part in told.split("|")), sentence


def test_a_cell_of_checks_refuses_early_and_leaves_other_errors_to_the_kernel(
    make_notebook: Any,
) -> None:
    source = (
        "from crystal_ldm.errors import RequestError\n"
        "if count == 1: raise RequestError('one is none')\n"
        "if count == 2: raise ValueError('two')\n"
    )
    path = make_notebook("checked", "count = 0", source)
    check_early(path, {"count": 1})  # the cell has no tag
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].metadata["tags"] = ["checks"]
    nbformat.write(notebook, path)
    for count in (0, 2):
        check_early(path, {"count": count})
    with pytest.raises(RequestError, match="one is none"):
        check_early(path, {"count": 1})


def test_every_setting_of_sampling_is_an_option_of_04() -> None:
    from crystal_ldm.sampling import options

    names = [parameter.name for parameter in permitted_parameters(find_notebook("04_sample"))]
    assert {one.path.replace(".", "_") for one in options()} <= set(names)
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
    (run / "status.json").write_text(json.dumps({"state": "running", "message": "1 of 9"}))
    shown = call("show", "runs/a").output
    assert shown.startswith("04_sample: stopped by force; the same call goes on there\n")
    with DirectoryLock(run):
        assert call("show", "runs/a").output.startswith("04_sample: running 1 of 9\n")
    for other in ("runs/b", "runs/a/run.json", "runs"):
        done = call("show", other)
        assert done.exit_code == 1 and "is not a run directory: it has no run.json" in done.output
    assert "name a folder" in call("lab", str(run / "run.json")).output


@pytest.mark.parametrize("command", ["sweep", "sample", "again"])
def test_a_file_is_that_of_the_folder_or_of_the_clone(
    clone: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    done = call(command, "none.yaml")
    assert done.exit_code == 1 and len(done.output.strip().splitlines()) == 1
    assert "none.yaml" in done.output
    inner = clone / "inner"
    inner.mkdir()
    monkeypatch.chdir(inner)
    (clone / "none.yaml").write_text("[]")  # read, and refused by its name
    told = call(command, "none.yaml").output
    assert f"'{clone / 'none.yaml'}'" in told and "cannot be read" not in told
    (inner / "none.yaml").write_text("[]")
    assert "'none.yaml'" in call(command, "none.yaml").output


def test_a_condition_that_is_no_parameter_is_told_where_to_go() -> None:
    told = call("run", "04_sample", "--k-vrh", "200").output
    assert "--conditions '{k_vrh: ...}'" in told
