"""The symmetry panel, alone and below the gallery."""

from __future__ import annotations

from collections.abc import Callable

from crystal_ldm.widgets import Gallery, SymmetryPanel

from tests.widgets.crystals import copper, perovskite, rock_salt


def test_the_panel_says_group_positions_and_operations(until: Callable[..., None]) -> None:
    panel = SymmetryPanel(perovskite())
    until(lambda: panel.symmetry is not None)
    text = panel.facts.value
    for part in ("Pm-3m (no. 221)", "cubic", "48 symmetry operations", "3c", "4/mm.m", "1b"):
        assert part in text
    assert "-x, -y, -z" in panel.operations.value
    assert [(s.element, s.coordination) for s in panel.symmetry.sites] == [
        ("Sr", 12), ("Ti", 6), ("O", 6),
    ]  # fmt: skip


def test_the_tolerance_decides(until: Callable[..., None]) -> None:
    bent = perovskite()
    bent.translate_sites([1], [0.01, 0, 0])
    panel = SymmetryPanel(bent)
    until(lambda: panel.symmetry is not None)
    assert panel.symmetry.number == 221
    panel.symprec = 0.001
    until(lambda: panel.symmetry.number != 221)
    assert panel.symmetry.symbol == "P4mm"


def test_what_has_no_symmetry_is_one_sentence(until: Callable[..., None]) -> None:
    heap = copper()
    heap.append("Cu", [0, 0, 0])
    panel = SymmetryPanel(heap)
    until(lambda: panel.notice.text)
    assert "finds no symmetry" in panel.notice.text and panel.facts.value == ""
    panel.structure = None
    until(lambda: panel.notice.text == "No crystal is selected.")


def test_nothing_is_computed_while_it_is_folded_away(until: Callable[..., None]) -> None:
    gallery = Gallery([perovskite(), rock_salt()])
    panel = gallery.symmetry
    gallery.step(1)
    assert panel.symmetry is None and panel.facts.value == ""
    gallery.about.children[0].value = True
    until(lambda: panel.symmetry is not None)
    assert panel.symmetry.symbol == "Fm-3m"
    gallery.step(1)
    until(lambda: panel.symmetry.symbol == "Pm-3m")
