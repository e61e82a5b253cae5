"""A measured powder pattern is dropped on the simulated ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import plotly.io as pio
import pytest
from crystal_ldm.widgets import Compare, PowderPanel

from crystal_ldm.crystals.powder import broadened, xrd_pattern
from tests.widgets.crystals import perovskite, rock_salt

ANGLES = np.arange(10, 80, 0.05)


def file_of(crystal: object, radiation: str = "Cu Kα") -> bytes:
    """Return a pattern of a crystal as two columns."""
    counts = 30 + 10 * broadened(*xrd_pattern(crystal, radiation), ANGLES, 0.2)
    lines = (f"{x:.2f} {y:.1f}" for x, y in zip(ANGLES, counts, strict=True))
    return "\n".join(lines).encode()


def test_the_right_crystal_has_the_higher_similarity(until: Callable[..., None]) -> None:
    panel = PowderPanel([("SrTiO3", perovskite()), ("NaCl", rock_salt())])
    until(lambda: panel.plot.spec)
    assert panel.similarity == [] and "cl" not in panel.said.text
    panel.zone.on_message(None, {"name": "mine.xy"}, [file_of(perovskite())])
    until(lambda: len(panel.similarity) == 2)
    right, wrong = panel.similarity
    assert right > 0.95 > 0.5 > wrong
    assert f"SrTiO3 {right:.2f}, NaCl {wrong:.2f}" in panel.said.text
    assert "mine.xy" in panel.said.text and "de Gelder" in panel.said.text
    names = [trace.name for trace in pio.from_json(panel.plot.spec).data]
    assert names == ["mine.xy", f"SrTiO3 ({right:.2f})", f"NaCl ({wrong:.2f})"]
    panel.remove.click()
    until(lambda: panel.similarity == [])
    assert panel.said.text == "" and panel.remove.layout.display == "none"


def test_wavelength_and_width_act(until: Callable[..., None]) -> None:
    panel = PowderPanel([("NaCl", rock_salt())])
    panel.read("co.xy", file_of(rock_salt(), "Co Kα"))
    until(lambda: len(panel.similarity) == 1)
    assert panel.similarity[0] < 0.5
    panel.radiation = "Co Kα"
    until(lambda: panel.similarity[0] > 0.95)
    sharp = panel.similarity[0]
    panel.radiation = "1.79026"
    until(lambda: "λ = 1.79026 Å" in pio.from_json(panel.plot.spec).layout.xaxis.title.text)
    assert panel.similarity[0] == pytest.approx(sharp, abs=1e-3)
    panel.width = 1.5
    until(lambda: panel.similarity[0] < sharp - 0.001)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("x.cif", b"data_x\n_cell_length_a 3", "holds 0 points"),
        ("photo.png", b"\x89PNG\0\0", "no text"),
        ("peaks.xy", b"10 1\n20 2", "holds 2 points"),
    ],
)
def test_a_file_that_is_no_pattern_is_one_sentence(
    name: str, content: bytes, sentence: str
) -> None:
    panel = PowderPanel([("NaCl", rock_salt())])
    panel.zone.on_message(None, {"name": name}, [content])
    assert panel.notice.level == "error" and sentence in panel.notice.text
    assert panel.measured is None


def test_a_wrong_wavelength_is_said_and_the_drawing_stays(until: Callable[..., None]) -> None:
    panel = PowderPanel([("NaCl", rock_salt())])
    until(lambda: panel.plot.spec)
    before = panel.plot.spec
    panel.radiation = "copper"
    assert "wavelength should be" in panel.notice.text and panel.plot.spec == before
    panel.radiation = "Mo Kα"
    until(lambda: panel.plot.spec != before)
    assert panel.notice.text == ""


def test_compare_keeps_the_measured_pattern_as_crystals_pass(until: Callable[..., None]) -> None:
    panel = Compare(rock_salt(), None)
    panel.powder.read("mine.xy", file_of(perovskite()))
    until(lambda: len(panel.powder.similarity) == 1)
    assert panel.powder.similarity[0] < 0.5
    panel.first = perovskite()
    until(lambda: panel.powder.similarity[0] > 0.95)
