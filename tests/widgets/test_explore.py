"""Round about a crystal: neighbours, grids, maps, comparison, and watching a training."""

from __future__ import annotations

import copy
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plotly.io as pio
import pytest
from crystal_ldm.widgets import (
    Compare,
    GeneratePanel,
    GridPanel,
    HostPanel,
    LatentMap,
    NearestInTraining,
    TrainingMonitor,
    VaryPanel,
    Workbench,
)
from crystal_ldm.widgets.crystal_entry import CrystalEntry
from crystal_ldm.widgets.explore.find import FindPanel
from crystal_ldm.widgets.explore.maker import CrystalSource
from crystal_ldm.widgets.export.code import python_code
from crystal_ldm.widgets.panels.rows import crystal_row
from crystal_ldm.widgets.workbench import TABS
from pymatgen.core import Structure

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.inputs import read_crystals
from crystal_ldm.errors import DataError
from crystal_ldm.evaluate.band_gap import estimate_band_gaps
from crystal_ldm.ldm_module.training_crystals import TrainingCrystals
from crystal_ldm.parallel import Workers
from crystal_ldm.recipe import from_recipe
from crystal_ldm.runs.generate import make_request
from tests.widgets.crystals import copper, perovskite, rock_salt

QUICK = {"sampling_steps": 2}


def test_vary_and_interpolate(tiny_ldm: Any) -> None:
    selected: list[Structure | None] = [None]
    panel = VaryPanel(
        tiny_ldm, lambda label: CrystalSource(label, {"Selected crystal": lambda: selected[0]})
    )
    made: list[CrystalEntry] = []
    panel.on_made(made.extend)
    panel.buttons[0].click()
    assert panel.notice.text == "Choose a crystal for the start, or drop a file."
    panel.first.take("selection", selected[0])
    assert "none" in panel.first.notice.text
    panel.first.read("POSCAR", perovskite().to(fmt="poscar").encode())
    panel.num_samples = 3
    panel.vary()
    assert panel.job.wait(60) and panel.job.state == "done", panel.job.error
    assert [m.origin for m in made] == ["varied"] * 3 and made[0].recipe is not None
    assert {m.structure.composition.reduced_formula for m in made} == {"SrTiO3"}
    assert made[0].columns["strength"] == 0.4
    panel.second.take("x", rock_salt())
    panel.interpolate()
    assert panel.job.wait(60) and panel.job.state == "failed"
    assert "as many atoms" in panel.notice.text and panel.notice.level == "error"
    panel.second.take("x", perovskite(4.1, ("Ca", "Ti", "O")))
    panel.steps = 4
    panel.interpolate()
    assert panel.job.wait(60) and panel.job.state == "done"
    assert panel.player.num_frames == 4 and len(made) == 7


def test_how_a_dropped_file_was_read_is_said() -> None:
    source = CrystalSource("Start")
    text = perovskite().to(fmt="cif")
    for name, content, note in (
        ("two.cif", f"{text}{text.replace('data_SrTiO3', 'data_other')}", "(other) are left out."),
        ("heavy.vasp", rock_salt().to(fmt="poscar").replace("Na", "D"), "read as hydrogen."),
    ):
        source.zone.on_message(None, {"name": name}, [content.encode()])
        assert source.notice.level == "warning"
        assert source.notice.text.startswith("Start: ") and source.notice.text.endswith(note)
    source.read("POSCAR", rock_salt().to(fmt="poscar").encode())
    assert source.notice.level == "good"


def test_a_new_message_of_the_host_tab_stands_alone(tiny_ldm: Any) -> None:
    panel = HostPanel(tiny_ldm)
    said, taken = panel.notice, panel.source.notice

    def drop(name: str, content: str) -> None:
        panel.source.zone.on_message(None, {"name": name}, [content.encode()])

    drop("salt.vasp", rock_salt().to(fmt="poscar"))
    panel.rest = "Xx2"
    panel.go.click()
    assert said.level == "error" and taken.level == "good"
    drop("broken.cif", "data_x")
    assert said.text == "" and taken.level == "error"
    panel.go.click()
    assert said.level == "error" and taken.level == "good" and "salt.vasp" in taken.text
    large = rock_salt().make_supercell([4, 4, 4])
    drop("large.vasp", large.to(fmt="poscar"))
    assert "choose a smaller cell" in said.text and "large.vasp" in taken.text
    drop("broken.cif", "data_x")
    assert said.text == "" and taken.level == "error"


