"""A number for each element, drawn on the periodic table."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from crystal_ldm.widgets.figures.theme import themed


def element_figure(counts: Mapping[str, int], title: str, unit: str = "formulas") -> go.Figure:
    """Return a periodic table coloured by `counts`, on a logarithmic scale; absent ones are grey.

    Args:
        counts: a number for each element symbol.
        title: of the figure.
        unit: what is counted.
    """
    from crystal_ldm.widgets.controls.periodic_table import element_cells

    colour = np.full((9, 18), np.nan)
    absent = np.full((9, 18), np.nan)
    text = np.full((9, 18), "", dtype=object)
    hover = np.full((9, 18), "", dtype=object)
    for cell in element_cells():
        place = cell["row"] - 1, cell["column"] - 1
        count = counts.get(cell["symbol"], 0)
        text[place] = cell["symbol"]
        hover[place] = f"{cell['name']}: {count:,} {unit}"
        (colour if count else absent)[place] = np.log10(count) if count else 0
    top = np.nanmax(colour) if np.isfinite(colour).any() else 1.0
    ticks = list(range(int(np.floor(top)) + 1))
    shared = {"xgap": 2, "ygap": 2, "texttemplate": "%{text}", "hoverinfo": "text"}
    figure = go.Figure(
        [
            go.Heatmap(
                z=absent, text=np.where(np.isfinite(absent), text, ""), hovertext=hover,
                colorscale=[[0, "rgba(128,128,128,0.14)"], [1, "rgba(128,128,128,0.14)"]],
                showscale=False, textfont={"size": 11, "color": "#888888"}, **shared,
            ),
            go.Heatmap(
                z=colour, text=np.where(np.isfinite(colour), text, ""), hovertext=hover,
                colorscale="Viridis", zmin=0, zmax=max(top, 1.0), textfont={"size": 12},
                colorbar={"title": {"text": unit}, "tickvals": ticks,
                          "ticktext": [f"{10**t:,}" for t in ticks], "thickness": 12},
                **shared,
            ),
        ]
    )  # fmt: skip
    themed(figure, title, height=420)
    figure.update_xaxes(visible=False, constrain="domain")
    figure.update_yaxes(visible=False, autorange="reversed", scaleanchor="x", constrain="domain")
    figure.update_layout(margin={"l": 10, "r": 10, "t": 50, "b": 10})
    return figure
