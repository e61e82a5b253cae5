"""A request that is split over workers gives the crystals of one process, whatever dies."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from ase.io import read

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import ConfigError, RequestError, RunError
from crystal_ldm.evaluate import evaluate
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.nn.checkpoints import save_safetensors
from crystal_ldm.parallel import Workers
from crystal_ldm.pretrained import load_model
from crystal_ldm.runs.crystal_files import CrystalFiles
from crystal_ldm.runs.generate import generate
from crystal_ldm.runs.request_file import run_request
from crystal_ldm.runs.split_request import sample_in_parallel
from crystal_ldm.workflow.command_line import main

OPTIONS = {"sampling_steps": 2, "seed": 3, "cfg_scale": 1.5}
FORMULAS = ["SrTiO3", "NaCl", "Na?"]


@pytest.fixture(scope="module")
def model(tiny_ldm: LDMModule, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_safetensors(tiny_ldm, path, half=False)
    return str(path)


def a_request() -> CrystalBatch:
    return CrystalBatch.from_formulas(FORMULAS, band_gap=[2.0, None, (1.0, 3.0)])


def crystals(run: Path) -> dict[tuple[int, int], Any]:
    """Return (row, number) -> atoms of a run, whose table and frames must agree."""
    with (run / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    frames = {atoms.info["id"]: atoms for atoms in read(run / "crystals.extxyz", index=":")}
    assert set(frames) == {row["id"] for row in rows} and len(frames) == len(rows)
    assert {file.stem for file in run.glob("cif/*")} == set(frames)
    return {(int(row["row"]), int(row["number"])): frames[row["id"]] for row in rows}


def same(one: dict[tuple[int, int], Any], other: dict[tuple[int, int], Any]) -> bool:
    return one.keys() == other.keys() and all(
        a.symbols.get_chemical_formula("reduce")
        == other[key].symbols.get_chemical_formula("reduce")
        and np.allclose(a.cell, other[key].cell, rtol=1e-4, atol=1e-4)
        and np.allclose(a.positions, other[key].positions, atol=1e-3)
        for key, a in one.items()
    )


def test_two_processes_and_dask_give_the_crystals_of_one(model: str, tmp_path: Path) -> None:
    from distributed import Client, LocalCluster

    generate(load_model(model), a_request(), tmp_path / "one", 5, progress=False, **OPTIONS)
    run: dict[str, Any] = {"ldm_ckpt": model, "piece_size": 2, "progress": False, **OPTIONS}
    two = sample_in_parallel(a_request(), 5, tmp_path / "two", workers=2, **run)
    assert same(crystals(tmp_path / "one"), crystals(two))
    assert (two / "recipe.json").read_text() == (tmp_path / "one" / "recipe.json").read_text()

    options = {"threads_per_worker": 1, "dashboard_address": None, "memory_limit": 0}
    with LocalCluster(n_workers=2, **options) as cluster, Client(cluster) as client:
        there = Workers(client=client)
        dask = sample_in_parallel(a_request(), 5, tmp_path / "dask", workers=there, **run)
        judged = evaluate(dask, metrics=["validity", "uniqueness"], workers=there)
        asked = {"num_samples": 2, "formula": "NaCl", "ldm_ckpt": model, "sampling": OPTIONS}
        engine = {"run_dir": str(tmp_path / "file"), "dask": {"address": cluster.scheduler_address}}
        by_file = run_request({**asked, **engine}, progress=False)
    assert len(crystals(by_file)) == 2
    for name in ("table.csv", "crystals.extxyz"):  # the same bytes for any number of workers
        assert (dask / name).read_bytes() == (two / name).read_bytes()
    here = evaluate(two, metrics=["validity", "uniqueness"], workers=1)
    assert judged.table.equals(here.table) and len(here.table) == 15

    # The notebook's way goes on with such a run, and the other way round.
    more = generate(load_model(model), a_request(), two, 5, progress=False, **OPTIONS)
    assert len(more.rows) == 15
    text = (two / "table.csv").read_text()
    (two / "table.csv").write_text(text[: int(0.6 * len(text))])
    sample_in_parallel(a_request(), 5, two, workers=1, **run)
    assert same(crystals(tmp_path / "one"), crystals(two))


def test_a_worker_and_then_the_whole_run_are_killed(
    model: str,
    tmp_path: Path,
    python: Callable[..., subprocess.Popen[str]],
    until: Callable[..., None],
    record_property: Callable[[str, object], None],
) -> None:
    run = tmp_path / "run"
    how = {"ldm_ckpt": model, "piece_size": 4, "sampling_steps": 30, "seed": 3}
    code = f"""
        from crystal_ldm.crystals import CrystalBatch
        from crystal_ldm.runs.split_request import sample_in_parallel
        request = CrystalBatch.from_formulas({FORMULAS!r})
        sample_in_parallel(request, 80, {str(run)!r}, workers=2, **{how!r})
    """

    def finished() -> int:
        table = run / "table.csv"
        return len(table.read_text().splitlines()) - 1 if table.is_file() else 0

    process = python(code)
    until(lambda: finished() >= 4 or process.poll() is not None, 300)
    worker = psutil.Process(process.pid).children()[0]
    worker.kill()
    psutil.wait_procs([worker], timeout=20)
    before = finished()
    until(lambda: finished() >= before + 16 or process.poll() is not None, 300)
    assert process.poll() is None, process.communicate()[1]
    workers = psutil.Process(process.pid).children()
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive  # nothing of it keeps on writing
    # What a kill in the middle of writing leaves: files that end anywhere.
    for name in ("table.csv", "crystals.extxyz"):
        text = (run / name).read_text()
        (run / name).write_text(text[: -len(text) // 20])
    with (run / "table.csv").open() as file:
        lines = list(csv.DictReader(file))[:-1]
    kept = {f"{line['id']}.cif": (run / line["cif"]).read_bytes() for line in lines}
    assert 16 <= len(kept) < 240

    request = CrystalBatch.from_formulas(FORMULAS)
    with pytest.raises(RunError, match="another recipe"):
        sample_in_parallel(request, 79, run, progress=False, **how)
    sample_in_parallel(request, 80, run, workers=1, progress=False, **how)
    made = crystals(run)
    lost = sum((run / "cif" / name).read_bytes() != data for name, data in kept.items())
    record_property("crystals_finished", len(kept))
    record_property("crystals_lost", lost)
    assert lost == 0 and len(made) == 240 and list(made) == sorted(made)
    again = sample_in_parallel(request, 80, run, workers=1, progress=False, **how)
    assert crystals(again).keys() == made.keys()


def test_crystals_of_any_order_are_put_into_that_of_the_request(
    tiny_ldm: LDMModule, tmp_path: Path
) -> None:
    result = tiny_ldm.sample(a_request(), 3, **OPTIONS)
    files = CrystalFiles(tmp_path, result.recipe)
    files.add(result[torch.arange(9).roll(4)])
    with (tmp_path / "table.csv").open("ab") as file:
        file.write("cut short, Å".encode()[:-1])
    files = CrystalFiles(tmp_path, result.recipe)
    before = crystals(tmp_path)
    assert list(before) != sorted(before)
    files.sort()
    after = crystals(tmp_path)
    frames = read(tmp_path / "crystals.extxyz", index=":")
    assert list(after) == sorted(before) and same(before, after)
    assert [atoms.info["id"] for atoms in frames] == [one.info["id"] for one in after.values()]
    assert CrystalFiles(tmp_path, {}).done == set(after)


def test_a_request_file(model: str, clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = clone / "many.yaml"
    text = f"""
        ldm_ckpt: {model}
        formula: [NaCl, "Na?"]
        conditions: {{band_gap: [1, 3]}}
        forbidden: [Sr]
        num_samples: 2
        sampling: {{sampling_steps: 2, seed: 3}}
        piece_size: 2
        """
    file.write_text(text)
    main(["sample", str(file), "--workers", "1"], standalone_mode=False)
    assert capsys.readouterr().out.splitlines()[-1] == str(clone / "runs" / "many")
    made = crystals(clone / "runs" / "many")
    assert set(made) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert not any("Sr" in atoms.symbols for atoms in made.values())

    wrong = {
        "Did you mean 'num_samples'": {"num_sample": 3, "num_samples": 3},
        "The key 'num_samples'": {"formula": "NaCl"},
        "p1_cif must be true or false": {"num_samples": 3, "p1_cif": 1},
        "num_samples must be a whole number": {"num_samples": True},
        "no setting 'wanted'": {"num_samples": 1, "sampling": {"wanted": 1}},
        "no setting 'sed'. Did you mean 'seed'": {"num_samples": 1, "sampling": {"sed": 1}},
        "workers must be a whole number of at least 1": {"num_samples": 1, "workers": 0},
        "piece_size must be": {"num_samples": 1, "piece_size": 0},
        "no cluster 'slum'. Did you mean 'slurm'": {"num_samples": 1, "dask": {"cluster": "slum"}},
    }
    for told, content in wrong.items():
        with pytest.raises((ConfigError, RequestError), match=told):
            run_request({"ldm_ckpt": model, "run_dir": str(clone / "x"), **content}, progress=False)
    assert not (clone / "x").exists()
