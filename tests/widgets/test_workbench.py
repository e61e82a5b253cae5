"""Generating, exporting and exploring with a real, tiny model."""

from __future__ import annotations

import csv
import io
import json
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import plotly.io as pio
import pytest
from pymatgen.core import Structure

from crystal_ldm.generate import generate, make_request
from crystal_ldm.recipe import from_recipe, read_recipe
from tests.widgets.crystals import perovskite, rock_salt
from widgets import (
    Compare,
    FilesPanel,
    GeneratePanel,
    GridPanel,
    LatentMap,
    NearestKnown,
    TrainingMonitor,
    TrajectoryPlayer,
    VaryPanel,
    Workbench,
)
from widgets.browser.drop_zone import DropZone
from widgets.browser.save_button import SaveButton
from widgets.export.archive import zip_crystals
from widgets.export.upload import read_upload
from widgets.made import Made, from_result, from_run, trajectory_of

QUICK = {"sampling_steps": 2}


@pytest.fixture
def panel(tiny_ldm: Any) -> GeneratePanel:
    made = GeneratePanel(tiny_ldm, request=make_request("SrTiO3"), options=QUICK)
    made.form.num_samples = 9
    return made


@pytest.fixture
def bench(tiny_ldm: Any) -> Workbench:
    result = tiny_ldm.sample(make_request("SrTiO3", conditions={"band_gap": 2.3}), 3, **QUICK)
    return Workbench(tiny_ldm, result=result)


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
    assert (panel.made, panel.total) == (9, 9)
    assert panel._said.text.startswith("9 crystals in ")
    assert panel.form.seed.last == 5 and panel.form.seed.seed != 5


def test_stop_keeps_what_is_finished(panel: GeneratePanel) -> None:
    lots: list[Any] = []
    panel.on_result(lots.append)
    panel.on_result(lambda _: panel.stop())
    panel.form.num_samples = 500
    panel.generate()
    assert not panel._halt.disabled and panel._go.disabled
    assert panel.job.wait(60) and panel.job.state == "stopped"
    assert sum(map(len, lots)) == panel.made == 4
    assert panel._said.text == "Stopped: 4 of 500 crystals were finished and are kept."
    assert panel._halt.disabled and not panel._go.disabled


def test_stop_works_in_the_middle_of_a_lot(panel: GeneratePanel) -> None:
    reached = threading.Event()
    panel.form.advanced.sampling_steps = 1000
    panel.job.observe(lambda _: reached.set(), "message")
    panel.generate()
    assert reached.wait(60)
    panel.stop()
    assert panel.job.wait(10) and panel.job.state == "stopped" and panel.made == 0


def test_an_error_is_one_sentence_and_the_panel_goes_on(panel: GeneratePanel) -> None:
    panel.form.formula.text = "UO2"
    assert panel._go.disabled and "U is not among" in panel._go.tooltip
    panel._go.click()
    assert panel.notice.level == "error" and "U is not among" in panel.notice.text
    panel.form.formula.text = "NaCl"
    panel._go.click()
    assert panel.job.wait(60) and panel.job.state == "done" and panel.notice.text == ""


def test_an_error_in_the_thread_is_one_sentence(panel: GeneratePanel) -> None:
    def fail(_: Any) -> None:
        raise OSError("No space left on device")

    panel.on_result(fail)
    panel.generate()
    assert panel.job.wait(60) and panel.job.state == "failed"
    assert panel.notice.text == "This did not work (OSError): No space left on device"
    assert not panel._go.disabled


# -- the workbench -------------------------------------------------------------------------------


def test_it_opens_with_the_run_and_the_next_seed_is_another(bench: Workbench) -> None:
    form = bench.generate.form
    assert (bench.count, bench.selected) == (3, 0)
    assert form.formula.text == "SrTiO3" and form.conditions.values == {"band_gap": 2.3}
    assert form.num_samples == 3 and form.options()["sampling_steps"] == 2
    assert form.seed.last == 0 and form.seed.seed != 0


def test_generate_adds_and_selects_the_first_new_crystal(bench: Workbench) -> None:
    bench.generate.form.formula.text = "NaCl"
    bench.generate.generate()
    assert bench.generate.job.wait(60)
    assert bench.count == len(bench.gallery.structures) == 6
    assert bench.selected == bench.gallery.selected == 3
    assert bench.gallery.viewer.structure.composition.reduced_formula == "NaCl"
    bench.clear()
    assert (bench.count, bench.selected, bench.current) == (0, None, None)


