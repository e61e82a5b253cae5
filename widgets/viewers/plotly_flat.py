"""A crystal as a flat drawing: plain SVG, without WebGL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from crystal_ldm.widgets.viewers.elements import LOOK, Look, ink_on
from crystal_ldm.widgets.viewers.plotly_crystal import (
    GREY,
    MARK,
    as_scene,
    broken_lines,
    mark_mode,
)
from crystal_ldm.widgets.viewers.scene import CELL_EDGES, Scene
from pymatgen.core import Structure


def flat_crystal_figure(
    structure: Structure | Scene,
    towards: Sequence[float] = (0.28, -0.95, 0.13),
    title: str = "",
    height: int = 380,
    supercell: tuple[int, int, int] = (1, 1, 1),
    look: Look = LOOK,
    marked: Sequence[int] = (),
    labels: bool = False,
    joined: bool = True,
) -> go.Figure:
    """Return an orthographic drawing of a crystal seen against `towards` (Cartesian).

    It is plain SVG: for browsers without WebGL, and for printed reports.
    """
    scene = as_scene(structure, supercell)
    axes = view_axes(towards)
    flat = scene.positions @ axes.T
    box = [corners @ axes.T for corners in scene.boxes]
    everything = np.concatenate([flat, *box])
    low, high = everything[:, :2].min(axis=0) - 1.0, everything[:, :2].max(axis=0) + 1.0
    # Marker sizes are in px, so the plot's scale must be known: px per Å at the given height.
    scale = (height - 50) / max(float((high - low)[1]), float((high - low)[0]) * 0.75)

    edges = np.concatenate([broken_lines(corners, CELL_EDGES) for corners in box])
    points = np.concatenate([flat, scene.stubs @ axes.T])
    stubs = [(int(atom), len(flat) + k) for k, atom in enumerate(scene.stub_atoms)]
    data: list[Any] = [
        _flat_lines(edges, GREY, 1),
        _flat_lines(broken_lines(flat, scene.bonds), "#777777", 5),
        _flat_lines(broken_lines(points, stubs), "#aaaaaa", 5),
    ]
    data += _flat_polyhedra(scene, axes, look)
    order = np.argsort(flat[:, 2])
    symbols = [scene.symbols[i] for i in order]
    data.append(
        go.Scatter(
            x=flat[order, 0],
            y=flat[order, 1],
            mode="markers+text" if labels else "markers",
            text=symbols,
            textfont={"color": [ink_on(look.colour(s)) for s in symbols], "size": 12},
            meta=order.tolist(),
            hovertemplate="%{text}<extra></extra>",
            showlegend=False,
            marker={
                "size": [2 * scale * look.radius(s) for s in symbols],
                "color": [look.colour(s) for s in symbols],
                "line": {"color": "#444444", "width": 1},
                "opacity": 1,
            },
        )
    )
    if len(marked):
        data.append(_flat_marks(flat[list(marked)], 2 * scale * 0.9, mark_mode(joined)))
    data += [legend_entry(symbol, look) for symbol in scene.elements]
    figure = go.Figure(data)
    figure.update_layout(
        title=title or None,
        height=height,
        margin={"l": 5, "r": 5, "t": 40 if title else 10, "b": 10},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": GREY},
        xaxis={"visible": False, "range": [low[0], high[0]]},
        yaxis={"visible": False, "range": [low[1], high[1]], "scaleanchor": "x"},
        legend={"itemclick": False, "itemdoubleclick": False},
    )
    return figure


def view_axes(towards: Sequence[float]) -> np.ndarray:
    """Return the rows right, up, towards-the-viewer of an orthographic view, z upwards."""
    depth = np.asarray(towards, dtype=float)
    depth = depth / np.linalg.norm(depth)
    up = np.array([0.0, 0.0, 1.0]) if abs(depth[2]) < 0.99 else np.array([0.0, 1.0, 0.0])
    right = np.cross(up, depth)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(depth, right), depth])


def legend_entry(symbol: str, look: Look = LOOK, size: int = 12) -> go.Scatter:
    """Return a trace that shows nothing but an element's name and colour in the legend."""
    line = {"color": "#444444", "width": 1}
    marker = {"size": size, "color": look.colour(symbol), "line": line}
    return go.Scatter(x=[None], y=[None], mode="markers", name=symbol, marker=marker)


def _flat_lines(points: np.ndarray, colour: str, width: int, **how: Any) -> go.Scatter:
    line = {"color": colour, "width": width}
    return go.Scatter(
        x=points[:, 0], y=points[:, 1], mode="lines", line=line, hoverinfo="skip",
        showlegend=False, **how,
    )  # fmt: skip


def _flat_polyhedra(scene: Scene, axes: np.ndarray, look: Look) -> list[go.Scatter]:
    """Return the faces that are seen from the front, one trace for each element at the centre."""
    outlines: dict[str, list[np.ndarray]] = {}
    gap = np.full((1, 3), np.nan)
    for centre, triangles in scene.polyhedra:
        flat = triangles @ axes.T
        turned = np.cross(flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0])[:, 2]
        for triangle in flat[turned > 1e-9]:
            outlines.setdefault(scene.symbols[centre], []).extend([triangle, gap])
    return [
        _flat_lines(np.concatenate(parts), look.colour(symbol), 1, fill="toself", opacity=0.45)
        for symbol, parts in outlines.items()
    ]


def _flat_marks(points: np.ndarray, size: float, mode: str) -> go.Scatter:
    return go.Scatter(
        x=points[:, 0], y=points[:, 1], mode=mode, hoverinfo="skip", showlegend=False,
        line={"color": MARK, "width": 3},
        marker={"size": size, "symbol": "circle-open", "color": MARK, "line": {"width": 3}},
    )  # fmt: skip
