"""The plot of a gallery: two columns against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from crystal_ldm.widgets.panels.rows import column_info


def scatter_figure(
    rows: Sequence[Mapping[str, Any]],
    order: Sequence[int],
    x: str,
    y: str,
    colour: str = "",
) -> go.Figure:
    """Return a plot of two columns; each point carries its index."""
    shown = [i for i in order if rows[i].get(x) is not None and rows[i].get(y) is not None]
    marker: dict[str, Any] = {"size": 8, "opacity": 0.8, "color": "#2f86d6"}
    if colour:
        marker |= {
            "color": np.array([rows[i].get(colour) for i in shown], dtype=float),  # None: nan
            "colorscale": "Viridis",
            "colorbar": {
                "title": {"text": column_info(colour).axis, "side": "right"},
                "thickness": 10,
            },
        }
    figure = go.Figure(
        go.Scatter(
            x=[rows[i][x] for i in shown],
            y=[rows[i][y] for i in shown],
            customdata=shown,
            text=[f"{rows[i].get('formula', '')} {rows[i].get('space_group', '')}" for i in shown],
            mode="markers",
            marker=marker,
            hovertemplate="%{text}<br>%{x:.3g}, %{y:.3g}<extra></extra>",
        )
    )
    figure.update_layout(
        xaxis={"title": {"text": column_info(x).axis, "font_size": 11}},
        yaxis={"title": {"text": column_info(y).axis, "font_size": 11}},
        margin={"l": 48, "r": 8, "t": 8, "b": 40},
        showlegend=False,
        uirevision=f"{x}/{y}",
    )
    return figure
