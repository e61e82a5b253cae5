"""Buttons pressed in orders that nobody plans, and what is on disk changed from outside."""

from __future__ import annotations

import copy
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crystal_ldm.widgets import Workbench
from crystal_ldm.widgets.base import NumberBox
from crystal_ldm.widgets.controls.formula import FormulaBox
from crystal_ldm.widgets.crystal_entry import CrystalEntry
from crystal_ldm.widgets.explore.find import FindPanel
from crystal_ldm.widgets.explore.maker import CrystalSource
from crystal_ldm.widgets.explore.nearest_in_training import NearestInTraining
from crystal_ldm.widgets.panels import history
from crystal_ldm.widgets.viewers.viewer import CrystalViewer

from crystal_ldm.crystals.inputs import read_crystals
from crystal_ldm.errors import DataError, RequestError, RunError
from crystal_ldm.ldm_module.training_crystals import TrainingCrystals
from crystal_ldm.runs.generate import generate, make_request
from crystal_ldm.runs.requests import CRYSTALS, FOLDER, Requests
from tests.widgets.crystals import perovskite, rock_salt

QUICK = {"sampling_steps": 2}


@pytest.fixture
def run_dir(tiny_ldm: Any, tmp_path: Path) -> Path:
    generate(tiny_ldm, make_request("NaCl"), tmp_path / "run", 2, progress=False, **QUICK)
    return tmp_path / "run"


@pytest.fixture
def bench(tiny_ldm: Any, run_dir: Path) -> Workbench:
    return Workbench(tiny_ldm, run_dir=run_dir, keywords=QUICK)


def press_generate(bench: Workbench, count: int) -> None:
    bench.generate.form.num_samples = count
    bench.generate.generate()
    assert bench.generate.job.wait(60) and bench.generate.job.state == "done"


def delete_button(bench: Workbench) -> Any:
    return bench.history.lines.children[0].children[1].children[-1]


def test_a_double_click_on_generate_makes_one_request(bench: Workbench) -> None:
    bench.generate.form.seed.seed = 7
    bench.generate.form.num_samples = 300
    bench.generate.generate()
    bench.generate.generate()
    bench.generate.job.stop()
    assert bench.generate.job.wait(60) and bench.generate.notice.text == ""
    assert bench.generate.form.seed.last == 7 and len(bench.history.requests) == 1


def test_a_double_click_on_vary_keeps_the_seed_of_the_run(bench: Workbench) -> None:
    bench.tabs.selected_index = 3
    vary = bench.vary
    vary.first.take("mine", perovskite())
    vary.seed.seed = 7
    vary.vary()
    vary.vary()
    assert vary.job.wait(60) and vary.seed.last == 7


def test_a_request_that_cannot_be_kept_takes_no_seed(bench: Workbench, run_dir: Path) -> None:
    (run_dir / FOLDER).write_text("a file where the folder of the requests should be")
    bench.generate.form.seed.seed = 7
    bench.generate.go.click()
    assert bench.generate.notice.level == "error" and FOLDER in bench.generate.notice.text
    assert bench.generate.form.seed.seed == 7 and bench.generate.form.seed.last != 7


def test_what_is_being_made_is_neither_hidden_nor_deleted(bench: Workbench) -> None:
    bench.generate.form.num_samples = 500
    begun = threading.Event()
    bench.generate.on_result(lambda _: begun.set())
    bench.generate.generate()
    assert begun.wait(60)
    (request,) = bench.history.requests
    for press in (bench.history.hide, bench.history.delete):
        bench.history.notice.guard(press)(request)
        assert "press Stop first" in bench.history.notice.text and request.folder.is_dir()
    bench.generate.job.stop()
    assert bench.generate.job.wait(60) and bench.generate.job.state == "stopped"
    assert bench.history.notice.text == "", "what it says is true no longer"
    bench.history.delete(request)
    assert bench.gallery.count == 2 and not request.folder.exists()


