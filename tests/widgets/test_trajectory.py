"""The trajectory player's traits and callbacks."""

from __future__ import annotations

import time

import pytest

from tests.widgets.crystals import perovskite, rock_salt
from widgets import TrajectoryPlayer
from widgets.viewers.trajectory import shortest_distance


@pytest.fixture
def player() -> TrajectoryPlayer:
    frames = [perovskite(5.0, ("Ba", "Fe", "F")), perovskite(4.5), perovskite()]
    return TrajectoryPlayer(frames)


def test_it_opens_at_the_finished_crystal(player: TrajectoryPlayer) -> None:
    assert (player.frame, player.num_frames) == (2, 3)
    assert player.structure.composition.reduced_formula == "SrTiO3"


def test_scrubbing_changes_elements_cell_and_cursor(player: TrajectoryPlayer) -> None:
    before = player.viewer.stage.message
    player._slider.value = 0
    assert player.frame == 0
    assert player._play.value == 0
    assert player.viewer.structure.composition.reduced_formula == "BaFeF3"
    after = player.viewer.stage.message
    assert after["colours"] != before["colours"] and after["sdf"] != before["sdf"]
    assert after["camera"] == "keep"
    assert player._plot.cursor == 1.0
    assert player._where.value == "step 1 of 3, noise 100 %"


def test_a_click_on_a_curve_goes_to_that_step(player: TrajectoryPlayer) -> None:
    player._plot.clicked = {"x": 2, "count": 1}
    assert player.frame == 1


def test_frames_outside_are_clipped(player: TrajectoryPlayer) -> None:
    player.frame = 99
    assert player.frame == 2


def test_curves_are_volume_and_shortest_distance(player: TrajectoryPlayer) -> None:
    curves = player._data.curves()
    assert curves["volume"] == pytest.approx([125.0, 91.125, 3.91**3])
    assert curves["shortest"] == pytest.approx([2.5, 2.25, 1.955])


def test_without_a_trajectory_it_says_so() -> None:
    player = TrajectoryPlayer([])
    assert player.num_frames == 0
    assert player._empty.layout.display is None and player._body.layout.display == "none"
    player.set_trajectory([rock_salt()])
    assert player.num_frames == 1
    assert player._empty.layout.display == "none"


def test_shortest_distance_counts_images() -> None:
    assert shortest_distance(rock_salt().get_primitive_structure()) == pytest.approx(2.82)
    lone = perovskite()
    lone.remove_sites([1, 2, 3, 4])
    assert shortest_distance(lone) == pytest.approx(3.91)


def test_a_frame_takes_python_little_of_150_ms() -> None:
    frames = [perovskite(5.0 - 0.05 * k, ("Ba", "Fe", "F")) for k in range(16)]
    player = TrajectoryPlayer(frames)
    times = []
    for frame in range(15):
        started = time.perf_counter()
        player._slider.value = frame
        times.append(time.perf_counter() - started)
    assert player.frame == 14
    assert sorted(times)[len(times) // 6] < 0.05, f"{sorted(times)} s"