def test_tabs_are_made_when_they_are_opened(bench: Workbench, until: Callable[..., None]) -> None:
    assert [len(tab.children) for tab in bench.tabs.children] == [1, 0, 0, 0, 0, 0]
    for index in range(6):
        bench.tabs.selected_index = index
        assert bench.notice.text == ""
    assert [len(tab.children) for tab in bench.tabs.children] == [1] * 6
    assert bench.compare.first is bench.gallery.structure
    bench.tabs.selected_index = 1
    until(lambda: bench.player.num_frames == 3)
    assert bench.player.structure is bench.crystals[0].structure
    bench.selected = 2
    until(lambda: bench.player.structure is bench.crystals[2].structure)


def test_a_trajectory_leads_to_its_crystal(tiny_ldm: Any) -> None:
    result = tiny_ldm.sample(make_request("??O3"), 5, sampling_steps=6, seed=1)
    made = from_result(result)[3]
    frames = trajectory_of(tiny_ldm, made)
    assert len(frames) == 6 and len(frames[0].crystals) == 1
    recorded = tiny_ldm.sample(make_request("??O3"), 5, sampling_steps=6, seed=1, trajectory=True)
    alone, among = frames[-1].crystals, recorded.trajectory[-1].crystals[[3]]
    assert (alone.atomic_numbers == among.atomic_numbers).all()
    assert (alone.lattices - among.lattices).abs().max() < 1e-3
    player = TrajectoryPlayer(frames)
    player.set_trajectory(frames, final=made.structure)
    assert player.num_frames == 7 and player.structure is made.structure
    assert player._where.value == "step 6 of 6, noise 0 %"
    curves = player._data.curves()
    assert set(curves) == {"volume", "shortest", "confidence", "noise"}
    assert all(0 <= v <= 1 for v in curves["confidence"][:-1])
    assert all(v > 0 for v in curves["noise"][:-1])
    player._slider.value = 0
    assert player._where.value.startswith("step 0 of 6, noise ")


def test_varied_crystals_have_no_denoising(tiny_ldm: Any, bench: Workbench) -> None:
    bench.add([Made(perovskite(), "varied")])
    bench.tabs.selected_index = 1
    assert bench.trajectory_job.wait(60)
    bench.selected = 3
    assert bench.trajectory_job.wait(60)
    assert "no denoising to show" in bench._player_notice.text


def test_a_finished_run_is_shown(tiny_ldm: Any, tmp_path: Path) -> None:
    request = make_request("NaCl", conditions={"band_gap": 1.5})
    generate(tiny_ldm, request, tmp_path, 3, progress=False, **QUICK)
    bench = Workbench(tiny_ldm, run_dir=tmp_path)
    assert bench.count == 3 and bench.generate.form.formula.text == "NaCl"
    assert bench.gallery.rows[0]["target_band_gap"] == 1.5
    assert from_run(tmp_path / "nothing") == []


# -- files ---------------------------------------------------------------------------------------


def test_the_zip_holds_everything_and_its_recipe_makes_it_again(
    bench: Workbench, tiny_ldm: Any
) -> None:
    bench.generate.form.formula.text = "NaCl"
    bench.generate.generate()
    assert bench.generate.job.wait(60)
    bench.add([Made(rock_salt(), "varied")])
    bench.gallery.update_rows({0: {"band_gap": 1.25}})
    archive = zipfile.ZipFile(io.BytesIO(zip_crystals(bench.crystals, bench.gallery.rows)))
    names = archive.namelist()
    assert sum(name.endswith(".cif") for name in names) == 7
    assert {"table.csv", "crystals.extxyz", "recipe.json", "recipe-2.json"} <= set(names)
    table = list(csv.DictReader(io.StringIO(archive.read("table.csv").decode())))
    assert [line["cif"] for line in table] == [n for n in names if n.endswith(".cif")]
    assert table[0]["band_gap"] == "1.25" and table[-1]["origin"] == "varied"
    frames = ase.io.read(io.StringIO(archive.read("crystals.extxyz").decode()), ":", "extxyz")
    assert [frame.info["id"] for frame in frames] == [line["id"] for line in table]
    for line, made in zip(table, bench.crystals, strict=True):
        poscar = Structure.from_str(archive.read(f"poscar/{line['id']}.vasp").decode(), "poscar")
        assert poscar.composition == made.structure.composition
    again = from_recipe(archive.read(table[1]["cif"]), tiny_ldm).to_structures()[0]
    assert again.lattice.abc == pytest.approx(bench.crystals[1].structure.lattice.abc, abs=1e-4)
    with pytest.raises(ValueError, match="no crystal to download"):
        zip_crystals([])


