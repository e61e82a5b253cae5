"""Many crystals side by side, drawn flat: light, sharp in print, and without WebGL."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from crystal_ldm.widgets.figures.theme import themed
from crystal_ldm.widgets.viewers.plotly_flat import flat_crystal_figure, legend_entry
from plotly.subplots import make_subplots
from pymatgen.core import Structure

WIDTH = 940
"""px, for which the atoms' sizes are made; a wider page only spreads the crystals out."""
HEIGHT = 210
"""px for each crystal."""


def crystal_grid(
    structures: Sequence[Structure],
    titles: Sequence[str],
    columns: int = 4,
    title: str = "",
) -> go.Figure:
    """Return the crystals in a grid, all seen from the same side, each at its own scale.

    Args:
        structures: the crystals, at most a few dozen.
        titles: a line above each.
        columns: crystals side by side.
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
        vertical_spacing=0.0 if rows == 1 else 26 / (HEIGHT * rows),
    )
    width = WIDTH * (1 - gap * (columns - 1)) / columns
    elements: dict[str, None] = {}
    for i, structure in enumerate(structures):
        drawing = flat_crystal_figure(structure, height=HEIGHT + 20, width=width)
        place = {"row": i // columns + 1, "col": i % columns + 1}
        for trace in drawing.data:
            if trace.showlegend is False:  # the others are the legend
                figure.add_trace(trace, **place)
        figure.update_xaxes(range=drawing.layout.xaxis.range, **place)
        figure.update_yaxes(range=drawing.layout.yaxis.range, **place)
        elements.update(dict.fromkeys(site.specie.symbol for site in structure))
    for symbol in elements:
        figure.add_trace(legend_entry(symbol, size=11))
    top = 90 if title else 60
    themed(figure, title, height=rows * HEIGHT + top)
    figure.update_annotations(font={"size": 12})
    figure.update_layout(
        margin={"l": 5, "r": 5, "t": top, "b": 5},
        legend={"orientation": "h", "x": 0, "y": 0, "yanchor": "top"},
        hovermode="closest",
    )
    figure.update_xaxes(visible=False, constrain="domain")
    figure.for_each_yaxis(lambda axis: axis.update(scaleanchor=axis.anchor))
    return figure.update_yaxes(visible=False, constrain="domain")
