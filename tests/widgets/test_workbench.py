"""Generating, exporting and exploring with a real, tiny model."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crystal_ldm.widgets import (
    GeneratePanel,
    TrajectoryPlayer,
    Workbench,
)
from crystal_ldm.widgets.crystal_entry import CrystalEntry, from_result, from_run, trajectory_of
from crystal_ldm.widgets.viewers.trajectory import TrajectorySteps

from crystal_ldm.runs.generate import generate, make_request
from tests.widgets.crystals import perovskite

QUICK = {"sampling_steps": 2}


@pytest.fixture
def panel(tiny_ldm: Any) -> GeneratePanel:
    made = GeneratePanel(tiny_ldm)
    made.show_request(request=make_request("SrTiO3"), keywords=QUICK)
    made.form.num_samples = 9
    return made


# -- generate ------------------------------------------------------------------------------------


def test_lots_are_the_crystals_of_one_call(panel: GeneratePanel, tiny_ldm: Any) -> None:
    lots: list[Any] = []
    panel.on_result(lots.append)
    panel.form.seed.seed = 5
    panel.generate()
    assert panel.job.wait(60) and panel.job.state == "done"
    assert len(lots[0]) == 4 and len(lots) > 1, "the first crystals come before the rest"
    together = type(lots[0]).cat(lots).in_order()
    alone = tiny_ldm.sample(make_request("SrTiO3"), 9, seed=5, **QUICK)
    assert (together.crystals.frac_coords - alone.crystals.frac_coords).abs().max() < 1e-4
    assert together.recipe["sampling"]["num_samples"] == 9
    assert panel.made == 9
    assert panel.status.text.startswith("9 crystals in ")
    assert panel.form.seed.last == 5 and panel.form.seed.seed != 5


def test_stop_keeps_what_is_finished(panel: GeneratePanel) -> None:
    lots: list[Any] = []
    panel.on_result(lots.append)
    panel.on_result(lambda _: panel.job.stop())
    panel.form.num_samples = 500
    panel.generate()
    assert not panel.halt.disabled and panel.go.disabled
    assert panel.go.tooltip == "Crystals are being made."
    assert panel.job.wait(60) and panel.job.state == "stopped"
    assert sum(map(len, lots)) == panel.made == 4
    assert panel.status.text == "Stopped: 4 of 500 crystals were finished and are kept."
    assert panel.halt.disabled and not panel.go.disabled
    assert (panel.halt.tooltip, panel.go.tooltip) == ("Nothing is running.", "Make crystals")


def test_stop_works_in_the_middle_of_a_lot(panel: GeneratePanel) -> None:
    reached = threading.Event()
    panel.form.sampling.field("sampling_steps").value = 1000
    panel.job.observe(lambda _: reached.set(), "message")
    panel.generate()
    assert reached.wait(60)
    panel.job.stop()
    assert panel.job.wait(10) and panel.job.state == "stopped" and panel.made == 0


def test_an_error_is_one_sentence_and_the_panel_goes_on(panel: GeneratePanel) -> None:
    panel.form.formula.text = "UO2"
    assert panel.go.disabled and "U is not among" in panel.go.tooltip
    panel.go.click()
    assert panel.notice.level == "error" and "U is not among" in panel.notice.text
    panel.form.formula.text = "NaCl"
    panel.go.click()
    assert panel.job.wait(60) and panel.job.state == "done" and panel.notice.text == ""


def test_an_error_in_the_thread_is_one_sentence(panel: GeneratePanel) -> None:
    def fail(_: Any) -> None:
        raise OSError("No space left on device")

    panel.on_result(fail)
    panel.generate()
    assert panel.job.wait(60) and panel.job.state == "failed"
    assert panel.status.text == "This did not work (OSError): No space left on device"
    assert not panel.go.disabled


# -- the workbench -------------------------------------------------------------------------------


def test_it_opens_with_the_run_and_the_next_seed_is_another(bench: Workbench) -> None:
    form = bench.generate.form
    assert (bench.gallery.count, bench.gallery.selected) == (3, 0)
    assert form.formula.text == "SrTiO3" and form.conditions.values == {"band_gap": 2.3}
    assert form.num_samples == 3 and form.settings().solver.steps == 2
    assert form.seed.last == 0 and form.seed.seed != 0


def test_generate_adds_and_selects_the_first_new_crystal(bench: Workbench) -> None:
    bench.generate.form.formula.text = "NaCl"
    bench.generate.generate()
    assert bench.generate.job.wait(60)
    assert bench.gallery.count == len(bench.gallery.structures) == 6
    assert bench.gallery.selected == bench.gallery.selected == 3
    assert bench.gallery.viewer.structure.composition.reduced_formula == "NaCl"
    bench.gallery.clear()
    assert (bench.gallery.count, bench.gallery.selected, bench.gallery.current) == (0, None, None)


def test_tabs_are_made_when_they_are_opened(bench: Workbench, until: Callable[..., None]) -> None:
    assert [len(tab.children) for tab in bench.tabs.children] == [1, 0, 0, 0, 0, 0, 0, 0]
    for index in range(8):
        bench.tabs.selected_index = index
        assert bench.notice.text == ""
    assert [len(tab.children) for tab in bench.tabs.children] == [1] * 8
    assert bench.compare.first is bench.gallery.structure
    bench.tabs.selected_index = 1
    until(lambda: bench.denoising.player.structure is bench.gallery.entries[0].structure)
    assert bench.denoising.player.num_frames == 3
    bench.gallery.selected = 2
    until(lambda: bench.denoising.player.structure is bench.gallery.entries[2].structure)


def test_compared_crystals_say_where_they_come_from(bench: Workbench) -> None:
    bench.tabs.selected_index = 2
    assert bench.compare.first_name == bench.gallery.viewer.title
    bench.other.take("my.cif", perovskite())
    assert bench.compare.second_name == "SrTiO3 (my.cif)"
    bench.other.take("Selected crystal", None)
    assert bench.compare.second is bench.other.structure, "the last one stays"
    bench.gallery.selected = 1
    assert bench.compare.first is bench.gallery.entries[1].structure


def test_a_trajectory_leads_to_its_crystal(tiny_ldm: Any) -> None:
    result = tiny_ldm.sample(make_request("??O3"), 5, sampling_steps=6, seed=1)
    made = from_result(result)[3]
    frames = trajectory_of(tiny_ldm, made)
    assert len(frames) == 6 and len(frames[0].crystals) == 1
    recorded = tiny_ldm.sample(make_request("??O3"), 5, sampling_steps=6, seed=1, trajectory=True)
    alone, among = frames[-1].crystals, recorded.trajectory[-1].crystals[[3]]
    assert (alone.atomic_numbers == among.atomic_numbers).all()
    assert (alone.lattices - among.lattices).abs().max() < 1e-3
    player = TrajectoryPlayer()
    player.show(TrajectorySteps.from_frames(frames, made.structure))
    assert player.num_frames == 7 and player.structure is made.structure
    assert player.position.value == "step 6 of 6, noise 0 %"
    *_, confidence, noise = player.steps.curves.values()
    assert all(0 <= v <= 1 for v in confidence[:-1])
    assert all(v > 0 for v in noise[:-1])
    player.slider.value = 0
    assert player.position.value.startswith("step 0 of 6, noise ")


def test_varied_crystals_have_no_denoising(bench: Workbench, until: Callable[..., None]) -> None:
    bench.gallery.add([CrystalEntry(perovskite(), "varied")])
    bench.tabs.selected_index = 1
    until(lambda: bench.denoising.player.num_frames)
    bench.gallery.selected = 3
    until(lambda: "no denoising to show" in bench.denoising.notice.text)
    assert bench.denoising.player.num_frames == 0


def test_a_finished_run_is_shown(tiny_ldm: Any, tmp_path: Path) -> None:
    request = make_request("NaCl", conditions={"band_gap": 1.5})
    generate(tiny_ldm, request, tmp_path, 3, progress=False, **QUICK)
    bench = Workbench(tiny_ldm, run_dir=tmp_path)
    assert bench.gallery.count == 3 and bench.generate.form.formula.text == "NaCl"
    assert bench.gallery.rows[0]["target_band_gap"] == 1.5
    assert "displacement" not in bench.gallery.rows[0], "no atom was moved"
    assert from_run(tmp_path / "nothing") == []
