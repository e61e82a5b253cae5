"""Many crystals side by side, drawn flat: light, sharp in print, and without WebGL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from crystal_ldm.widgets.figures.theme import themed
from crystal_ldm.widgets.viewers.plotly_flat import flat_crystal_figure, legend_entry
from plotly.subplots import make_subplots
from pymatgen.core import Structure

WIDTH = 940
"""px, for which the atoms' sizes are made; a wider page only spreads the crystals out."""


def crystal_grid(
    structures: Sequence[Structure],
    titles: Sequence[str],
    columns: int = 4,
    cell_height: int = 210,
    title: str = "",
) -> go.Figure:
    """Return the crystals in a grid, all seen from the same side, each at its own scale.

    Args:
        structures: the crystals, at most a few dozen.
        titles: a line above each.
        columns: crystals side by side.
        cell_height: px for each.
        title: of the whole figure.

    Raises:
        ValueError: `structures` is empty or has another length than `titles`.
    """
    if not structures or len(structures) != len(titles):
        raise ValueError("crystal_grid needs crystals and a title for each.")
    columns = min(columns, len(structures))
    rows = -(-len(structures) // columns)
    gap = 0.02
    figure = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=[str(text) for text in titles],
        horizontal_spacing=gap,
        vertical_spacing=0.0 if rows == 1 else 26 / (cell_height * rows),
    )
    size = (WIDTH * (1 - gap * (columns - 1)) / columns, cell_height - 30.0)
    elements: dict[str, None] = {}
    for i, structure in enumerate(structures):
        row, column = divmod(i, columns)
        traces, x_range, y_range = _drawn(structure, size)
        for trace in traces:
            figure.add_trace(trace, row=row + 1, col=column + 1)
        figure.update_xaxes(
            visible=False, range=x_range, constrain="domain", row=row + 1, col=column + 1
        )
        figure.update_yaxes(visible=False, range=y_range, row=row + 1, col=column + 1)
        axis = row * columns + column + 1
        anchor = "x" if axis == 1 else f"x{axis}"
        figure.update_yaxes(scaleanchor=anchor, constrain="domain", row=row + 1, col=column + 1)
        elements.update(dict.fromkeys(site.specie.symbol for site in structure))
    for symbol in elements:
        figure.add_trace(legend_entry(symbol, size=11))
    top = 90 if title else 60
    themed(figure, title, height=rows * cell_height + top)
    figure.update_annotations(font={"size": 12})
    figure.update_layout(
        margin={"l": 5, "r": 5, "t": top, "b": 5},
        legend={"orientation": "h", "x": 0, "y": 0, "yanchor": "top"},
        hovermode="closest",
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure


def _drawn(
    structure: Structure, size: tuple[float, float]
) -> tuple[list[Any], list[float], list[float]]:
    """Return a crystal's traces with atoms for a field of `size` px, and its axes' ranges."""
    drawing = flat_crystal_figure(structure, height=round(size[1]) + 50)
    x_range, y_range = list(drawing.layout.xaxis.range), list(drawing.layout.yaxis.range)
    width, height = x_range[1] - x_range[0], y_range[1] - y_range[0]
    made_for = size[1] / max(height, 0.75 * width)  # px per Å that the drawing assumes
    factor = min(size[0] / width, size[1] / height) / made_for
    traces = [trace for trace in drawing.data if len(trace.x) and trace.x[0] is not None]
    for trace in traces:
        trace.showlegend = False
        if trace.mode == "markers":
            trace.marker.size = [factor * diameter for diameter in trace.marker.size]
        elif trace.line.width > 1:
            trace.line.width = max(1.5, 0.7 * trace.line.width)
    return traces, x_range, y_range
