"""Two requests, or two writers, never mix their crystals in one directory."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import RunError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.nn.checkpoints import save_safetensors
from crystal_ldm.pretrained import load_model
from crystal_ldm.recipe import read_recipe
from crystal_ldm.runs.crystal_files import CrystalFiles
from crystal_ldm.runs.generate import generate
from crystal_ldm.runs.sample_run import SampleRun
from crystal_ldm.runs.split_request import sample_in_parallel
from crystal_ldm.sampling.sample import place_order

HOW: dict[str, Any] = {"sampling_steps": 1, "progress": False}


def salt() -> CrystalBatch:
    return CrystalBatch.from_formulas(["NaCl"])


def content(run: Path) -> dict[str, bytes]:
    return {str(f.relative_to(run)): f.read_bytes() for f in run.rglob("*") if f.is_file()}


@pytest.fixture
def model(tiny_ldm: LDMModule, tmp_path: Path) -> str:
    path = tmp_path / "model.safetensors"
    save_safetensors(tiny_ldm, path, half=False)
    return str(path)


def test_a_second_request_in_a_directory_is_refused(tiny_ldm: LDMModule, tmp_path: Path) -> None:
    run = generate(tiny_ldm, salt(), tmp_path / "run", 2, **HOW).path
    before = content(run)
    others: list[Callable[[], Any]] = [
        lambda: generate(tiny_ldm, CrystalBatch.from_formulas(["SrTiO3"]), run, 2, **HOW),
        lambda: generate(tiny_ldm, salt(), run, 3, **HOW),
        lambda: generate(tiny_ldm, salt(), run, 2, seed=1, **HOW),
        lambda: generate(tiny_ldm, salt(), run, 2, symprec=0.2, **HOW),
    ]
    for other in others:
        with pytest.raises(RunError, match="another recipe") as told:
            other()
        assert "\n" not in str(told.value)
    assert content(run) == before


def test_a_changed_model_is_refused(tiny_ldm: LDMModule, tmp_path: Path) -> None:
    run = generate(tiny_ldm, salt(), tmp_path / "run", 2, **HOW).path
    file = run / "run.json"
    described = json.loads(file.read_text())
    described["recipe"]["model_hash"] = "0" * 64
    file.write_text(json.dumps(described))
    with pytest.raises(RunError, match="model_hash was"):
        generate(tiny_ldm, salt(), run, 2, **HOW)


def test_a_model_with_other_training_crystals_is_refused_where_they_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import crystal_ldm

    shipped = crystal_ldm.load_pretrained("perov_5")
    request = CrystalBatch.from_formulas(["SrTiO3"])
    how = {**HOW, "filters": ["not_in_training"], "attempts": 0}
    used = generate(shipped, request, tmp_path / "used", 1, **how).path
    unused = generate(shipped, request, tmp_path / "unused", 1, **HOW).path
    monkeypatch.setattr(type(shipped.training_crystals), "hash", "another")
    with pytest.raises(RunError, match="known_hash was"):
        generate(shipped, request, used, 1, **how)
    generate(shipped, request, unused, 1, **HOW)


def test_one_process_does_not_write_a_run_twice_at_a_time(
    tiny_ldm: LDMModule, tmp_path: Path
) -> None:
    run = SampleRun.open(tmp_path / "run", place_order(tiny_ldm, salt(), 2, {}))
    with pytest.raises(RunError, match="in use by this process"):
        generate(tiny_ldm, salt(), run.path, 2, progress=False)
    run.close()
    assert len(generate(tiny_ldm, salt(), run.path, 2, progress=False).rows) == 2


def test_two_processes_make_one_whole_run(
    model: str, tmp_path: Path, python: Callable[..., subprocess.Popen[str]]
) -> None:
    run = tmp_path / "run"
    code = f"""
        from crystal_ldm.crystals import CrystalBatch
        from crystal_ldm.pretrained import load_model
        from crystal_ldm.runs.generate import generate
        ldm, request = load_model({model!r}), CrystalBatch.from_formulas(["NaCl"])
        try:
            generate(ldm, request, {str(run)!r}, 60, batch_size=4, sampling_steps=1)
        except Exception as error:
            print(type(error).__name__, error)
    """
    told = [p.communicate(timeout=280)[0] for p in [python(code) for _ in range(2)]]
    # One is told that the other is at work, or waits so long that it finds everything done.
    assert any("in use by process" in t or "60 of 60 crystals are there" in t for t in told), told
    rows = generate(load_model(model), salt(), run, 60, batch_size=4, **HOW).rows
    assert len({row["id"] for row in rows}) == len(rows) == 60
    assert (run / "crystals.extxyz").read_text().count("Lattice") == 60


def test_notebook_and_split_request_go_on_with_each_other(model: str, tmp_path: Path) -> None:
    """A split request that was stopped after its first pieces loses none of them."""
    ldm, run = load_model(model), tmp_path / "run"
    how: dict[str, Any] = {"sampling_steps": 1, "progress": False}
    split: dict[str, Any] = {"ldm_ckpt": model, "workers": 1, "piece_size": 2, **how}
    write = CrystalFiles.write

    def stopped(self: CrystalFiles, texts: Any) -> Any:
        if len(self.done) == 4:
            raise KeyboardInterrupt
        return write(self, texts)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(CrystalFiles, "write", stopped)
        sample_in_parallel(salt(), 6, run, **split)
    made = {file.name: file.read_bytes() for file in run.glob("cif/*.cif")}
    again: list[int] = []
    found = generate(ldm, salt(), run, 6, on_batch=lambda result: again.append(len(result)), **how)
    assert sum(again) == 2 and len(found.rows) == 6 and len(made) == 4
    assert made.items() <= {f.name: f.read_bytes() for f in run.glob("cif/*.cif")}.items()
    sample_in_parallel(salt(), 6, run, **split)
    assert len(found.rows) == 6


@pytest.mark.parametrize("damage", [None, b"", b'{"format": 2'])
def test_a_damaged_recipe_of_a_finished_run_is_noticed(
    damage: bytes | None, tiny_ldm: LDMModule, tmp_path: Path
) -> None:
    run = generate(tiny_ldm, salt(), tmp_path / "run", 1, **HOW).path
    file = run / "recipe.json"
    before = read_recipe(file)
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage)
    with pytest.warns(UserWarning, match="is written again"):
        generate(tiny_ldm, salt(), run, 1, **HOW)
    assert read_recipe(file) == before


def test_a_recipe_of_other_crystals_is_refused(tiny_ldm: LDMModule, tmp_path: Path) -> None:
    run = generate(tiny_ldm, salt(), tmp_path / "run", 1, **HOW).path
    file = run / "recipe.json"
    file.write_text(file.read_text().replace('"Na"', '"Sr"'))
    with pytest.raises(RunError, match="not the recipe of this run's crystals"):
        generate(tiny_ldm, salt(), run, 1, **HOW)


NAMES = [".run.lock", "table.csv", "crystals.extxyz", "recipe.json", "run.json", "status.json"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", ["new", "continued"])
def test_no_file_of_a_run_is_written_through_a_link(
    name: str, mode: str, tiny_ldm: LDMModule, tmp_path: Path
) -> None:
    victim, run = tmp_path / "thesis.tex", tmp_path / "run"
    if mode == "new":
        run.mkdir()
    else:
        with SampleRun.open(run, place_order(tiny_ldm, salt(), 4, {"sampling_steps": 1})) as first:
            first.files.add(tiny_ldm.sample(salt(), 2, sampling_steps=1))
        (run / name).unlink(missing_ok=True)
    victim.write_text("years of work")
    (run / name).symlink_to(victim)
    try:
        generate(tiny_ldm, salt(), run, 4, **HOW)
    except RunError as error:
        assert "\n" not in str(error)
    assert victim.read_text() == "years of work"


def test_no_cif_is_written_into_a_linked_folder(tiny_ldm: LDMModule, tmp_path: Path) -> None:
    elsewhere, run = tmp_path / "elsewhere", tmp_path / "run"
    elsewhere.mkdir()
    SampleRun.open(run, place_order(tiny_ldm, salt(), 1, {})).close()
    (run / "cif").symlink_to(elsewhere)
    with pytest.raises(RunError, match="symbolic link"):
        generate(tiny_ldm, salt(), run, 1, progress=False)
    assert not list(elsewhere.iterdir())


def test_a_lock_that_is_a_pipe_holds_nobody_up(tiny_ldm: LDMModule, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    os.mkfifo(run / ".run.lock")
    with pytest.raises(RunError):
        generate(tiny_ldm, salt(), run, 1, **HOW)
