"""Results on disk: whole crystals only, continued after a kill, read by others."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pymatgen.core import Structure

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.geometry.distances import min_distance
from crystal_ldm.errors import CrystalLDMError, RequestError, RunError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.nn.checkpoints import save_safetensors
from crystal_ldm.recipe import from_recipe
from crystal_ldm.runs.crystal_files import CrystalFiles
from crystal_ldm.runs.generate import generate, last_run, make_request
from crystal_ldm.runs.requests import Requests
from crystal_ldm.runs.sample_run import SampleRun
from crystal_ldm.runs.table import COLUMNS
from crystal_ldm.sampling.sample import place_order


@pytest.fixture
def request_batch() -> CrystalBatch:
    return CrystalBatch.from_formulas(["SrTiO3", "NaCl"], band_gap=[2.0, None])


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "table.csv").open() as file:
        return list(csv.DictReader(file))


def test_everything_is_written_and_agrees(
    tiny_ldm: LDMModule, request_batch: CrystalBatch, tmp_path: Path
) -> None:
    from ase.io import read

    generate(tiny_ldm, request_batch, tmp_path, 3, sampling_steps=2, p1_cif=True, progress=False)
    rows = table(tmp_path)
    assert set(COLUMNS) <= set(rows[0]) and len(rows) == 6
    frames = read(tmp_path / "crystals.extxyz", index=":")
    assert [a.info["id"] for a in frames] == [r["id"] for r in rows]
    assert sorted(r["formula"] for r in rows) == ["NaCl"] * 3 + ["SrTiO3"] * 3
    assert {r["target_band_gap"] for r in rows} == {"", "2.0"}
    for row, atoms in zip(rows, frames, strict=True):
        raw = Structure.from_file(tmp_path / row["cif"].replace("cif/", "cif_p1/"))
        assert len(raw) == len(atoms) == int(row["num_atoms"])
        assert float(row["min_distance"]) == pytest.approx(min_distance(raw), abs=1e-3)
    recipe = json.loads((tmp_path / "recipe.json").read_text())
    assert recipe["sampling"]["num_samples"] == 3


def test_a_continued_run_makes_only_what_is_missing(
    tiny_ldm: LDMModule, request_batch: CrystalBatch, tmp_path: Path
) -> None:
    options = {"sampling_steps": 2, "batch_size": 2, "progress": False}
    whole = generate(tiny_ldm, request_batch, tmp_path / "whole", 3, **options)
    parts = tmp_path / "parts"
    with (
        pytest.raises(KeyboardInterrupt),
        SampleRun.open(
            parts, place_order(tiny_ldm, request_batch, 3, {"sampling_steps": 2})
        ) as first,
    ):
        batches = tiny_ldm.iter_sample(request_batch, 3, sampling_steps=2, batch_size=2)
        first.files.add(next(batches))
        raise KeyboardInterrupt
    # What a kill or a bad disk leaves: a line cut short, a frame without its line, a wrong count of
    # atoms, a CIF without either.
    with (parts / "table.csv").open("a") as file:
        file.write("001-00002-NaCl,NaCl,2,P")
    with (parts / "crystals.extxyz").open("a") as file:
        file.write('2\nLattice="1 0 0 0 1 0 0 0 1" id=lost\nNa 0 0 0\n9999999999\n')
    (parts / "cif" / "lost.cif").write_text("data_lost")

    made: list[int] = []
    second = generate(
        tiny_ldm, request_batch, parts, 3, on_batch=lambda r: made.append(len(r)), **options
    )
    assert sum(made) == 4
    assert sorted(r["id"] for r in second.rows) == sorted(r["id"] for r in whole.rows)
    assert len(table(parts)) == 6
    text = (parts / "crystals.extxyz").read_text()
    assert "lost" not in text and text.count("Lattice") == 6
    again = generate(tiny_ldm, request_batch, parts, 3, **options)
    assert len(again.rows) == 6


@pytest.mark.slow
def test_a_cif_makes_its_crystal_again(
    tiny_ldm: LDMModule, request_batch: CrystalBatch, tmp_path: Path
) -> None:
    save_safetensors(tiny_ldm, tmp_path / "model.safetensors", half=False)
    ldm = LDMModule.load_from_checkpoint(tmp_path / "model.safetensors")
    run = generate(
        ldm, request_batch, tmp_path / "run", 2, sampling_steps=2, p1_cif=True, progress=False
    )
    row = run.rows[1]
    again = from_recipe(tmp_path / "run" / row["cif"])
    assert (int(again.row[0]), int(again.number[0])) == (int(row["row"]), int(row["number"]))
    raw = Structure.from_file(tmp_path / "run" / row["cif"].replace("cif/", "cif_p1/"))
    (structure,) = again.to_structures()
    assert raw.lattice.abc == pytest.approx(structure.lattice.abc, rel=1e-3)


@pytest.mark.slow
def test_a_killed_process_loses_no_finished_crystal(
    tiny_ldm: LDMModule,
    tmp_path: Path,
    python: Callable[..., subprocess.Popen[str]],
    until: Callable[..., None],
) -> None:
    save_safetensors(tiny_ldm, tmp_path / "model.safetensors", half=False)
    run = tmp_path / "run"
    process = python(f"""
        from crystal_ldm.crystals import CrystalBatch
        from crystal_ldm.pretrained import load_model
        from crystal_ldm.runs.generate import generate
        ldm = load_model({str(tmp_path / "model.safetensors")!r})
        request = CrystalBatch.from_formulas(["NaCl"])
        generate(ldm, request, {str(run)!r}, 100000, sampling_steps=1, batch_size=32)
    """)
    until(lambda: (run / "table.csv").is_file() and len(table(run)) >= 6, 300)
    process.kill()
    process.wait()
    lines = (run / "table.csv").read_text().count("\n") - 1
    assert len(CrystalFiles(run, {}).rows) >= min(lines, 6)
    for row in table(run):
        assert (run / row["cif"]).is_file()


def test_a_directory_without_rights_is_one_sentence(
    tiny_ldm: LDMModule, tmp_path: Path, without_rights: Callable[..., str]
) -> None:
    result = tiny_ldm.sample(CrystalBatch.from_formulas(["NaCl"]), 1, sampling_steps=1)
    (tmp_path / "run").mkdir(mode=0o755)
    answer = without_rights(lambda: CrystalFiles(tmp_path / "run", result.recipe).add(result))
    assert answer.startswith("RunError") and "\n" not in answer


def test_the_shortest_distance_counts_images() -> None:
    from pymatgen.core import Lattice

    rock_salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    assert min_distance(rock_salt.get_primitive_structure()) == pytest.approx(2.82)

    skewed = Structure(Lattice([[3, 0, 0], [2.9, 1.0, 0], [0, 0, 8]]), ["Fe"], [[0, 0, 0]])
    assert min_distance(skewed) == pytest.approx(math.hypot(0.1, 1.0), abs=1e-6)


def test_parameters_become_requests() -> None:
    assert make_request() is None
    assert make_request("SrTiO3", 2, conditions={"band_gap": None}).num_atoms.tolist() == [10]
    assert make_request(num_atoms=[3, 4], conditions={"band_gap": 1.0}).num_atoms.tolist() == [3, 4]
    with pytest.raises(RequestError, match="not both"):
        make_request("SrTiO3", num_atoms=5)
    with pytest.raises(RequestError, match="how large"):
        make_request(conditions={"band_gap": 1.0})
    for how in ({"formula": "Sr?O3"}, {"num_atoms": 5}):  # as arguments are called
        named = dict.fromkeys(("required", "formula_units", "num_atoms", "cls"), 1.0)
        request = make_request(**how, conditions=named)
        assert request is not None and request.conditions.keys() == named.keys()


def test_a_full_disk_keeps_what_is_there(tiny_ldm: LDMModule, tmp_path: Path) -> None:
    result = tiny_ldm.sample(CrystalBatch.from_formulas(["NaCl"]), 4, sampling_steps=1)
    files = CrystalFiles(tmp_path, result.recipe)
    files.add(result[torch.tensor([0, 1])])
    code = f"""
