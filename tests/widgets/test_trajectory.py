"""The trajectory player's traits and callbacks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from crystal_ldm.widgets import CrystalViewer, TrajectoryPlayer
from crystal_ldm.widgets.viewers.trajectory import TrajectorySteps

from crystal_ldm.crystals.geometry.bonds import crystal_bonds, radius_bonds
from crystal_ldm.runs.generate import make_request
from tests.widgets.crystals import perovskite, rock_salt


@pytest.fixture
def player() -> TrajectoryPlayer:
    frames = [perovskite(5.0, ("Ba", "Fe", "F")), perovskite(4.5), perovskite()]
    return TrajectoryPlayer(frames)


def test_it_opens_at_the_finished_crystal(player: TrajectoryPlayer) -> None:
    assert (player.frame, player.num_frames) == (2, 3)
    assert player.structure.composition.reduced_formula == "SrTiO3"


def test_going_to_a_frame_changes_elements_cell_and_cursor(player: TrajectoryPlayer) -> None:
    stage = player.viewer.stage
    before = stage.message
    player.frame = 0
    assert player.play.value == player.slider.value == stage.frame == player.plot.place == 0
    assert player.viewer.structure.composition.reduced_formula == "BaFeF3"
    assert stage.message["colours"] != before["colours"] and stage.message["sdf"] != before["sdf"]
    assert player.plot.places == [1.0, 2.0, 3.0]
    assert player.position.value == "step 1 of 3"


def test_the_browser_moves_by_itself_and_is_not_pulled_back(player: TrajectoryPlayer) -> None:
    stage = player.viewer.stage
    player.slider.value = 0  # as it comes from the browser, which has drawn the frame already
    assert player.frame == 0
    assert player.structure.composition.reduced_formula == "BaFeF3"
    assert player.position.value.startswith("step 1 of 3")
    assert stage.frame == player.plot.place == player.play.value == 2


def test_bonds_are_those_of_every_other_viewer(until: Callable[..., None]) -> None:
    stretched = perovskite(4.4)  # Ti-O is beyond the reach of the radii, not of CrystalNN
    assert len(crystal_bonds(stretched)) > len(radius_bonds(stretched))
    player = TrajectoryPlayer([perovskite(4.3), stretched])
    alone = CrystalViewer(stretched)
    until(lambda: alone.drawn_bonds == crystal_bonds(stretched))
    until(lambda: player.viewer.drawn_bonds == alone.drawn_bonds)
    assert player.viewer.stage.message["sdf"] == alone.stage.message["sdf"]
    player.frame = 0
    assert player.viewer.drawn_bonds == crystal_bonds(perovskite(4.3))


def test_crystals_that_are_no_denoising_are_called_crystals_and_have_every_cell() -> None:
    crystals = [perovskite(5.0, ("Ba", "Fe", "F")), rock_salt().get_primitive_structure()]
    player = TrajectoryPlayer(crystals, noun="crystal")
    stage = player.viewer.stage
    assert "Fe" not in stage.message["sdf"]
    player.viewer.cell = "conventional"
    assert [frame["atoms"] for frame in stage.frames] == [15, 27]
    player.slider.value = 0
    assert player.position.value == "crystal 1 of 2" and len(player.viewer.shown) == 5


def test_of_a_very_long_denoising_some_steps_are_shown(
    monkeypatch: pytest.MonkeyPatch, tiny_ldm: Any
) -> None:
    monkeypatch.setattr("crystal_ldm.widgets.viewers.trajectory.MOST", 3)
    result = tiny_ldm.sample(make_request("NaCl"), 1, sampling_steps=7, trajectory=True)
    final = result.to_structures()[0]
    steps = TrajectorySteps.from_frames(result.trajectory, final)
    assert steps.steps == [0, 3, 6, 7] and steps.structures[-1] is final
    assert len(steps.noise_levels) == len(steps.structures) == 4
    assert {len(curve) for curve in steps.curves.values()} == {4}


def test_a_click_on_a_curve_goes_to_that_step(player: TrajectoryPlayer) -> None:
    player.plot.clicked = {"x": 2, "count": 1}
    assert player.frame == 1


def test_frames_outside_are_clipped(player: TrajectoryPlayer) -> None:
    player.frame = 99
    assert player.frame == 2


def test_curves_are_volume_and_shortest_distance(player: TrajectoryPlayer) -> None:
    curves = player.steps.curves
    assert curves["Volume (Å³)"] == pytest.approx([125.0, 91.125, 3.91**3])
    assert curves["Shortest distance (Å)"] == pytest.approx([2.5, 2.25, 1.955])


def test_without_a_trajectory_it_says_so() -> None:
    player = TrajectoryPlayer([])
    assert player.num_frames == 0
    assert player.empty.layout.display is None and player.body.layout.display == "none"
    player.show_structures([rock_salt()])
    assert player.num_frames == 1
    assert player.empty.layout.display == "none"


def test_a_frame_takes_python_little_of_150_ms() -> None:
    frames = [perovskite(5.0 - 0.05 * k, ("Ba", "Fe", "F")) for k in range(16)]
    player = TrajectoryPlayer(frames)
    times = []
    for frame in range(15):
        started = time.perf_counter()
        player.slider.value = frame
        times.append(time.perf_counter() - started)
    assert player.frame == 14
    assert sorted(times)[len(times) // 6] < 0.05, f"{sorted(times)} s"