def test_clicks_on_a_host_choose_the_atoms_that_stay(tiny_ldm: Any) -> None:
    panel = HostPanel(tiny_ldm)
    panel.source.take("perovskite", perovskite())
    viewer = panel.viewer
    drawn = Counter(viewer.scene.symbols[atom] for atom in viewer.marked)
    assert drawn == {"Sr": 8, "Ti": 1, "O": 6}, "at first all atoms stay, and all images stand out"
    assert panel.notice.text == ""
    strontium = viewer.scene.symbols.index("Sr")
    viewer.pick(strontium)
    assert panel.kept == [1, 2, 3, 4] and panel.boxes[0].value is False
    viewer.pick(strontium + 1)  # another image of the same atom
    assert panel.kept == [0, 1, 2, 3, 4]
    panel.boxes[2].value = False
    assert sorted(viewer.picked) == [0, 1, 3, 4] and viewer.said.text == ""
    viewer.cell = "symmetrised"
    viewer.pick(0)
    assert "cell as made" in panel.notice.text and panel.kept == [0, 1, 3, 4]
    viewer.cell = "as made"
    assert sorted(viewer.picked) == [0, 1, 3, 4]
    panel.source.take("copper", copper())
    assert panel.kept == [0] and viewer.picked == [0]


def test_atoms_of_a_host_stay(tiny_ldm: Any) -> None:
    panel = HostPanel(tiny_ldm)
    made: list[CrystalEntry] = []
    panel.on_made(made.extend)
    panel.go.click()
    assert panel.notice.text == "Choose a crystal for the host, or drop a file."
    host = perovskite(4.0)
    panel.source.read("host.cif", host.to(fmt="cif").encode())
    host = panel.source.structure
    assert panel.kept == [0, 1, 2, 3, 4] and panel.boxes[1].description.startswith("1  Ti  (0.50")
    panel.go.click()
    assert "Nothing is left to make" in panel.notice.text and panel.notice.level == "error"
    panel.boxes[4].value = False
    panel.elements[1].value = "Fe"
    assert panel.kept == [0, 1, 2, 3] and panel.replaced == {1: "Fe"}
    assert panel.elements[4].disabled
    panel.rest, panel.num_samples = "S", 3
    panel.go.click()
    assert panel.job.wait(60) and panel.job.state == "done", panel.job.error
    assert panel.player.num_frames == len(made) == 3
    for entry in made:
        assert [site.specie.symbol for site in entry.structure] == ["Sr", "Fe", "O", "O", "S"]
        apart = entry.structure.frac_coords[:4] - host.frac_coords[:4]
        assert abs(apart - apart.round()).max() < 1e-6
        assert entry.facts["displacement"] > 0 and entry.facts["failed"] == "host"
    recipe = {**made[1].recipe, "row": 0, "number": 1}
    assert "start=Host(keep=(0, 1, 2, 3), replace={1: 'Fe'}, rest='S')" in python_code(recipe)
    (again,) = from_recipe(json.dumps(recipe).encode(), tiny_ldm).to_structures()
    assert abs(again.frac_coords - made[1].structure.frac_coords).max() < 1e-3
    panel.kept, panel.replaced = [0, 2], {0: "?"}
    assert [box.value for box in panel.boxes] == [True, False, True, False, False]
    assert panel.elements[0].value == "?" and panel.elements[1].value == "Ti"
    panel.elements[0].value = "Xx"
    panel.go.click()
    assert "'Xx' is not an element symbol" in panel.notice.text


