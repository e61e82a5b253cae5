"""A crystal as a plotly figure: in three dimensions, or as a flat drawing that needs no WebGL."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from crystal_ldm.widgets.viewers.bonding import radius_bonds
from crystal_ldm.widgets.viewers.elements import drawn_radius, element_colour
from crystal_ldm.widgets.viewers.scene import CELL_EDGES, Scene, build_scene

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from pymatgen.core import Structure

GREY = "#8a8a8a"
"""For text and cell edges: readable on white and on black, where a report has no theme."""

VIEWS = {"a": (1.0, 0.0, 0.0), "b": (0.0, 1.0, 0.0), "c": (0.0, 0.0, 1.0)}


def crystal_figure(
    structure: Structure | Scene,
    title: str = "",
    supercell: tuple[int, int, int] = (1, 1, 1),
    height: int = 380,
) -> go.Figure:
    """Return a turnable three-dimensional figure of a crystal; it needs no kernel.

    Atoms are spheres of 0.4 covalent radii, so they scale with the crystal when zoomed.
    """
    import plotly.graph_objects as go

    scene = as_scene(structure, supercell)
    data: list[Any] = [cell_trace(scene), *bond_traces(scene)]
    for symbol in scene.elements:
        chosen = [i for i, s in enumerate(scene.symbols) if s == symbol]
        data.append(_spheres(symbol, scene.positions[chosen]))
    figure = go.Figure(data)
    figure.update_layout(scene_layout(title, height))
    return figure


def flat_crystal_figure(
    structure: Structure | Scene,
    towards: tuple[float, float, float] = (0.28, -0.95, 0.13),
    title: str = "",
    height: int = 380,
    supercell: tuple[int, int, int] = (1, 1, 1),
) -> go.Figure:
    """Return an orthographic drawing of a crystal seen against `towards` (Cartesian).

    It is plain SVG: for browsers without WebGL, and for printed reports.
    """
    import plotly.graph_objects as go

    scene = as_scene(structure, supercell)
    axes = view_axes(towards)
    flat = scene.positions @ axes.T
    box = [corners @ axes.T for corners in scene.boxes]
    everything = np.concatenate([flat, *box])
    low, high = everything[:, :2].min(axis=0) - 1.0, everything[:, :2].max(axis=0) + 1.0
    # Marker sizes are in px, so the plot's scale must be known: px per Å at the given height.
    scale = (height - 50) / max(float((high - low)[1]), float((high - low)[0]) * 0.75)

    data: list[Any] = []
    for corners in box:
        x, y = _broken_lines(corners[:, :2], CELL_EDGES)
        data.append(_flat_lines(x, y, GREY, 1))
    ends = [*scene.bonds]
    x, y = _broken_lines(flat[:, :2], ends)
    data.append(_flat_lines(x, y, "#777777", 5))
    stubs = scene.stubs @ axes.T
    points = np.concatenate([flat, stubs]) if len(stubs) else flat
    pairs = [(int(a), len(flat) + k) for k, a in enumerate(scene.stub_atoms)]
    x, y = _broken_lines(points[:, :2], pairs)
    data.append(_flat_lines(x, y, "#aaaaaa", 5))
    order = np.argsort(flat[:, 2])
    symbols = [scene.symbols[i] for i in order]
    data.append(
        go.Scatter(
            x=flat[order, 0],
            y=flat[order, 1],
            mode="markers",
            text=symbols,
            hovertemplate="%{text}<extra></extra>",
            showlegend=False,
            marker={
                "size": [2 * scale * drawn_radius(s) for s in symbols],
                "color": [element_colour(s) for s in symbols],
                "line": {"color": "#444444", "width": 1},
                "opacity": 1,
            },
        )
    )
    data += [_legend_entry(symbol) for symbol in scene.elements]
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


def as_scene(structure: Structure | Scene, supercell: tuple[int, int, int] = (1, 1, 1)) -> Scene:
    """Return `structure` laid out with bonds by radius; a scene is returned as it is."""
    if isinstance(structure, Scene):
        return structure
    return build_scene(structure, radius_bonds(structure), supercell)


def view_axes(towards: tuple[float, float, float]) -> np.ndarray:
    """Return the rows right, up, towards-the-viewer of an orthographic view, z upwards."""
    depth = np.asarray(towards, dtype=float)
    depth = depth / np.linalg.norm(depth)
    up = np.array([0.0, 0.0, 1.0]) if abs(depth[2]) < 0.99 else np.array([0.0, 1.0, 0.0])
    right = np.cross(up, depth)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(depth, right), depth])


def cell_trace(scene: Scene) -> go.Scatter3d:
    """Return the edges of the cell, and of the block of cells, as one line trace."""
    import plotly.graph_objects as go

    points = np.concatenate([_broken_lines_3d(corners, CELL_EDGES) for corners in scene.boxes])
    return go.Scatter3d(
        x=points[:, 0],
        y=points[:, 1],
        z=points[:, 2],
        mode="lines",
        line={"color": GREY, "width": 2},
        hoverinfo="skip",
        showlegend=False,
    )


def bond_traces(scene: Scene) -> list[go.Scatter3d]:
    """Return the bonds, each half in its atom's colour, as one trace for each element."""
    import plotly.graph_objects as go

    halves: dict[str, list[np.ndarray]] = {}
    gap = np.full(3, np.nan)
    for i, j in scene.bonds:
        middle = (scene.positions[i] + scene.positions[j]) / 2
        for atom in (i, j):
            halves.setdefault(scene.symbols[atom], []).extend([scene.positions[atom], middle, gap])
    for atom, end in zip(scene.stub_atoms, scene.stubs, strict=True):
        halves.setdefault(scene.symbols[atom], []).extend([scene.positions[atom], end, gap])
    traces = []
    for symbol, points in halves.items():
        x, y, z = np.array(points).T
        traces.append(
            go.Scatter3d(
                x=x,
                y=y,
                z=z,
                mode="lines",
                line={"color": element_colour(symbol), "width": 9},
                hoverinfo="skip",
                showlegend=False,
            )
        )
    return traces


