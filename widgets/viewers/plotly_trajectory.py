"""A denoising trajectory as one plotly figure with frames, which plays without a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.express as px
import plotly.graph_objects as go
from crystal_ldm.widgets.viewers.elements import LOOK
from crystal_ldm.widgets.viewers.plotly_crystal import (
    as_scene,
    broken_lines,
    cell_trace,
    lines_3d,
    scene_layout,
)
from crystal_ldm.widgets.viewers.scene import Scene, common_extent
from pymatgen.core import Structure

FRAME = 120
"""Milliseconds that a frame stays while playing."""


def trajectory_figure(
    structures: Sequence[Structure],
    labels: Sequence[str] | None = None,
    title: str = "",
) -> go.Figure:
    """Return a figure that plays `structures`: elements, positions and cell change together.

    Args:
        structures: one crystal a frame.
        labels: what the slider says at each frame; the frame's number by default.

    Raises:
        ValueError: `structures` is empty.
    """
    if not structures:
        raise ValueError("A trajectory needs at least one frame.")
    names = [str(label) for label in labels] if labels else [str(i) for i in range(len(structures))]
    scenes = [as_scene(structure) for structure in structures]
    frames = [go.Frame(name=str(i), data=_frame_traces(scene)) for i, scene in enumerate(scenes)]
    layout = _with_play(names) | scene_layout(title, 500)
    corners = common_extent(scenes, 3.0) + np.array([[-0.8], [0.8]])
    size = np.ptp(corners, axis=0)
    spans = dict(zip("xyz", (size / size.max()).tolist(), strict=True))
    layout["scene"] |= {"aspectmode": "manual", "aspectratio": spans}
    for axis, ends in zip("xyz", corners.T.tolist(), strict=True):
        layout["scene"][f"{axis}axis"] = {**layout["scene"][f"{axis}axis"], "range": ends}
    layout |= {"showlegend": False, "margin": {"l": 0, "r": 0, "t": 40 if title else 0, "b": 110}}
    return go.Figure(_frame_traces(scenes[-1]), layout, frames)


def _with_play(names: list[str]) -> dict[str, Any]:
    """Return a layout with plotly's own slider over frames, and buttons that play them all."""
    if len(names) == 1:
        return {}
    numbers = [str(i) for i in range(len(names))]  # a name may stand twice
    film = px.scatter_3d(x=numbers, y=numbers, z=numbers, animation_frame=numbers).layout
    (slider,), (buttons,) = (film.to_plotly_json()[part] for part in ("sliders", "updatemenus"))
    for step, name in zip(slider["steps"], names, strict=True):
        step["label"] = name
    play = buttons["buttons"][0]["args"][1]
    play |= {"fromcurrent": False, "frame": {"duration": FRAME, "redraw": True}}
    slider |= {
        "active": len(names) - 1,
        "len": 0.86,
        "currentvalue": {"prefix": "", "xanchor": "right"},
    }
    return {"sliders": [slider], "updatemenus": [buttons]}


def _frame_traces(scene: Scene) -> list[Any]:
    """Return cell, bonds and atoms; three traces, so that each frame replaces all."""
    bonds = lines_3d([broken_lines(scene.positions, scene.bonds)], "#9a9a9a", 6)
    x, y, z = scene.positions.T
    atoms = go.Scatter3d(
        x=x, y=y, z=z, mode="markers", text=scene.symbols, showlegend=False,
        hovertemplate="%{text}<extra></extra>",
        marker={
            "size": [36 * LOOK.radius(symbol) for symbol in scene.symbols],
            "color": [LOOK.colour(symbol) for symbol in scene.symbols],
            "opacity": 1, "line": {"color": "#444444", "width": 1},
        },
    )  # fmt: skip
    return [cell_trace(scene), bonds, atoms]
