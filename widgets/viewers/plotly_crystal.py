"""A crystal as a plotly figure in three dimensions, which needs WebGL but no kernel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
import plotly.graph_objects as go
from crystal_ldm.widgets.viewers.elements import LOOK, Look
from crystal_ldm.widgets.viewers.scene import CELL_EDGES, Scene, build_scene
from pymatgen.core import Structure

from crystal_ldm.crystals.geometry.bonds import radius_bonds

GREY = "#8a8a8a"
"""For text and cell edges: readable on white and on black, where a report has no theme."""

MARK = "#ff9800"
"""Colour of atoms that were picked."""


def crystal_figure(
    structure: Structure | Scene,
    title: str = "",
    height: int = 380,
    look: Look = LOOK,
    marked: Sequence[int] = (),
    joined: bool = True,
) -> go.Figure:
    """Return a turnable three-dimensional figure of a crystal; it needs no kernel.

    Atoms are spheres, so they scale with the crystal when zoomed. `marked` are numbers of drawn
    atoms that stand out, `joined` by a line; see `atom_clicked` for the way back.
    """
    scene = as_scene(structure)
    data: list[Any] = [cell_trace(scene), *_bonds(scene, look), *_polyhedra(scene, look)]
    for symbol in scene.elements:
        chosen = [i for i, s in enumerate(scene.symbols) if s == symbol]
        data.append(_spheres(symbol, scene.positions[chosen], look, chosen))
    x, y, z = scene.positions.T
    if look.labels:  # above the atoms: a text inside a sphere is hidden by it
        above = z + np.array([look.radius(symbol) + 0.15 for symbol in scene.symbols])
        text = {"text": scene.symbols, "hoverinfo": "skip", "showlegend": False}
        data.append(go.Scatter3d(x=x, y=y, z=above, mode="text", **text))
    if marked:
        at = {axis: values[list(marked)] for axis, values in zip("xyz", (x, y, z), strict=True)}
        data.append(go.Scatter3d(**at, **mark_style(22, joined)))
    return go.Figure(data, scene_layout(title, height))


def mark_style(size: float | list[float], joined: bool) -> dict[str, Any]:
    """Return how rings around atoms look in a trace, with lines between them if wanted."""
    return {
        "mode": "lines+markers" if joined else "markers",
        "line": {"color": MARK, "width": 4},
        "marker": {"size": size, "symbol": "circle-open", "color": MARK, "line": {"width": 4}},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def as_scene(structure: Structure | Scene) -> Scene:
    """Return `structure` laid out with bonds by radius; a scene is returned as it is."""
    if isinstance(structure, Scene):
        return structure
    return build_scene(structure, radius_bonds(structure))


def cell_trace(scene: Scene) -> go.Scatter3d:
    """Return the edges of the cell, and of the block of cells, as one line trace."""
    return lines_3d([broken_lines(corners, CELL_EDGES) for corners in scene.boxes], GREY, 2)


def _bonds(scene: Scene, look: Look) -> list[go.Scatter3d]:
    """Return the bonds, each half in its atom's colour, as one trace for each element."""
    halves: dict[str, list[np.ndarray]] = {}
    ends = [(atom, scene.positions[[i, j]].mean(0)) for i, j in scene.bonds for atom in (i, j)]
    for atom, end in [*ends, *zip(scene.stub_atoms, scene.stubs, strict=True)]:
        half = broken_lines(np.array([scene.positions[atom], end]), [(0, 1)])
        halves.setdefault(scene.symbols[atom], []).append(half)
    return [lines_3d(parts, look.colour(symbol), 9) for symbol, parts in halves.items()]


def lines_3d(parts: Sequence[np.ndarray], colour: str, width: float) -> go.Scatter3d:
    """Return the lines of `broken_lines` as one trace."""
    x, y, z = np.concatenate([np.zeros((0, 3)), *parts]).T
    line = {"color": colour, "width": width}
    return go.Scatter3d(x=x, y=y, z=z, mode="lines", line=line, hoverinfo="skip", showlegend=False)


def broken_lines(points: np.ndarray, pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    """Return (3 L, d): the ends of L lines between pairs of points (n, d), and a gap after each."""
    gap = np.full(points.shape[1], np.nan)
    lines = [point for i, j in pairs for point in (points[i], points[j], gap)]
    return np.array(lines).reshape(-1, points.shape[1])


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
def _unit_sphere() -> tuple[np.ndarray, np.ndarray]:
    """Return vertices (V, 3) and triangles (T, 3) of a sphere of radius 1."""
    rings, segments = 11, 16
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


def _spheres(symbol: str, centres: np.ndarray, look: Look, atoms: list[int]) -> go.Mesh3d:
    vertices, triangles = _unit_sphere()
    points = (centres[:, None, :] + look.radius(symbol) * vertices[None]).reshape(-1, 3)
    offsets = len(vertices) * np.arange(len(centres))
    faces = (triangles[None] + offsets[:, None, None]).reshape(-1, 3)
    # plotly's lamps leave an orthographic view dark: the colours of the legend must be seen.
    lighting = {"ambient": 0.9, "diffuse": 0.3, "specular": 0.1, "roughness": 0.5}
    how = {"color": look.colour(symbol), "name": symbol, "meta": atoms, "hoverinfo": "name"}
    return _mesh(points.round(3), faces, **how, showlegend=True, lighting=lighting)


def _mesh(points: np.ndarray, faces: np.ndarray, **how: Any) -> go.Mesh3d:
    (x, y, z), (i, j, k) = points.T, faces.T
    return go.Mesh3d(x=x, y=y, z=z, i=i, j=j, k=k, **how)


def atom_clicked(figure: go.Figure, curve: int, point: int) -> int | None:
    """Return which drawn atom a click into `crystal_figure` or `flat_crystal_figure` met."""
    trace = figure.data[curve]
    atoms = trace.meta
    if atoms is None:
        return None
    each = len(_unit_sphere()[0]) if trace.type == "mesh3d" else 1
    return int(atoms[point // each]) if point // each < len(atoms) else None


def _polyhedra(scene: Scene, look: Look) -> list[go.Mesh3d]:
    traces = []
    for symbol, triangles in scene.polyhedra_by_element().items():
        points = triangles.reshape(-1, 3)
        how = {"color": look.colour(symbol), "opacity": 0.45, "flatshading": True}
        numbers = np.arange(len(points)).reshape(-1, 3)
        traces.append(_mesh(points, numbers, hoverinfo="skip", showlegend=False, **how))
    return traces