def scene_layout(title: str, height: int) -> dict[str, Any]:
    """Return the layout of a three-dimensional crystal figure without axes or background."""
    hidden = {"visible": False, "showbackground": False}
    return {
        "title": title or None,
        "height": height,
        "margin": {"l": 0, "r": 0, "t": 40 if title else 0, "b": 0},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": GREY},
        "legend": {"itemsizing": "constant", "itemclick": False, "itemdoubleclick": False},
        "scene": {
            "xaxis": hidden,
            "yaxis": hidden,
            "zaxis": hidden,
            "aspectmode": "data",
            "camera": {
                "projection": {"type": "orthographic"},
                "eye": {"x": 0.42, "y": -1.45, "z": 0.27},
                "up": {"x": 0, "y": 0, "z": 1},
            },
        },
    }


@cache
def _unit_sphere(rings: int = 11, segments: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices (V, 3) and triangles (T, 3) of a sphere of radius 1."""
    polar = np.linspace(0, np.pi, rings)
    turn = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    p, t = np.meshgrid(polar, turn, indexing="ij")
    vertices = np.stack([np.sin(p) * np.cos(t), np.sin(p) * np.sin(t), np.cos(p)], -1)
    triangles = []
    for i in range(rings - 1):
        for j in range(segments):
            k = (j + 1) % segments
            a, b = i * segments + j, i * segments + k
            c, d = a + segments, b + segments
            triangles += [(a, c, b), (b, c, d)]  # seen from outside, counterclockwise
    return vertices.reshape(-1, 3), np.array(triangles)


def _spheres(symbol: str, centres: np.ndarray) -> go.Mesh3d:
    import plotly.graph_objects as go

    vertices, triangles = _unit_sphere()
    points = (centres[:, None, :] + drawn_radius(symbol) * vertices[None]).reshape(-1, 3)
    offsets = len(vertices) * np.arange(len(centres))
    faces = (triangles[None] + offsets[:, None, None]).reshape(-1, 3)
    return go.Mesh3d(
        x=np.round(points[:, 0], 3),
        y=np.round(points[:, 1], 3),
        z=np.round(points[:, 2], 3),
        i=faces[:, 0],
        j=faces[:, 1],
        k=faces[:, 2],
        color=element_colour(symbol),
        name=symbol,
        showlegend=True,
        hoverinfo="name",
        flatshading=False,
        # plotly's lamps leave an orthographic view dark: the colours of the legend must be seen.
        lighting={"ambient": 0.9, "diffuse": 0.3, "specular": 0.1, "roughness": 0.5},
    )


def _legend_entry(symbol: str) -> go.Scatter:
    import plotly.graph_objects as go

    marker = {"size": 12, "color": element_colour(symbol), "line": {"color": "#444444", "width": 1}}
    return go.Scatter(x=[None], y=[None], mode="markers", name=symbol, marker=marker)


def _flat_lines(x: list[float | None], y: list[float | None], colour: str, width: int) -> Any:
    import plotly.graph_objects as go

    line = {"color": colour, "width": width}
    return go.Scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", showlegend=False)


def _broken_lines(points: np.ndarray, pairs: Any) -> tuple[list[float | None], list[float | None]]:
    x: list[float | None] = []
    y: list[float | None] = []
    for i, j in pairs:
        x += [float(points[i, 0]), float(points[j, 0]), None]
        y += [float(points[i, 1]), float(points[j, 1]), None]
    return x, y


def _broken_lines_3d(points: np.ndarray, pairs: Any) -> np.ndarray:
    gap = np.full(3, np.nan)
    return np.array([p for i, j in pairs for p in (points[i], points[j], gap)])