def test_hiding_one_request_loses_nothing_of_another_that_is_being_made(bench: Workbench) -> None:
    press_generate(bench, 3)
    (other,) = bench.history.requests
    held, shown = threading.Event(), threading.Event()

    def wait(_: Any) -> None:  # its first crystals are shown, and may not be on disk yet
        shown.set()
        assert held.wait(60)

    bench.generate.on_result(wait)
    bench.generate.form.num_samples = 4
    bench.generate.generate()
    assert shown.wait(60)
    bench.history.hide(other)
    assert bench.gallery.count == 2 + 4
    held.set()
    assert bench.generate.job.wait(60)
    bench.history.hide(other, hidden=False)
    keys = [entry.identify() for entry in bench.gallery.entries]
    assert bench.gallery.count == len(set(keys)) == 2 + 3 + 4


def test_what_stays_in_the_table_keeps_its_columns_and_the_selection(bench: Workbench) -> None:
    press_generate(bench, 3)
    bench.gallery.update_crystals(
        [
            (bench.gallery.structures[0], {"band_gap": 1.5}),
            (bench.gallery.structures[3], {"band_gap": 2.5}),
        ]
    )
    press_generate(bench, 2)
    newest, older = bench.history.requests
    bench.gallery.selected = 3
    bench.history.hide(newest)
    assert [row.get("band_gap") for row in bench.gallery.rows] == [1.5, None, None, 2.5, None]
    assert bench.gallery.selected == 3 and bench.gallery.current is bench.gallery.entries[3]
    bench.history.hide(older)  # the selected one goes
    assert bench.gallery.count == 2 and bench.gallery.selected == 0


def test_crystals_outlive_a_run_that_is_removed_from_outside(
    bench: Workbench, run_dir: Path
) -> None:
    press_generate(bench, 3)
    press_generate(bench, 2)
    newest, _ = bench.history.requests
    shutil.rmtree(run_dir)
    bench.history.refresh()
    assert bench.history.requests == [] and bench.gallery.count == 2 + 3 + 2
    bench.history.notice.guard(bench.history.hide)(newest)
    assert bench.history.notice.level == "error" and bench.gallery.count == 2 + 3 + 2
    press_generate(bench, 1)
    assert bench.gallery.count == 2 + 3 + 2 + 1 and (run_dir / FOLDER).is_dir()


