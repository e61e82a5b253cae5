"""The buttons that evaluate and relax, with the real predictors."""

from __future__ import annotations

from typing import Any

import pytest
from crystal_ldm.widgets import Gallery
from crystal_ldm.widgets.crystal_entry import CrystalEntry
from crystal_ldm.widgets.panels.evaluation import EvaluationBar

from tests.widgets.crystals import perovskite, rock_salt


@pytest.fixture
def gallery() -> Gallery:
    return Gallery([perovskite(4.05), perovskite(4.06), rock_salt()])


@pytest.fixture
def made() -> list[CrystalEntry]:
    return []


@pytest.fixture
def bar(
    gallery: Gallery, made: list[CrystalEntry], known_crystals: Any, known_batch: Any
) -> EvaluationBar:
    from crystal_ldm.evaluate.reference_set import Reference

    return EvaluationBar(
        lambda: gallery.structures,
        lambda: gallery.structure,
        gallery.update_rows,
        made.extend,
        lambda: Reference(known_batch),
    )


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


def test_relax_selected_adds_the_relaxed_crystal(
    bar: EvaluationBar, gallery: Gallery, made: list[CrystalEntry]
) -> None:
    gallery.selected = 0
    press(bar, "Relax selected")
    (relaxed,) = made
    assert relaxed.origin == "relaxed" and "e_above_hull" in relaxed.facts
    # CHGNet's SrTiO3 has a lattice constant of about 3.94 Å.
    edge = (relaxed.structure.volume / gallery.structures[0].volume) ** (1 / 3) * 4.05
    assert edge == pytest.approx(3.94, abs=0.05)
    assert "Relaxed in" in bar.notice.text


def test_nothing_selected_and_nothing_there_start_nothing(
    bar: EvaluationBar, gallery: Gallery
) -> None:
    gallery.clear()
    for button in bar.buttons:
        button.click()
    assert bar.job.state == "idle"