def test_grid(tiny_ldm: Any) -> None:
    panel = GeneratePanel(tiny_ldm)
    panel.show_request(request=make_request("NaCl"), keywords=QUICK)
    form = panel.form
    grid = GridPanel(tiny_ldm, lambda: form)
    grid.scales, grid.values, grid.num_samples = "0, 2", "1, 2, 3", 2
    grid.run()
    assert grid.job.wait(60) and grid.job.state == "done", grid.job.error
    assert set(grid.cells) == {(i, j) for i in range(3) for j in range(2)}
    sampling = grid.cells[2, 1].crystals[0].recipe["sampling"]
    assert (sampling["solver"]["steps"], sampling["guidance"]["scale"]) == (3, 2.0)
    assert (grid.left, grid.right) == ("group", "valid"), "no gap was asked for"
    groups, valid = pio.from_json(grid.plot.spec).data
    assert list(groups.x) == ["0", "2"] and list(valid.y) == ["1", "2", "3"]
    assert all(0 <= cell.valid <= 1 and 0 <= cell.agreement <= 1 for cell in grid.cells.values())
    names = [crystal_row(one.structure)["space_group"] for one in grid.cells[0, 0].crystals]
    assert grid.cells[0, 0].group_name in names
    assert grid.cells[0, 0].group == names.count(grid.cells[0, 0].group_name) / 2
    assert groups.text[0][0].startswith(grid.cells[0, 0].group_name.split()[0])
    grid.plot.clicked = {"point": [2, 1], "count": 1}
    assert grid.opened == (2, 1) and grid.player.num_frames == 2
    del grid.cells[0, 1]
    grid.plot.clicked = {"point": [0, 1], "count": 2}
    assert grid.opened == (2, 1), "a cell that is not filled yet cannot be opened"
    grid.along = "band_gap"
    assert len(grid.values.split(",")) == 4
    grid.values = "0.7, 3"
    grid.run()
    assert grid.job.wait(60)
    assert grid.cells[1, 0].crystals[0].facts["target_band_gap"] == 3.0
    assert grid.left == "gap"
    cell = grid.cells[1, 0]
    gaps = estimate_band_gaps(
        [one.structure for one in cell.crystals], "own", workers=Workers(here=True)
    ).gap
    assert cell.gap == pytest.approx(np.abs(gaps - 3.0).mean(), abs=1e-3)
    assert pio.from_json(grid.plot.spec).data[0].text[1][0] == f"{cell.gap:.2f}"
    grid.left = "agreement"
    assert "%" in pio.from_json(grid.plot.spec).data[0].text[1][0], "drawn again, not made again"
    wrong = ("a", "1", "numbers"), ("1", "nan", "numbers"), ("1", "1.5", "whole")
    for scales, values, reason in (*wrong, ("11", "1", "")):
        grid.along, grid.scales, grid.values = "seed", scales, values
        grid.go.click()
        assert grid.job.wait(60)
        assert grid.notice.level == ("error" if reason else "good") and reason in grid.notice.text


def test_latent_map_opens_the_crystal_of_a_point() -> None:
    from crystal_ldm.widgets.figures import latent_figure

    crystals = [perovskite(), rock_salt()]
    figure = latent_figure([[0, 0], [1, 1]], [1.0, float("nan")], ["a", "b"], "gap")
    shown = LatentMap(figure, crystals.__getitem__)
    shown.plot.clicked = {"id": 1, "count": 1}
    assert shown.viewer.structure is crystals[1] and shown.viewer.title == "NaCl"


def test_compare_says_whether_both_are_the_same(until: Callable[..., None]) -> None:
    panel = Compare(perovskite(), perovskite(3.95), second_name="other")
    until(lambda: panel.verdict.text.startswith("The same structure"))
    until(lambda: panel.plot.spec)
    first, second = pio.from_json(panel.plot.spec).data
    assert max(v for v in first.y if v is not None) == pytest.approx(100)
    assert min(v for v in second.y if v is not None) == pytest.approx(-100)
    panel.second = rock_salt()
    until(lambda: panel.verdict.text == "The compositions differ.")
    panel.second = None
    until(lambda: panel.verdict.text == "")
    assert panel.viewers[1].widget.layout.display == "none"


def test_nearest_in_training_crystal(
    tiny_ldm: Any, known_batch: CrystalBatch, until: Callable[..., None]
) -> None:
    from crystal_ldm.widgets import Gallery

    ldm = copy.deepcopy(tiny_ldm)
    ldm.training_crystals = TrainingCrystals()
    ldm.training_crystals.add(known_batch)
    seek = NearestInTraining(ldm)
    same = seek(perovskite(3.93))
    assert same is not None and same.text.startswith("Training set: the same crystal")
    near = seek(perovskite(4.0, ("Ca", "Ti", "O")))
    assert near is not None and "closest composition" in near.text
    assert seek.find("Si").formula == "Si2"
    assert seek.find("ClNa").composition.reduced_formula == "NaCl"
    for nothing in ("known-99", "UO2", ""):
        with pytest.raises(DataError, match=r"an id|is a crystal 'UO2'"):
            seek.find(nothing)
    source = CrystalSource("End", find=seek.find)
    box, _ = source.widget.children[0].children
    box.value = "TiO2"
    until(lambda: source.origin == "TiO2")
    assert source.structure.composition.reduced_formula == "TiO2"
    box.value = "nonsense"
    until(lambda: source.notice.level == "error" and "'nonsense'" in source.notice.text)
    opening = threading.Event()  # a data set that another process prepares takes its time
    slow = CrystalSource("End", {"Nearest": lambda: copper() if opening.wait(30) else None})
    slow.widget.children[0].children[0].click()
    assert slow.structure is None and "Looking" in slow.notice.text
    opening.set()
    until(lambda: slow.structure is not None)
    opening.clear()  # a file that is dropped meanwhile is the later wish
    slow.seek("Nearest", lambda: copper() if opening.wait(30) else None)
    slow.read("copper.cif", copper().to(fmt="cif").encode())
    opening.set()
    time.sleep(0.3)
    assert slow.origin == "copper.cif"
    gallery = Gallery([perovskite()], nearest=seek)
    neighbour = gallery.neighbour.viewer
    until(lambda: neighbour.structure is not None)
    seek.ldm = copy.deepcopy(tiny_ldm)  # that knows no crystals
    seek.ldm.training_crystals = TrainingCrystals()
    gallery.seek()
    until(lambda: neighbour.notice.level == "error")
    assert neighbour.structure is None and "does not hold" in neighbour.notice.text
    gallery.show_nearest = False
    assert gallery.neighbour.viewer.widget not in gallery.views.children