def test_a_double_click_on_delete_deletes_nothing(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    press_generate(bench, 3)
    delete_button(bench).click()
    delete_button(bench).click()
    assert bench.gallery.count == 2 + 3 and delete_button(bench).description == "Delete for good?"
    monkeypatch.setattr(history, "DOUBLE_CLICK", 0.0)
    delete_button(bench).click()
    assert bench.gallery.count == 2 and bench.history.requests == []


def test_a_request_that_cannot_be_deleted_says_so(tmp_path: Path) -> None:
    requests = Requests(tmp_path)
    request = requests.add("SrTiO3, 3")
    shutil.rmtree(request.folder)
    request.folder.write_text("a file, which is no folder to remove")
    with pytest.raises(RunError, match="could not be"):
        requests.delete(request)


def test_a_note_written_while_more_crystals_come_is_kept(bench: Workbench) -> None:
    entries = [CrystalEntry(crystal, "relaxed") for crystal in (perovskite(), rock_salt())]
    bench._keep_relaxed(entries[:1])
    (request,) = bench.history.requests
    bench.history.annotate(request, "nice")
    bench.history.favour(request)
    bench._keep_relaxed(entries)
    (request,) = bench.history.requests
    assert (request.note, request.favourite) == ("nice", True)
    assert request.words == "Relaxed NaCl, SrTiO3, 2"


def test_a_half_typed_note_survives_the_end_of_a_run(bench: Workbench) -> None:
    press_generate(bench, 1)
    line = bench.history.lines.children[0]
    press_generate(bench, 1)
    assert bench.history.lines.children[1] is line


def test_another_model_keeps_size_and_seed(bench: Workbench, tiny_ldm: Any) -> None:
    form = bench.generate.form
    form.formula.text, form.formula.num_atoms = "", 6
    form.seed.seed, form.seed.fresh = 7, False
    bench.generate.ldm = copy.copy(tiny_ldm)
    assert bench.generate.form is not form
    form = bench.generate.form
    assert (form.formula.num_atoms, form.seed.seed, form.seed.fresh) == (6, 7, False)


def test_a_recipe_dropped_twice_fills_the_form_twice(bench: Workbench) -> None:
    recipe = json.dumps(bench.gallery.entries[0].recipe).encode()
    bench.tabs.selected_index = 6
    bench.files.zone.on_message(None, {"name": "a.json"}, [recipe])
    assert bench.generate.form.formula.text == "NaCl"
    bench.generate.form.formula.text = "ZnS"
    bench.files.zone.on_message(None, {"name": "a.json"}, [recipe])
    assert bench.generate.form.formula.text == "NaCl"


def test_a_recipe_that_the_form_cannot_show_is_not_called_shown(bench: Workbench) -> None:
    bench.tabs.selected_index = 3
    bench.vary.first.take("mine", perovskite())
    bench.vary.num_samples = 1
    bench.vary.vary()
    assert bench.vary.job.wait(60)
    bench.tabs.selected_index = 6
    recipe = json.dumps(bench.gallery.entries[-1].recipe).encode()
    bench.files.zone.on_message(None, {"name": "a.json"}, [recipe])
    assert bench.files.notice.level == "error" and "start from a crystal" in bench.files.notice.text


# -- files in the wrong place ----------------------------------------------------------------------


def big_cell() -> Any:
    crystal = perovskite()
    crystal.make_supercell([5, 4, 4])
    return crystal


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("paper.pdf", b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj", "no known kind"),
        ("paper.cif", b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj", "data_"),
        ("empty.cif", b"", "empty"),
        ("pattern.xy", b"10.0 1.0\n10.1 2.0\n10.2 1.5\n", "no known kind"),
        ("x.json", b'{"a": 1}', "no structure"),
    ],
)
def test_a_file_that_holds_no_structure_is_one_sentence(
    name: str, content: bytes, said: str
) -> None:
    source = CrystalSource("Start")
    source.zone.on_message(None, {"name": name}, [content])
    assert source.structure is None and source.notice.level == "error"
    assert said in source.notice.text and "TypeError" not in source.notice.text
    assert "folder" not in source.notice.text, "a folder cannot be dropped"


def test_a_recipe_among_structures_is_called_one(bench: Workbench) -> None:
    recipe = json.dumps(bench.gallery.entries[0].recipe).encode()
    source = CrystalSource("Start")
    source.zone.on_message(None, {"name": "recipe.json"}, [recipe])
    assert "is a recipe: drop it on Export" in source.notice.text


def test_a_file_without_a_recipe_is_named(bench: Workbench) -> None:
    bench.tabs.selected_index = 6
    bench.files.zone.on_message(None, {"name": "mine.cif"}, [perovskite().to(fmt="cif").encode()])
    assert bench.files.notice.text.startswith("mine.cif holds no recipe")


def test_a_host_larger_than_the_model_is_refused_at_once(bench: Workbench) -> None:
    bench.tabs.selected_index = 4
    bench.host.source.take("big.cif", big_cell())
    assert (
        "400 atoms" in bench.host.notice.text and "choose a smaller cell" in bench.host.notice.text
    )
    assert bench.host._atoms.layout.display == "none" and not bench.host.job.busy
    bench.host.source.take("small.cif", perovskite())
    assert bench.host._atoms.layout.display is None and len(bench.host.boxes) == 5
    assert bench.host.notice.text == ""


def test_a_crystal_that_cannot_be_drawn_does_not_look_like_the_one_before() -> None:
    viewer = CrystalViewer(perovskite())
    viewer.show(big_cell())
    assert viewer.notice.level == "error" and "press Bonds" in viewer.notice.text
    assert viewer.box.layout.visibility == "hidden"
    assert viewer.toolbar.layout.visibility == "visible"
    viewer.bonds = False
    assert viewer.notice.text == "" and viewer.box.layout.visibility == "visible"
    viewer.bonds = True
    viewer.show(perovskite())
    assert viewer.notice.text == "" and viewer.box.layout.visibility == "visible"


def test_advice_on_formula_units_is_given_where_there_are_several() -> None:
    box = FormulaBox("Sr5Ti5O15", max_atoms=20)
    assert box.problem == "25 atoms in the cell are more than the 20 that this model can make."
    box.text, box.formula_units = "SrTiO3", 5
    assert "Fewer formula units would do" in box.problem


# -- what is said is true of what is asked now -----------------------------------------------------


def test_why_a_request_was_refused_goes_with_the_request(bench: Workbench) -> None:
    panel = bench.generate
    panel.form.conditions.values = {"band_gap": 99.0}
    panel.go.click()
    assert panel.notice.level == "error" and "99" in panel.notice.text
    panel.form.conditions.values = {}
    assert panel.notice.text == ""


def test_a_column_is_filtered_by_the_name_in_its_header(bench: Workbench) -> None:
    bench.gallery.update_crystals(
        [
            (bench.gallery.structures[0], {"band_gap": 1.5}),
            (bench.gallery.structures[1], {"band_gap": 2.5}),
        ]
    )
    bench.gallery.table.filter = "Gap (eV) > 2, Density (g/cm³) > 0"
    assert bench.gallery.table.order == [1] and bench.gallery.table.problem == ""


def test_no_file_is_made_of_no_row(bench: Workbench) -> None:
    tools = bench.gallery.table_tools
    bench.gallery.table.filter = "gapp > 2"
    for save in (tools.csv, tools.zip):
        save.save()
        assert tools.notice.level == "error" and "filter leaves no row" in tools.notice.text
        tools.notice.clear()


def test_another_model_is_compared_with_its_own_training_set(tiny_ldm: Any) -> None:
    own, named = copy.copy(tiny_ldm), copy.copy(tiny_ldm)
    own.data_info = {"dataset": "a folder of mine"}
    named.data_info = {"dataset": "oqmd_icsd"}
    seek = NearestInTraining(named)
    for other in ("a folder of mine", "perov_5"):
        own.data_info = {"dataset": other}
        seek.ldm = own
        assert not seek.cached and seek.where == "training crystals in the model's file"
    own.training_crystals = TrainingCrystals()
    assert seek.reference is None
    with pytest.raises(DataError, match="does not hold the crystals"):
        seek.find("SrTiO3")


def test_the_steps_of_another_models_crystal_say_which_model_to_choose(
    bench: Workbench, tiny_ldm: Any, until: Any
) -> None:
    bench.gallery.entries[0].recipe["model_hash"] = "of another one"
    bench.tabs.selected_index = 1
    until(lambda: "choose that one below Generate" in bench.denoising.notice.text)
    bench.gallery.entries[0].recipe["model_hash"] = tiny_ldm.hashes[0]
    bench.generate.ldm = copy.copy(tiny_ldm)  # now the right one is chosen
    until(lambda: bench.denoising.player.num_frames > 1)


# -- what a second press takes from the first ------------------------------------------------------


def test_the_number_of_a_deleted_request_stands_for_no_other(bench: Workbench) -> None:
    press_generate(bench, 2)
    (first,) = bench.history.requests
    bench.history.delete(first)
    press_generate(bench, 2)
    (second,) = bench.history.requests
    assert second.words == first.words and second.folder != first.folder
    press_generate(bench, 1)
    bench.history.hide(bench.history.requests[0])
    assert bench.gallery.count == 2 + 2, "the second is taken for the deleted one"


def test_what_is_made_while_a_request_is_shown_again_is_not_lost(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    press_generate(bench, 3)
    assert bench.session is not None
    (request,) = bench.history.requests
    bench.history.hide(request)
    read = bench.session.entries
    varied = threading.Thread(
        target=bench.gallery.add, args=([CrystalEntry(perovskite(), "varied")],)
    )

    def read_slowly(request: Any) -> Any:
        varied.start()
        varied.join(0.5)
        return read(request)

    monkeypatch.setattr(bench.session, "entries", read_slowly)
    bench.history.hide(request, hidden=False)
    varied.join(60)
    assert bench.gallery.count == 2 + 3 + 1


def test_check_marks_stay_when_another_request_is_hidden(bench: Workbench) -> None:
    press_generate(bench, 2)
    press_generate(bench, 2)
    _, older = bench.history.requests
    bench.gallery.table.checked = [1, 2, 5]
    chosen = [bench.gallery.entries[i] for i in (1, 5)]
    bench.history.hide(older)
    assert [bench.gallery.entries[i] for i in bench.gallery.table.checked] == chosen


def test_relaxed_crystals_are_at_rest_while_all_are_evaluated(bench: Workbench) -> None:
    relaxed, ended = threading.Event(), threading.Event()
    job = bench.evaluation.job
    job.start(lambda _: relaxed.wait(60))
    bench._keep_relaxed([CrystalEntry(perovskite(), "relaxed")])
    (request,) = bench.history.requests
    with pytest.raises(RequestError, match="still being made"):
        bench.history.hide(request)
    relaxed.set()
    assert job.wait(60)
    job.start(lambda _: ended.wait(60))  # as Evaluate all does
    bench.history.hide(request)
    ended.set()
    assert job.wait(60) and bench.gallery.count == 2


def test_a_relaxed_crystal_does_not_take_the_selection_of_a_new_run(bench: Workbench) -> None:
    bench._on_start()
    bench.gallery.add([CrystalEntry(perovskite(), "varied")])
    assert bench.gallery.selected == 0
    press_generate(bench, 1)
    assert bench.gallery.selected == 3


def test_the_trajectory_of_a_removed_crystal_is_gone(bench: Workbench, until: Any) -> None:
    bench.tabs.selected_index = 1
    player = bench.denoising.player
    until(lambda: player.num_frames > 1)
    bench.gallery.clear()
    assert player.num_frames == 0 and player.structure is None
    assert bench.denoising.notice.text == "" and player.empty.layout.display is None


def test_a_request_whose_crystals_cannot_be_written_is_not_in_the_history(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_folder_in_the_way(request: Any, *_: Any) -> None:
        (request.folder / CRYSTALS).mkdir()
        write(request, [])

    assert bench.session is not None
    write = bench.session.write_crystals
    monkeypatch.setattr(bench.session, "write_crystals", make_folder_in_the_way)
    with pytest.raises(RunError):
        bench._keep("Varied", [CrystalEntry(perovskite(), "varied")])
    bench.history.refresh()
    assert bench.history.requests == [] and bench.gallery.count == 2 + 1


def test_find_looks_for_the_text_that_was_corrected_meanwhile(until: Any) -> None:
    opened = threading.Event()

    def known() -> Any:
        assert opened.wait(60)
        return read_crystals([rock_salt(), perovskite()])

    panel = FindPanel(known, "test set")
    panel.text = "NaCl"
    panel.text = "SrTiO3"
    opened.set()
    until(lambda: panel.notice.text == "1 crystal of SrTiO3.")
    assert panel.structure is not None
    assert panel.structure.composition.reduced_formula == "SrTiO3"


def parts(widget: Any) -> Iterator[Any]:
    """Return a widget and all that stands in it."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from parts(child)


def test_steps_of_vary_are_taken_up_to_their_bounds(bench: Workbench) -> None:
    boxes = [box for box in parts(bench.vary.widget) if isinstance(box, NumberBox)]
    (steps,) = (box for box in boxes if box.number == bench.vary.steps == 8 and box.high == 50)
    for typed, taken in (("50", 50), ("120", 50), ("2", 2), ("1", 2)):
        steps.value = typed
        assert (bench.vary.steps, steps.value) == (taken, str(taken))


def test_a_note_on_what_the_form_cannot_show_stays(tiny_ldm: Any) -> None:
    request = make_request(["NaCl", "SrTiO3"], formula_units=[2, 1])
    bench = Workbench(tiny_ldm, request=request, keywords=QUICK)
    assert "rows of that request differ" in bench.generate.notice.text