def test_a_dropped_cif_refills_the_form_with_its_seed(bench: Workbench) -> None:
    bench.tabs.selected_index = 5
    data = zip_crystals(bench.crystals)
    archive = zipfile.ZipFile(io.BytesIO(data))
    cif = next(archive.read(name) for name in archive.namelist() if name.endswith(".cif"))
    form = bench.generate.form
    form.formula.text, form.conditions.values = "NaCl", {}
    bench.files.zone._on_message(None, {"name": "a.cif"}, [memoryview(cif)])
    assert form.formula.text == "SrTiO3" and form.conditions.values == {"band_gap": 2.3}
    assert (form.seed.seed, form.seed.fresh, form.num_samples) == (0, False, 3)
    assert bench.files.notice.level == "good" and bench.generate.notice.text == ""
    other = {**read_recipe(cif), "model_hash": "0" * 64}
    bench.files.load("other.json", json.dumps(other).encode())
    assert "Another model made it" in bench.generate.notice.text
    bench.files.zone._on_message(None, {"name": "b.cif"}, [b"data_x\n"])
    assert bench.files.notice.level == "error" and "holds no recipe" in bench.files.notice.text
    bench.files.zone._on_message(None, {"refused": "huge.cif is larger than 20 MB."}, [])
    assert bench.files.notice.text == "huge.cif is larger than 20 MB."


def test_code_is_escaped(tiny_ldm: Any) -> None:
    recipe = tiny_ldm.sample(make_request("NaCl"), 1, **QUICK).recipe
    panel = FilesPanel(lambda: ([], []), {**recipe, "model": "<script>alert(1)</script>"})
    assert "<script>" not in panel._code.value and "&lt;script&gt;" in panel._code.value


def test_save_button_sends_the_file_once_made() -> None:
    sent: list[Any] = []
    button = SaveButton(lambda: ("a.zip", b"content"))
    button.send = lambda content, buffers=None: sent.append((content, buffers))  # type: ignore[method-assign]
    button.save()
    assert sent == [({"name": "a.zip"}, [b"content"])]
    broken = SaveButton(lambda: zip_crystals([]) and ("", b""))
    broken.save()
    assert broken.error == "There is no crystal to download yet."


def test_drop_zone_hands_over_bytes() -> None:
    files: list[tuple[str, bytes]] = []
    zone = DropZone()
    zone.on_files(lambda name, content: files.append((name, content)))
    zone._on_message(None, {"name": "x.cif"}, [memoryview(b"abc")])
    zone._on_message(None, {"name": "no buffer"}, [])
    assert files == [("x.cif", b"abc")]