import resource, sys
from pathlib import Path
from crystal_ldm.files.writing import append_text
size = (Path({str(tmp_path)!r}) / "crystals.extxyz").stat().st_size
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, size + 10))
try:
    append_text(Path({str(tmp_path)!r}) / "crystals.extxyz", "x" * 100)
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("RunError") and "finished files are kept" in done.stdout
    assert len(CrystalFiles(tmp_path, {}).rows) == 2
    assert (tmp_path / "crystals.extxyz").read_text().count("Lattice") == 2


def test_importing_the_package_is_fast_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, time; t = time.perf_counter(); import crystal_ldm;"
        "heavy = [m for m in ('torch', 'pymatgen', 'plotly') if m in sys.modules];"
        "print(time.perf_counter() - t, heavy)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, heavy = out.stdout.split(" ", 1)
    assert float(seconds) < 1.0 and heavy.strip() == "[]"


def test_errors_are_of_one_family() -> None:
    assert issubclass(RunError, CrystalLDMError) and issubclass(CrystalLDMError, ValueError)


def test_the_last_run_of_a_workbench_is_found_by_its_request(
    tiny_ldm: LDMModule, clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    salt, quick = make_request("NaCl"), {"sampling_steps": 2}
    run = generate(tiny_ldm, salt, "", 2, progress=False, **quick)
    assert last_run(tiny_ldm, salt, 2, **quick) == "", "nothing was made by hand there"
    Requests(run.path).add("SrTiO3, 16")
    generate(tiny_ldm, salt, "", 2, progress=False, **quick)
    assert last_run(tiny_ldm, salt, 2, **quick) == str(run.path)
    assert last_run(tiny_ldm, salt, 3, **quick) == last_run(tiny_ldm, None, 2, **quick) == ""
    assert last_run(tiny_ldm, salt, 2, symprec=0.2, **quick) == ""
    assert generate(tiny_ldm, salt, str(run.path), 2, **quick).path == run.path
    assert "2 of 2 crystals are there already.\n" in capsys.readouterr().out


def test_a_number_is_given_to_one_request_alone(tmp_path: Path) -> None:
    first, second = (Requests(tmp_path).add(words) for words in ("NaCl", "KCl"))
    Requests(tmp_path).delete(second)
    third = Requests(tmp_path).add("KCl")  # as after a restart
    (tmp_path / "workbench" / "9999-KCl").mkdir()
    numbers = [Requests(tmp_path).add("KCl").folder.name for _ in range(2)]
    assert [first.folder.name, third.folder.name] == ["0001-NaCl", "0003-KCl"]
    assert numbers == ["10000-KCl", "10001-KCl"]
    assert [r.folder.name for r in Requests(tmp_path).requests()][2:] == numbers


@pytest.mark.parametrize("symprec", [0, -1, float("nan"), "0.1", True, None, 11])
def test_a_tolerance_that_is_none_is_refused(
    symprec: object, tiny_ldm: LDMModule, tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match="symprec must be a number above 0 and at most 10 Å"):
        generate(tiny_ldm, None, tmp_path / "run", 1, symprec=symprec)  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_the_first_crystal_does_not_decide_what_the_table_says(
    tiny_ldm: LDMModule, tmp_path: Path
) -> None:
    result = tiny_ldm.sample(CrystalBatch.from_formulas(["NaCl"]), 2, sampling_steps=1)
    result.displacement = torch.tensor([math.nan, 0.25])  # the first was out of a group's reach
    CrystalFiles(tmp_path, result.recipe).add(result)
    assert [row["displacement"] for row in table(tmp_path)] == ["", "0.25"]
