"""What a workbench has made outlives its kernel: folders of requests, and their history."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import plotly.io as pio
import pytest
from crystal_ldm.widgets import Workbench
from crystal_ldm.widgets.crystal_entry import CrystalEntry
from crystal_ldm.widgets.session import Request, Session
from crystal_ldm.widgets.workbench import TABS

from crystal_ldm.nn.checkpoints import save_safetensors
from crystal_ldm.recipe import from_recipe
from crystal_ldm.runs.generate import generate, make_request
from crystal_ldm.runs.requests import FOLDER
from crystal_ldm.sampling.sample import place_order
from tests.widgets.crystals import perovskite, rock_salt

QUICK = {"sampling_steps": 2}


@pytest.fixture
def run_dir(tiny_ldm: Any, tmp_path: Path) -> Path:
    generate(tiny_ldm, make_request("NaCl"), tmp_path / "run", 2, progress=False, **QUICK)
    return tmp_path / "run"


def press_generate(bench: Workbench, count: int) -> None:
    bench.generate.form.num_samples = count
    bench.generate.generate()
    assert bench.generate.job.wait(60) and bench.generate.job.state == "done"


def press_reuse(bench: Workbench, place: int) -> None:
    (press, *_) = bench.history.lines.children[place].children[1].children[1:]
    assert press.description == "Reuse"
    press.click()
    assert bench.history.notice.text == ""


def test_crystals_that_cannot_be_written_are_shown_all_the_same(
    tiny_ldm: Any, run_dir: Path
) -> None:
    bench = Workbench(tiny_ldm, run_dir=run_dir, keywords=QUICK)
    bench.tabs.selected_index = 3
    (run_dir / FOLDER).write_text("a file where the folder of the requests should be")
    bench.vary.first.take("mine", perovskite())
    bench.vary.num_samples = 2
    bench.vary.vary()
    assert bench.vary.job.wait(60) and bench.vary.job.state == "failed"
    assert bench.vary.notice.level == "error" and FOLDER in bench.vary.notice.text
    assert bench.gallery.count == 2 + 2 and bench.vary.player.num_frames == 2
    bench.generate.go.click()
    assert bench.generate.notice.level == "error" and not bench.generate.job.busy
    assert not bench.generate.go.disabled


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
    assert bench.gallery.count == 2 + 7 + 2
    words = [request.words for request in bench.history.requests]
    assert words == ["Varied SrTiO3, 2", "SrTiO3, band gap 2.6, 7, explore"]
    again = Workbench(tiny_ldm, run_dir=run_dir)
    assert again.gallery.count == bench.gallery.count
    for before, after in zip(bench.gallery.entries, again.gallery.entries, strict=True):
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
    assert bench.gallery.count == 2 and bench.history.requests[0].hidden
    assert Workbench(tiny_ldm, run_dir=run_dir).gallery.count == 2
    bench.history.hide(bench.history.requests[0], hidden=False)
    assert bench.gallery.count == 5
    form = bench.generate.form
    form.formula.text = "NaCl"
    press_reuse(bench, 0)
    assert (form.formula.text, form.num_samples, form.seed.seed) == ("ZnS", 3, 5)
    bench.history.delete(request)
    assert bench.gallery.count == 2 and not request.folder.exists() and bench.history.requests == []


def test_what_was_stopped_is_kept(tiny_ldm: Any, run_dir: Path) -> None:
    bench = Workbench(tiny_ldm, run_dir=run_dir, keywords=QUICK)
    bench.generate.on_result(lambda _: bench.generate.job.stop())
    bench.generate.form.num_samples = 500
    bench.generate.form.formula.text = "NaCl"
    bench.generate.generate()
    assert bench.generate.job.wait(60) and bench.generate.job.state == "stopped"
    finished = bench.generate.made
    assert 0 < finished < 500
    again = Workbench(tiny_ldm, run_dir=run_dir)
    assert again.gallery.count == 2 + finished
    for history in (bench.history, again.history):
        words = history.lines.children[0].children[0].children[1].value
        assert words == f"NaCl, 500, explore: {finished} of 500 are there"
    press_generate(again, 3)
    assert again.history.lines.children[0].children[0].children[1].value == "NaCl, 3, explore"


def test_vary_and_host_are_reused_in_their_forms(tiny_ldm: Any, run_dir: Path) -> None:
    bench = Workbench(tiny_ldm, run_dir=run_dir, keywords=QUICK)
    vary, host = bench.vary, bench.host
    vary.first.take("mine", perovskite())
    vary.num_samples, vary.strength, vary.keep_elements, vary.seed.seed = 2, 0.3, False, 7
    vary.vary()
    assert vary.job.wait(60) and vary.job.state == "done", vary.job.error
    host.source.take("mine", perovskite())
    host.kept, host.replaced, host.rest = [0, 1, 2, 3], {1: "Fe"}, "S"
    host.num_samples, host.cell, host.seed.seed = 3, "free", 8
    host.generate()
    assert host.job.wait(60) and host.job.state == "done", host.job.error
    bench._keep("Relaxed", [CrystalEntry(perovskite(), "relaxed")])
    assert len(bench.history.lines.children[0].children[1].children) == 4, "no recipe, no Reuse"
    again = Workbench(tiny_ldm, run_dir=run_dir)
    press_reuse(again, 2)
    assert again.tabs.selected_index == TABS.index("Vary")
    assert again.vary.first.structure.composition.reduced_formula == "SrTiO3"
    asked = again.vary.num_samples, again.vary.strength, again.vary.keep_elements
    assert (*asked, again.vary.seed.seed) == (2, 0.3, False, 7)
    press_reuse(again, 1)
    assert again.tabs.selected_index == TABS.index("Host")
    host = again.host
    assert (host.kept, host.replaced, host.rest) == ([0, 1, 2, 3], {1: "Fe"}, "S")
    assert (host.num_samples, host.cell, host.seed.seed) == (3, "free", 8)
    host.generate()
    assert host.job.wait(60) and host.job.state == "done", host.job.error
    first, second = (bench.gallery.entries[4].structure, again.gallery.entries[-3].structure)
    assert abs(first.frac_coords - second.frac_coords).max() < 1e-3, "the same crystals again"


def test_a_request_that_is_refused_leaves_no_folder(tiny_ldm: Any, run_dir: Path) -> None:
    session = Session(run_dir)
    with pytest.raises(ValueError, match="no setting 'steps'"):
        session.open_run("wrong", place_order(tiny_ldm, make_request("NaCl"), 1, {"steps": 3}))
    assert session.requests() == []


def test_a_damaged_request_does_not_hide_the_others(tiny_ldm: Any, run_dir: Path) -> None:
    session = Session(run_dir)
    session.keep("Relaxed SrTiO3", [CrystalEntry(perovskite(), "relaxed", facts={"hull": 0.1})])
    broken = session.keep("Relaxed SrTiO3", [CrystalEntry(perovskite(), "relaxed")])
    (broken.folder / "crystals.json").write_text("[{")
    bench = Workbench(tiny_ldm, run_dir=run_dir)
    assert bench.gallery.count == 3 and bench.gallery.rows[2]["hull"] == 0.1
    assert "is damaged" in bench.notice.text


def test_favourites_and_notes_are_kept(tiny_ldm: Any, run_dir: Path) -> None:
    session = Session(run_dir)
    first, second = (session.keep(words, [CrystalEntry(perovskite())]) for words in ("one", "two"))
    history = Workbench(tiny_ldm, run_dir=run_dir).history
    history.favour(first)
    history.annotate(second, " for the talk ")
    again = Workbench(tiny_ldm, run_dir=run_dir).history.requests
    assert [(one.words, one.favourite, one.note) for one in again] == [
        ("one", True, ""),
        ("two", False, "for the talk"),
    ]
    history.favour(again[0], False)
    assert [one.words for one in history.requests] == ["two", "one"], "the newest first"
    # A request of before knows neither.
    (first.folder / "request.json").write_text('{"words": "old", "hidden": true}')
    assert session.requests()[0] == Request(first.folder, "old", hidden=True)


def test_two_requests_are_compared(tiny_ldm: Any, run_dir: Path, until: Any) -> None:
    session = Session(run_dir)
    off = perovskite(0.9)
    session.keep("Perovskites", [CrystalEntry(s) for s in (perovskite(), perovskite(4.0), off)])
    session.keep("Salts", [CrystalEntry(rock_salt(), facts={"band_gap": 5.0})])
    history = Workbench(tiny_ldm, run_dir=run_dir).history
    salts, perovskites = history.requests
    history.compare(salts)
    assert "second request" in history.comparison.notice.text
    history.compare(perovskites)
    until(lambda: history.comparison.body.layout.display is None, 60)
    (first, salt), (second, three) = history.comparison.compared
    assert (first, second) == ("Salts", "Perovskites") and salt[0]["formula"] == "NaCl"
    assert [(one["physical"], one["unique"]) for one in three] == [
        (True, True), (True, False), (False, False)
    ]  # fmt: skip
    text = history.comparison.text.value
    assert all(said in text for said in ("SrTiO3 100%", "Fm-3m (225) 100%", "67%", "33%"))
    assert ("Gap", "band_gap") in history.comparison.menu.options
    history.comparison.menu.value = "band_gap"
    bars = pio.from_json(history.comparison.plot.spec).data
    assert [list(one.x or ()) for one in bars] == [[5.0], []]
    history.delete(salts)
    assert history.compared == [perovskites.folder.name]


@pytest.mark.fault
def test_none_that_was_shown_is_lost_when_the_kernel_is_killed(
    tmp_path: Path, tiny_ldm: Any
) -> None:
    """A real process makes 500 crystals and is killed, not asked, in the middle of it."""
    model = tmp_path / "model.safetensors"
    save_safetensors(tiny_ldm, model, half=False)
    generate(tiny_ldm, make_request("NaCl"), tmp_path / "run", 2, progress=False, **QUICK)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(model), str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        text=True,
    )
    shown: list[tuple[int, int]] = []
    assert process.stdout is not None
    for line in process.stdout:
        shown += [tuple(place) for place in json.loads(line)]
        if len(shown) > 60:
            process.kill()
            break
    process.stdout.close()
    assert process.wait(30) == -signal.SIGKILL
    again = Workbench(tiny_ldm, run_dir=tmp_path / "run")
    there = {(entry.row, entry.number) for entry in again.gallery.entries[2:]}
    assert 60 < len(shown) < 500 and set(shown) <= there
    # What is there are the crystals that one call makes, and the request is ready to go on.
    (request,) = Session(tmp_path / "run").requests()
    alone = tiny_ldm.sample(make_request("NaCl"), 500, seed=3, **QUICK)
    entry = again.gallery.entries[2 + 50]
    made = alone.to_structures()[entry.number]
    assert entry.structure.volume == pytest.approx(made.volume, rel=1e-3)
    assert request.words.startswith("NaCl")


KILLED = """
import json, sys, threading
from crystal_ldm.widgets import Workbench
from crystal_ldm.pretrained import load_model

bench = Workbench(load_model(sys.argv[1]), run_dir=sys.argv[2], keywords={"sampling_steps": 2})
form = bench.generate.form
form.formula.text, form.num_samples, form.seed.seed = "NaCl", 500, 3
told = 0

def tell(change):
    global told
    new, told = bench.gallery.entries[told : change.new], change.new
    print(json.dumps([[one.row, one.number] for one in new]), flush=True)

told = bench.gallery.count
bench.gallery.observe(tell, "count")
bench.generate.generate()
bench.generate.job.wait()
"""
"""Opens a workbench, presses Generate, and says which crystals the table shows as it does so."""
