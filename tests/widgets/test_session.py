"""What a workbench has made outlives its kernel: folders of requests, and their history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from crystal_ldm.widgets import Workbench
from crystal_ldm.widgets.crystal_entry import CrystalEntry
from crystal_ldm.widgets.session import Session

from crystal_ldm.recipe import from_recipe
from crystal_ldm.runs.generate import generate, make_request
from tests.widgets.crystals import perovskite

QUICK = {"sampling_steps": 2}


@pytest.fixture
def run_dir(tiny_ldm: Any, tmp_path: Path) -> Path:
    generate(tiny_ldm, make_request("NaCl"), tmp_path / "run", 2, progress=False, **QUICK)
    return tmp_path / "run"


def press_generate(bench: Workbench, count: int) -> None:
    bench.generate.form.num_samples = count
    bench.generate.generate()
    assert bench.generate.job.wait(60) and bench.generate.job.state == "done"


def test_all_that_was_made_is_there_again(tiny_ldm: Any, run_dir: Path) -> None:
    bench = Workbench(tiny_ldm, run_dir=run_dir, keywords=QUICK)
    bench.generate.form.formula.text = "SrTiO3"
    bench.generate.form.conditions.values = {"band_gap": 2.6}
    press_generate(bench, 7)
    bench.tabs.selected_index = 3
    bench.vary.first.take("mine", perovskite())
    bench.vary.num_samples = 2
    bench.vary.vary()
    assert bench.vary.job.wait(60) and bench.vary.job.state == "done", bench.vary.job.error
    assert bench.count == 2 + 7 + 2
    words = [request.words for request in bench.history.requests]
    assert words == ["Varied SrTiO3, 2", "SrTiO3, band gap 2.6, 7, explore"]
    again = Workbench(tiny_ldm, run_dir=run_dir)
    assert again.count == bench.count
    for before, after in zip(bench.crystals, again.crystals, strict=True):
        assert after.structure.lattice.abc == pytest.approx(before.structure.lattice.abc, abs=1e-4)
        assert (after.origin, after.row, after.number) == (before.origin, before.row, before.number)
        assert after.recipe is not None
    # What lies on disk is a run like any other.
    session = Session(run_dir)
    (request, _) = session.requests()
    made = from_recipe(request.folder / "run" / "recipe.json", tiny_ldm)
    assert len(made) == 7
    assert len(list((request.folder / "run" / "cif").glob("*.cif"))) == 7


def test_the_history_hides_deletes_and_reuses(tiny_ldm: Any, run_dir: Path) -> None:
    bench = Workbench(tiny_ldm, run_dir=run_dir, keywords=QUICK)
    bench.generate.form.formula.text = "ZnS"
    bench.generate.form.seed.seed = 5
    press_generate(bench, 3)
    (request,) = bench.history.requests
    bench.history.hide(request)
    assert bench.count == 2 and bench.history.requests[0].hidden
    assert Workbench(tiny_ldm, run_dir=run_dir).count == 2
    bench.history.hide(bench.history.requests[0], hidden=False)
    assert bench.count == 5
    form = bench.generate.form
    form.formula.text = "NaCl"
    bench.history.reuse(request)
    assert (form.formula.text, form.num_samples, form.seed.seed) == ("ZnS", 3, 5)
    bench.history.delete(request)
    assert bench.count == 2 and not request.folder.exists() and bench.history.requests == []


def test_what_was_stopped_is_kept(tiny_ldm: Any, run_dir: Path) -> None:
    bench = Workbench(tiny_ldm, run_dir=run_dir, keywords=QUICK)
    bench.generate.on_result(lambda _: bench.generate.stop())
    bench.generate.form.num_samples = 500
    bench.generate.form.formula.text = "NaCl"
    bench.generate.generate()
    assert bench.generate.job.wait(60) and bench.generate.job.state == "stopped"
    finished = bench.generate.made
    assert 0 < finished < 500
    assert Workbench(tiny_ldm, run_dir=run_dir).count == 2 + finished


def test_a_request_that_is_refused_leaves_no_folder(tiny_ldm: Any, run_dir: Path) -> None:
    session = Session(run_dir)
    with pytest.raises(ValueError, match="no setting 'steps'"):
        session.open_run("wrong", tiny_ldm, make_request("NaCl"), 1, {"steps": 3})
    assert session.requests() == []


def test_a_damaged_request_does_not_hide_the_others(tiny_ldm: Any, run_dir: Path) -> None:
    session = Session(run_dir)
    session.keep("Relaxed SrTiO3", [CrystalEntry(perovskite(), "relaxed", facts={"hull": 0.1})])
    broken = session.keep("Relaxed SrTiO3", [CrystalEntry(perovskite(), "relaxed")])
    (broken.folder / "crystals.json").write_text("[{")
    bench = Workbench(tiny_ldm, run_dir=run_dir)
    assert bench.count == 3 and bench.gallery.rows[2]["hull"] == 0.1
    assert "is damaged" in bench.notice.text