LINES = [
    {"step": k, "loss": 1 / k, "learning_rate": 1e-3, "gradient_norm": 1.0,
     "crystals_per_second": 50.0, "minutes": k / 10}
    for k in range(1, 30)
]  # fmt: skip


def test_monitor_goes_on_where_a_run_was(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    more = {"step": 6, "val_loss": 0.3}
    file.write_text("".join(json.dumps(line) + "\n" for line in [*LINES[:5], more]) + '{"step": 7,')
    monitor = TrainingMonitor(tmp_path)
    assert monitor.step == 6 and "Step 6, 30 s of training" in monitor.status.value
    assert list(pio.from_json(monitor.plot.spec).data[1].y) == [0.3]
    assert TrainingMonitor(tmp_path / "nothing").status.value == "No step yet."


def test_monitor_of_a_training_shows_previews_and_stops() -> None:
    monitor = TrainingMonitor(preview=perovskite, preview_minutes=0, max_steps=100)
    for line in LINES:
        monitor.live(line)
        if line["step"] == 3:
            assert monitor.halt.enabled
            monitor.halt.on_message(None, {"press": True}, [])
    assert monitor.stop_event.is_set() and not monitor.halt.enabled
    assert "saved" in monitor.notice.text
    assert monitor.viewer.structure == perovskite()
    assert monitor.viewer.title == "SrTiO3 at step 29"
    monitor.end()
    assert monitor.step == 29 and not monitor.halt.enabled and monitor.notice.text == ""
    late = TrainingMonitor(preview=perovskite)
    late.live(LINES[0])
    assert late.viewer.structure is None and "soon" in late.viewer.title
    late.preview_at -= 16
    late.live(LINES[1])
    assert late.viewer.title == "SrTiO3 at step 2"
    late.live(LINES[2])
    assert late.viewer.title == "SrTiO3 at step 2", "the next one comes after two minutes"


def test_find_lists_polymorphs_and_chemical_systems(
    bench: Workbench, until: Callable[..., None]
) -> None:
    bench.tabs.selected_index = TABS.index("Find")
    panel = FindPanel(
        lambda: read_crystals([rock_salt(), perovskite(), rock_salt(5.5)]), "test set"
    )
    panel.text = "NaCl"
    until(lambda: panel.notice.text == "2 crystals of NaCl.")
    assert panel.gallery.count == 2
    assert panel.structure.composition.reduced_formula == "NaCl"
    panel.text = "Sr-Ti-O"
    until(lambda: panel.notice.text == "1 crystal of SrTiO3.")
    assert panel.gallery.rows[0]["known_as"] == "1"
    panel.text = "Sr-U"
    until(lambda: panel.notice.level == "error")
    assert "only Sr, U" in panel.notice.text and panel.gallery.count == 1


def test_find_looks_in_what_the_model_remembers(
    tiny_ldm: Any, known_batch: CrystalBatch, until: Callable[..., None]
) -> None:
    ldm = copy.deepcopy(tiny_ldm)
    ldm.training_crystals = TrainingCrystals()
    known = NearestInTraining(ldm)
    panel = FindPanel(lambda: known.known.crystals, known.where)
    panel.text = "SrTiO3"
    until(lambda: panel.notice.level == "error")
    assert "does not hold" in panel.notice.text
    ldm.training_crystals.add(known_batch)
    panel.text = "NaCl"
    until(lambda: panel.gallery is not None and panel.notice.level == "good")
    assert panel.gallery.rows[0]["formula"] == "NaCl"
