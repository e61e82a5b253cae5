"""What evaluates and relaxes crystals, asked for and by itself, with the real predictors."""

from __future__ import annotations

import time
from typing import Any

import pytest
from crystal_ldm.widgets import Gallery, Workbench
from crystal_ldm.widgets.crystal_entry import CrystalEntry, parents_of
from crystal_ldm.widgets.helpers import Helpers
from crystal_ldm.widgets.panels.evaluation import EvaluationBar

from crystal_ldm.evaluate.reference_set import Reference
from tests.widgets.crystals import perovskite, rock_salt


@pytest.fixture
def gallery() -> Gallery:
    return Gallery([perovskite(4.05), perovskite(4.06), rock_salt()])


@pytest.fixture
def made() -> list[CrystalEntry]:
    return []


@pytest.fixture(scope="module")
def helpers() -> Any:
    shared = Helpers()
    yield shared
    shared.close()


@pytest.fixture
def bar(
    gallery: Gallery, made: list[CrystalEntry], known_batch: Any, helpers: Helpers
) -> EvaluationBar:
    reference = Reference(known_batch)
    keep = lambda entries: made.append(entries[-1])  # noqa: E731
    return EvaluationBar(gallery, helpers, lambda: reference, keep)


def press(bar: EvaluationBar, text: str) -> None:
    next(b for b in bar.buttons if b.description == text).click()
    assert all(b.disabled and "evaluated or relaxed" in b.tooltip for b in bar.buttons)
    assert bar.job.wait(300)
    assert bar.job.state == "done", bar.job.error
    assert not any(b.disabled for b in bar.buttons)


def test_evaluate_all_fills_the_table(bar: EvaluationBar, gallery: Gallery) -> None:
    press(bar, "Evaluate all")
    assert [row["valid"] for row in gallery.rows] == [True, True, True]
    assert [row["unique"] for row in gallery.rows] == [True, False, True]
    assert [row["novel"] for row in gallery.rows] == [False, False, False]
    assert all(row["band_gap"] >= 0 for row in gallery.rows)
    labels = [column["label"] for column in gallery.table.columns]
    assert {"Valid", "Unique", "New", "Gap"} <= set(labels)
    assert bar.notice.text.startswith("Of 3 crystals: valid 100%, unique 67%, novel 0%")


def test_chosen_rows_are_relaxed_each_with_what_has_changed(
    bar: EvaluationBar, gallery: Gallery, made: list[CrystalEntry]
) -> None:
    off = perovskite(4.05)
    off.translate_sites([1], [0.04, 0, 0], frac_coords=True)
    gallery.add([off])
    gallery.table.checked = [0, 3]
    press(bar, "Relax")
    assert [one.origin for one in made] == ["relaxed", "relaxed"]
    for before, after in zip((gallery.structures[0], off), made, strict=True):
        # CHGNet's SrTiO3 has a lattice constant of about 3.94 Å.
        assert after.structure.volume ** (1 / 3) == pytest.approx(3.94, abs=0.05)
        change = 100 * (after.structure.volume / before.volume - 1)
        assert after.facts["volume_change"] == pytest.approx(change, abs=0.01) and change < 0
        assert after.facts["energy_change"] < 0 and "e_above_hull" in after.facts
    shifts = [one.facts["largest_shift"] for one in made]
    assert shifts[0] == pytest.approx(0, abs=1e-3) and shifts[1] > 0.05, "Ti goes back by 0.16 Å"
    assert bar.notice.text == "2 of 2 are relaxed, each in the row below."


def test_one_that_cannot_be_relaxed_does_not_keep_the_others(
    bar: EvaluationBar, gallery: Gallery, made: list[CrystalEntry]
) -> None:
    crowded = perovskite(1.5)
    gallery.add([crowded])
    gallery.table.checked = [2, 3]
    press(bar, "Relax")
    assert len(made) == 1
    assert bar.notice.text.startswith("1 of 2 are relaxed") and "too crowded" in bar.notice.text
    gallery.table.checked = [3]
    bar.relax()
    assert bar.job.wait(60) and bar.job.state == "failed"
    assert "Nothing could be relaxed. SrTiO3" in bar.notice.text
    assert "too crowded" in bar.notice.text


def test_a_relaxed_crystal_stands_below_its_parent(bench: Workbench, tmp_path: Any) -> None:
    from crystal_ldm.widgets.session import Session

    bench.gallery.add([CrystalEntry(perovskite(), "interpolated")])
    parents = [bench.gallery.entries[1], bench.gallery.entries[3]]
    relaxed = [CrystalEntry(perovskite(), "relaxed", parent=one.identify()) for one in parents]
    bench.gallery.add(relaxed)
    table = bench.gallery.table
    assert table.order == [0, 1, 4, 2, 3, 5]
    assert table.marks == {"4": {"child": True}, "5": {"child": True}}
    table.sort_by, table.descending = "num_atoms", True
    assert table.order.index(4) == table.order.index(1) + 1
    table.filter = "origin = relaxed"
    assert sorted(table.order) == [4, 5] and table.marks == {}, "children whose parent is away"
    # Folded, a relaxed crystal stands below the row that stands for its parent.
    table.filter, table.sort_by = "", ""
    table.groups, table.folded = [0, 0, 2, 3, 0, 3], True
    assert table.order == [0, 4, 2, 3, 5] and table.marks["0"] == {"count": 2}
    # It is so again after a restart, for crystals with and without a recipe.
    session = Session(tmp_path)
    both = session.keep("Two", [bench.gallery.entries[3], *relaxed])
    assert parents_of([bench.gallery.entries[1], *session.entries(both)]) == [None, None, 0, 1]


# -- by itself -----------------------------------------------------------------------------------


def test_first_crystals_are_evaluated_when_nobody_else_works(
    gallery: Gallery, known_batch: Any, helpers: Helpers
) -> None:
    busy = [True]
    reference = Reference(known_batch)
    evaluation = EvaluationBar(gallery, helpers, lambda: reference, lambda _: None, lambda: busy[0])
    evaluation.wake()
    time.sleep(2.5)
    assert not any("valid" in row for row in gallery.rows), "crystals are being made"
    busy[0] = False
    assert evaluation.background.wait(120) and evaluation.background.error == ""
    assert [(row["valid"], row["novel"]) for row in gallery.rows] == [(True, False)] * 3
    assert all(row["band_gap"] >= 0 for row in gallery.rows)
    # Another panel, as after Run All, takes its place.
    gallery.add([perovskite(4.2)])
    evaluation.wake()
    EvaluationBar(gallery, helpers, lambda: None, lambda _: None)
    assert evaluation.background.wait(30) and "valid" not in gallery.rows[3]


def test_nothing_selected_and_nothing_there_start_nothing(
    bar: EvaluationBar, gallery: Gallery
) -> None:
    gallery.clear()
    for button in bar.buttons:
        button.click()
    assert bar.job.state == "idle"
