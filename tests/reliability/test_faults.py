"""Kills, full disks and missing rights in sampling, evaluation and sweeps.

Further faults: `tests/test_runs.py` (run directories), `tests/training` (training),
`tests/workflow` (sweeps), `tests/runs` (split requests), `tests/data/test_storage.py` (caches).
"""

from __future__ import annotations

import csv
import json
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import pytest

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import CrystalLDMError, RunError
from crystal_ldm.evaluate import evaluate
from crystal_ldm.files import open_run
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.nn.checkpoints import save_safetensors
from crystal_ldm.pretrained import load_model
from crystal_ldm.runs.crystal_files import CrystalFiles
from crystal_ldm.runs.generate import generate
from crystal_ldm.workflow import run_sweep
from tests.conftest import raised_in_child

Python = Callable[..., "subprocess.Popen[str]"]
Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def model(tiny_ldm: LDMModule, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_safetensors(tiny_ldm, path, half=False)
    return str(path)


def with_files_up_to(size: int, function: Callable[[], object]) -> str:
    """Call `function` in a child that cannot write more than `size` bytes to a file (a full disk).

    Returns the type and message of what it raised.
    """
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size))
    return raised_in_child(limit, function)


def finished(run: Path) -> dict[str, bytes]:
    """Return name and content of the CIF of each crystal that is in the table."""
    if not (run / "table.csv").is_file():
        return {}
    text = (run / "table.csv").read_text()
    rows = csv.DictReader(text[: text.rfind("\n") + 1].splitlines())
    return {row["cif"]: (run / row["cif"]).read_bytes() for row in rows}


# --- sampling ---

SAMPLE = """
    import sys
    from crystal_ldm.crystals import CrystalBatch
    from crystal_ldm.pretrained import load_model
    from crystal_ldm.runs.generate import generate
    if {limit}:
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
    request = CrystalBatch.from_formulas(["NaCl", "SrTiO3"])
    try:
        generate(load_model({model!r}), request, {run!r}, {number}, sampling_steps=2)
    except Exception as error:
        sys.exit(f"{{type(error).__name__}}: {{error}}")
"""


def test_sampling_killed_again_and_again(
    model: str, tmp_path: Path, python: Python, until: Callable[..., None], record_property: Record
) -> None:
    run, number = tmp_path / "run", 60
    code = SAMPLE.format(model=model, run=str(run), number=number, limit=0)
    kept: dict[str, bytes] = {}
    lost = 0
    for share in (0.2, 0.6):
        process = python(code)
        target = int(share * 2 * number)

        def enough(target: int = target, process: Any = process) -> bool:
            return len(finished(run)) >= target or process.poll() is not None

        until(enough, 300)
        assert process.poll() is None, process.communicate()[1]
        process.kill()
        process.wait()
        now = finished(run)
        lost += sum(now.get(name) != content for name, content in kept.items())
        kept = now
    request = CrystalBatch.from_formulas(["NaCl", "SrTiO3"])
    how: dict[str, Any] = {"sampling_steps": 2, "progress": False}
    generate(load_model(model), request, run, number, **how)
    now = finished(run)
    lost += sum(now.get(name) != content for name, content in kept.items())
    record_property("crystals_finished", len(kept))
    record_property("crystals_lost", lost)
    assert lost == 0 and len(kept) >= 72 and len(now) == 2 * number
    assert len(list(run.glob("cif/*.cif"))) == len(CrystalFiles(run, {}).rows) == 2 * number


def test_sampling_onto_a_full_disk(
    model: str, tmp_path: Path, python: Python, record_property: Record
) -> None:
    run = tmp_path / "run"
    code = SAMPLE.format(model=model, run=str(run), number=60, limit=16_000)
    _, told = python(code).communicate()
    told = told.strip().splitlines()[-1]
    assert told.startswith("RunError:") and "could not be written" in told
    assert "inished" in told and "kept" in told
    kept = finished(run)
    assert 4 <= len(kept) < 120
    request = CrystalBatch.from_formulas(["NaCl", "SrTiO3"])
    how: dict[str, Any] = {"sampling_steps": 2, "progress": False}
    generate(load_model(model), request, run, 60, **how)
    now = finished(run)
    lost = sum(now.get(name) != content for name, content in kept.items())
    record_property("crystals_finished", len(kept))
    record_property("crystals_lost", lost)
    assert lost == 0 and len(now) == 120


def test_a_split_request_in_a_run_in_use(model: str, tmp_path: Path, python: Python) -> None:
    with open_run(tmp_path / "run", "04_sample", {"formula": "NaCl"}):
        told, errors = python(_SPLIT.format(model=model, run=str(tmp_path / "run"))).communicate()
    assert told.startswith("RunError: ") and "in use by process" in told, errors
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["run.json", "status.json"]