@pytest.mark.parametrize("kind", ["cif", "poscar"])
def test_uploads_are_read(kind: str) -> None:
    text = perovskite().to(fmt=kind).encode()
    name = "any.cif" if kind == "cif" else "POSCAR"
    assert read_upload(name, text).composition.reduced_formula == "SrTiO3"
    with pytest.raises(ValueError, match=r"cannot be parsed|cut short|empty"):
        read_upload(name, text[: len(text) // 3])


# -- around a crystal ----------------------------------------------------------------------------


def test_vary_and_interpolate(tiny_ldm: Any) -> None:
    selected: list[Structure | None] = [None]
    panel = VaryPanel(tiny_ldm, {"Selected crystal": lambda: selected[0]})
    made: list[Made] = []
    panel.on_made(made.extend)
    panel._buttons[0].click()
    assert panel.notice.text == "Choose a crystal for the start, or drop a file."
    panel.first.take("selection", selected[0])
    assert "none" in panel.first.notice.text
    panel.first.read("POSCAR", perovskite().to(fmt="poscar").encode())
    panel.num_samples = 3
    panel.vary()
    assert panel.job.wait(60) and panel.job.state == "done", panel.job.error
    assert [m.origin for m in made] == ["varied"] * 3 and made[0].recipe is None
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


def test_grid(tiny_ldm: Any) -> None:
    form = GeneratePanel(tiny_ldm, request=make_request("NaCl"), options=QUICK).form
    grid = GridPanel(tiny_ldm, lambda: form)
    grid.scales, grid.values, grid.num_samples = "0, 2", "1, 2, 3", 2
    grid.run()
    assert grid.job.wait(60) and grid.job.state == "done", grid.job.error
    assert set(grid.cells) == {(i, j) for i in range(3) for j in range(2)}
    sampling = grid.cells[2, 1].crystals[0].recipe["sampling"]
    assert (sampling["sampling_steps"], sampling["cfg_scale"]) == (3, 2.0)
    valid, agreement = pio.from_json(grid.plot.spec).data
    assert list(valid.x) == ["0", "2"] and list(agreement.y) == ["1", "2", "3"]
    assert all(0 <= cell.valid <= 1 and 0 <= cell.agreement <= 1 for cell in grid.cells.values())
    grid.plot.clicked = {"x": "2", "y": "3", "count": 1}
    assert grid.opened == (2, 1) and grid.player.num_frames == 2
    grid.along = "band_gap"
    assert len(grid.values.split(",")) == 4
    grid.values = "0.7, 3"
    grid.run()
    assert grid.job.wait(60)
    assert grid.cells[1, 0].crystals[0].facts["target_band_gap"] == 3.0
    for scales, values, reason in (("a", "1", "numbers"), ("1", "1.5", "whole"), ("11", "1", "")):
        grid.along, grid.scales, grid.values = "seed", scales, values
        grid._go.click()
        assert grid.job.wait(60)
        assert grid.notice.level == ("error" if reason else "info") and reason in grid.notice.text


def test_latent_map_opens_the_crystal_of_a_point() -> None:
    from widgets.figures import latent_figure

    crystals = [perovskite(), rock_salt()]
    figure = latent_figure([[0, 0], [1, 1]], [1.0, float("nan")], ["a", "b"], "gap")
    shown = LatentMap(figure, crystals.__getitem__)
    shown.plot.clicked = {"id": 1, "count": 1}
    assert shown.selected == 1 and shown.viewer.structure is crystals[1]


def test_compare_says_whether_both_are_the_same(until: Callable[..., None]) -> None:
    panel = Compare(perovskite(), perovskite(3.95), second_name="other")
    until(lambda: panel.verdict.startswith("The same structure"))
    first, second = pio.from_json(panel.plot.spec).data
    assert max(v for v in first.y if v is not None) == pytest.approx(100)
    assert min(v for v in second.y if v is not None) == pytest.approx(-100)
    panel.second = rock_salt()
    until(lambda: panel.verdict == "The compositions differ.")
    panel.second = None
    until(lambda: panel.verdict == "")
    assert panel._viewers[1].widget.layout.display == "none"


def test_nearest_known_crystal(known_crystals: list[Structure], until: Callable[..., None]) -> None:
    import numpy as np

    from crystal_ldm.crystals import CrystalBatch
    from widgets import Gallery

    class Known:
        def indices(self, part: str) -> Any:
            assert part == "train"
            return np.arange(len(known_crystals))

        def batch(self, indices: Any) -> CrystalBatch:
            names = [f"known-{i}" for i in indices]
            return CrystalBatch.from_structures([known_crystals[i] for i in indices], ids=names)

    seek = NearestKnown(Known())  # type: ignore[arg-type]
    assert seek.cached
    same = seek(perovskite(3.93))
    assert same is not None and same.text.startswith("Known known-0: the same crystal")
    near = seek(perovskite(4.0, ("Ca", "Ti", "O")))
    assert near is not None and "closest composition" in near.text
    gallery = Gallery([perovskite()], nearest=seek)
    until(lambda: gallery.neighbour.structure is not None)
    gallery.show_nearest = False
    assert gallery.neighbour.widget not in gallery._views.children


# -- training ------------------------------------------------------------------------------------

LINES = [
    {"step": k, "loss": 1 / k, "learning_rate": 1e-3, "gradient_norm": 1.0,
     "crystals_per_second": 50.0, "minutes": k / 10}
    for k in range(1, 30)
]  # fmt: skip


def test_monitor_follows_a_run(tmp_path: Path, until: Callable[..., None]) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in LINES[:5]))
    monitor = TrainingMonitor(tmp_path)
    assert monitor.step == 5 and "Step 5, 30 s of training" in monitor._said.value
    monitor.period = 0.1
    monitor.following = True
    with file.open("a") as more:
        more.write(json.dumps({"step": 6, "val_loss": 0.3}) + "\n" + '{"step": 7, "lo')
    until(lambda: monitor.step == 6)
    monitor.following = False
    figure = pio.from_json(monitor.plot.spec)
    assert list(figure.data[1].y) == [0.3]
    assert TrainingMonitor(tmp_path / "nothing")._said.value == "No step yet."


def test_monitor_of_a_training_shows_previews_and_stops() -> None:
    monitor = TrainingMonitor(preview=perovskite, preview_minutes=0, max_steps=100)
    for line in LINES:
        monitor.live(line)
        if line["step"] == 3:
            monitor._halt.click()
    assert monitor.stop_event.is_set() and "saved" in monitor.notice.text
    assert monitor.viewer.structure == perovskite()
    assert monitor.viewer.title == "SrTiO3 at step 29"
