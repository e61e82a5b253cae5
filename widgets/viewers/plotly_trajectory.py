"""A denoising trajectory as one plotly figure with frames, which plays without a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from crystal_ldm.widgets.viewers.elements import LOOK
from crystal_ldm.widgets.viewers.plotly_crystal import (
    as_scene,
    broken_lines,
    cell_trace,
    lines_3d,
    scene_layout,
)
from crystal_ldm.widgets.viewers.scene import Scene
from pymatgen.core import Structure


def trajectory_figure(
    structures: Sequence[Structure],
    labels: Sequence[str] | None = None,
    title: str = "",
    height: int = 440,
    frame_ms: int = 120,
) -> go.Figure:
    """Return a figure that plays `structures`: elements, positions and cell change together.

    Args:
        structures: one crystal a frame.
        labels: what the slider says at each frame; the frame's number by default.
        frame_ms: milliseconds that a frame stays while playing.

    Raises:
        ValueError: `structures` is empty.
    """
    if not structures:
        raise ValueError("A trajectory needs at least one frame.")
    names = [str(label) for label in labels] if labels else [str(i) for i in range(len(structures))]
    scenes = [as_scene(structure) for structure in structures]
    reach = _common_range(scenes)
    frames = [go.Frame(name=str(i), data=_frame_traces(scene)) for i, scene in enumerate(scenes)]
    figure = go.Figure(data=_frame_traces(scenes[-1]), frames=frames)
    layout = scene_layout(title, height)
    for axis, (low, high) in zip(("xaxis", "yaxis", "zaxis"), reach, strict=True):
        layout["scene"][axis] = {**layout["scene"][axis], "range": [low, high]}
    layout["scene"]["aspectmode"] = "manual"
    spans = np.array([high - low for low, high in reach])
    layout["scene"]["aspectratio"] = dict(zip("xyz", (spans / spans.max()).tolist(), strict=True))
    layout["showlegend"] = False
    figure.update_layout(
        layout,
        margin={"l": 0, "r": 0, "t": 40 if title else 0, "b": 70},
        updatemenus=[_buttons(frame_ms)],
        sliders=[_slider(names)],
    )
    return figure


def _frame_traces(scene: Scene) -> list[Any]:
    """Return cell, bonds and atoms; three traces, so that each frame replaces all."""
    bonds = lines_3d([broken_lines(scene.positions, scene.bonds)], "#9a9a9a", 6)
    atoms = go.Scatter3d(
        x=scene.positions[:, 0],
        y=scene.positions[:, 1],
        z=scene.positions[:, 2],
        mode="markers",
        text=scene.symbols,
        hovertemplate="%{text}<extra></extra>",
        marker={
            "size": [36 * LOOK.radius(symbol) for symbol in scene.symbols],
            "color": [LOOK.colour(symbol) for symbol in scene.symbols],
            "opacity": 1,
            "line": {"color": "#444444", "width": 1},
        },
        showlegend=False,
    )
    return [cell_trace(scene), bonds, atoms]


def _common_range(scenes: Sequence[Scene]) -> list[tuple[float, float]]:
    """Return one range per axis for all frames; a single huge cell must not shrink the others."""
    low = np.array([np.min([b.min(axis=0) for b in scene.boxes], axis=0) for scene in scenes])
    high = np.array([np.max([b.max(axis=0) for b in scene.boxes], axis=0) for scene in scenes])
    final_low, final_high = low[-1], high[-1]
    size = float((final_high - final_low).max())
    low = np.maximum(low.min(axis=0), final_low - size) - 0.8
    high = np.minimum(high.max(axis=0), final_high + size) + 0.8
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def _buttons(frame_ms: int) -> dict[str, Any]:
    play = {
        "frame": {"duration": frame_ms, "redraw": True},
        "transition": {"duration": 0},
        "fromcurrent": False,
        "mode": "immediate",
    }
    stop = {"frame": {"duration": 0, "redraw": False}, "mode": "immediate"}
    return {
        "type": "buttons",
        "direction": "left",
        "x": 0.0,
        "xanchor": "left",
        "y": -0.02,
        "yanchor": "top",
        "pad": {"t": 8},
        "showactive": False,
        "font": {"color": "#333333"},
        "bgcolor": "#f0f0f0",
        "buttons": [
            {"label": "Play", "method": "animate", "args": [None, play]},
            {"label": "Pause", "method": "animate", "args": [[None], stop]},
        ],
    }


def _slider(names: Sequence[str]) -> dict[str, Any]:
    move = {"frame": {"duration": 0, "redraw": True}, "mode": "immediate"}
    return {
        "active": len(names) - 1,
        "x": 0.24,
        "len": 0.74,
        "y": -0.02,
        "yanchor": "top",
        "pad": {"t": 8},
        "currentvalue": {"prefix": "", "visible": True, "xanchor": "right"},
        "steps": [
            {"label": name, "method": "animate", "args": [[str(i)], move]}
            for i, name in enumerate(names)
        ],
    }