_SPLIT = """
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.runs.split_request import sample_in_parallel
try:
    sample_in_parallel(CrystalBatch.from_formulas(["NaCl"]), 1, {run!r}, ldm_ckpt={model!r})
except Exception as error:
    print(type(error).__name__ + ":", error)
"""


# --- evaluation ---


def test_an_evaluation_that_cannot_be_written(
    known_crystals: list[Any], tmp_path: Path, without_rights: Callable[..., str]
) -> None:
    result = evaluate(known_crystals[:3], metrics=["validity"], workers=1)
    result.save(tmp_path / "results")
    before = {p.name: p.read_bytes() for p in (tmp_path / "results").iterdir()}
    told = with_files_up_to(50, lambda: result.save(tmp_path / "results"))
    kind = told.partition(":")[0]
    assert kind in {"RunError", "EvaluationError"} and "\n" not in told
    assert {p.name: p.read_bytes() for p in (tmp_path / "results").iterdir()} == before
    for folder in (tmp_path / "results", tmp_path):
        folder.chmod(0o555)
    told = without_rights(lambda: result.save(tmp_path / "results"))
    assert told.partition(":")[0] in {"RunError", "EvaluationError"}
    for folder in (tmp_path, tmp_path / "results"):
        folder.chmod(0o755)
    result.save(tmp_path / "results")
    assert {p.name: p.read_bytes() for p in (tmp_path / "results").iterdir()} == before


def test_a_truncated_table_is_refused_or_the_rest_is_judged(tiny_ldm: Any, tmp_path: Path) -> None:
    generate(tiny_ldm, CrystalBatch.from_formulas(["NaCl"]), tmp_path, 4, progress=False)
    for name in ("table.csv", "crystals.extxyz"):
        whole = (tmp_path / name).read_bytes()
        for share in (0.0, 0.3, 0.6, 0.95):
            (tmp_path / name).write_bytes(whole[: int(share * len(whole))])
            try:
                judged = evaluate(tmp_path, metrics=["validity"], workers=1)
            except CrystalLDMError:
                continue
            assert 1 <= len(judged.table) <= 4
        (tmp_path / name).write_bytes(whole)


# --- sweeps ---

WORK = """
from crystal_ldm.files import open_run
with open_run(run_dir, "work", {"seed": seed}) as run:
    (run.path / "best.txt").write_text("x" * 100 * seed)
"""


@pytest.fixture
def sweep(clone: Path) -> dict[str, Any]:
    """Two short jobs."""
    first = nbformat.v4.new_code_cell("seed = 0\nrun_dir = ''", metadata={"tags": ["parameters"]})
    made = nbformat.v4.new_notebook(cells=[first, nbformat.v4.new_code_cell(WORK)])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "x", "language": "python"}
    nbformat.write(made, clone / "notebooks" / "work.ipynb")
    return {"run_dir": "runs/s", "notebook": "work", "grid": {"seed": [1, 2]}, "threads": 1}


def test_a_sweep_onto_a_full_disk_is_continued(clone: Path, sweep: dict[str, Any]) -> None:
    def run() -> None:
        result = run_sweep(sweep, workers=1, progress=None)
        assert not result.ok
        raise RunError(result.jobs[0].message)

    told = with_files_up_to(1500, run)  # the executed notebook is larger
    assert told.startswith("RunError"), told
    for folder in (clone / "runs" / "s").glob("work*"):
        # papermill's own notebook may end anywhere; what counts is the state.
        assert json.loads((folder / "job.status.json").read_text())["state"] == "failed"
    again = run_sweep(sweep, workers=1, progress=None)
    assert again.ok
    assert sorted(len(p.read_text()) for p in again.directory.glob("*/best.txt")) == [100, 200]


def test_a_sweep_without_rights_is_one_sentence(
    clone: Path, sweep: dict[str, Any], without_rights: Callable[..., str]
) -> None:
    folder = Path(tempfile.mkdtemp())  # pytest's own folders are closed to others
    try:
        notebook = folder / "work.ipynb"
        shutil.copy(clone / "notebooks" / "work.ipynb", notebook)
        notebook.chmod(0o444)
        folder.chmod(0o555)
        here = {**sweep, "notebook": str(notebook), "run_dir": str(folder / "s")}
        told = without_rights(lambda: run_sweep(here, progress=None))
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)
    assert told.startswith("RunError") and "no permission" in told and "\n" not in told
