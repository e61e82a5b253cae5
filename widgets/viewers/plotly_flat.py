"""A crystal as a flat drawing: plain SVG, without WebGL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from crystal_ldm.widgets.viewers.elements import LOOK, Look, ink_on
from crystal_ldm.widgets.viewers.plotly_crystal import GREY, as_scene, broken_lines, mark_style
from crystal_ldm.widgets.viewers.scene import CELL_EDGES, Scene
from pymatgen.core import Structure

STANDARD = (0.28, -0.95, 0.13)
"""Almost along b, with c up."""


def flat_crystal_figure(
    structure: Structure | Scene,
    towards: Sequence[float] = STANDARD,
    height: int = 380,
    width: float | None = None,
    look: Look = LOOK,
    marked: Sequence[int] = (),
    joined: bool = True,
) -> go.Figure:
    """Return an orthographic drawing of a crystal seen against `towards` (Cartesian).

    It is plain SVG: for browsers without WebGL, and for printed reports. `width` is how wide it
    will be, px, which the atoms' sizes are made for.
    """
    scene = as_scene(structure)
    axes = view_axes(towards)
    flat = scene.positions @ axes.T
    boxes = [corners @ axes.T for corners in scene.boxes]
    corners = np.concatenate([flat, *boxes])[:, :2]
    low, high = corners.min(axis=0) - 1.0, corners.max(axis=0) + 1.0
    # Marker sizes are in px, so the plot's scale must be known: px per Å.
    field = np.array([width or (height - 50) / 0.75, height - 50])
    scale = float((field / (high - low)).min())
    thick = min(5.0, 0.1 * scale)

    edges = np.concatenate([broken_lines(corners, CELL_EDGES) for corners in boxes])
    points = np.concatenate([flat, scene.stubs @ axes.T])
    stubs = [(int(atom), len(flat) + k) for k, atom in enumerate(scene.stub_atoms)]
    data: list[Any] = [
        _lines(edges, GREY, 1),
        _lines(broken_lines(flat, scene.bonds), "#777777", thick),
        _lines(broken_lines(points, stubs), "#aaaaaa", thick),
        *_polyhedra(scene, axes, look),
    ]
    order = np.argsort(flat[:, 2])
    symbols = [scene.symbols[i] for i in order]
    data.append(
        go.Scatter(
            x=flat[order, 0],
            y=flat[order, 1],
            mode="markers+text" if look.labels else "markers",
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
        x, y, _ = flat[list(marked)].T
        data.append(go.Scatter(x=x, y=y, **mark_style(1.8 * scale, joined)))
    data += [legend_entry(symbol, look) for symbol in scene.elements]
    return go.Figure(data).update_layout(
        height=height,
        margin={"l": 5, "r": 5, "t": 10, "b": 10},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": GREY},
        xaxis={"visible": False, "range": [low[0], high[0]]},
        yaxis={"visible": False, "range": [low[1], high[1]], "scaleanchor": "x"},
        legend={"itemclick": False, "itemdoubleclick": False},
    )


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


def _lines(points: np.ndarray, colour: str, width: float, **how: Any) -> go.Scatter:
    how |= {"line": {"color": colour, "width": width}, "hoverinfo": "skip", "showlegend": False}
    return go.Scatter(x=points[:, 0], y=points[:, 1], mode="lines", **how)


def _polyhedra(scene: Scene, axes: np.ndarray, look: Look) -> list[go.Scatter]:
    """Return the faces that are seen from the front, one trace for each element at the centre."""
    traces = []
    for symbol, triangles in scene.polyhedra_by_element().items():
        flat = triangles @ axes.T
        turned = np.cross(flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0])[:, 2]
        gaps = np.pad(flat[turned > 1e-9], ((0, 0), (0, 1), (0, 0)), constant_values=np.nan)
        how = {"fill": "toself", "opacity": 0.45}
        traces.append(_lines(gaps.reshape(-1, 3), look.colour(symbol), 1, **how))
    return traces
