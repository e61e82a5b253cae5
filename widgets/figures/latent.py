"""The latent space of a VAE: where crystals lie, and how far off its decoder forgives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from crystal_ldm.widgets.figures.theme import BLUE, GREY, ORANGE, themed
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots


def latent_figure(
    points: ArrayLike,
    values: ArrayLike,
    names: Sequence[str],
    label: str,
    explained: Sequence[float] = (),
) -> go.Figure:
    """Return a map of crystals by their latents, coloured by a property.

    Args:
        points: (n, 2) coordinates on the map.
        values: (n,) property, NaN where unknown (drawn grey).
        names: (n,) what is shown on hovering; each point's customdata is its number.
        label: name of the property with its unit.
        explained: share of the variance along each axis of the map.
    """
    where, colours = np.asarray(points, dtype=float), np.asarray(values, dtype=float)
    known = np.isfinite(colours)
    figure = go.Figure()
    for chosen, marker, name in (
        (~known, {"color": GREY, "size": 5, "opacity": 0.35}, f"no {label}"),
        (
            known,
            {
                "color": colours[known], "size": 6, "opacity": 0.85, "colorscale": "Viridis",
                "colorbar": {"title": {"text": label}, "thickness": 12},
            },
            label,
        ),
    ):  # fmt: skip
        rows = np.flatnonzero(chosen)
        figure.add_trace(
            go.Scattergl(
                x=where[rows, 0],
                y=where[rows, 1],
                mode="markers",
                marker=marker,
                name=name,
                customdata=rows,
                text=[names[i] for i in rows],
                hovertemplate="%{text}<extra></extra>",
                showlegend=False,
            )
        )
    shares = [f" ({100 * share:.0f} % of the variance)" for share in explained] or ["", ""]
    x, y = (f"principal component {i + 1}{share}" for i, share in enumerate(shares[:2]))
    return themed(figure, f"Latent space, coloured by {label}", x, y, height=460)


def tolerance_figure(
    noise: Sequence[float], match: Sequence[float], rmse: Sequence[float]
) -> go.Figure:
    """Return how reconstruction suffers when latents are off.

    Args:
        noise: standard deviations of the noise, in units of the latents' own.
        match: share of crystals that still match.
        rmse: mean RMSE of those, in (V/n)^(1/3).
    """
    figure = make_subplots(specs=[[{"secondary_y": True}]])
    figure.add_trace(
        go.Scatter(x=list(noise), y=list(match), name="match", line={"color": BLUE, "width": 2},
                   mode="lines+markers", hovertemplate="match %{y:.1%}<extra></extra>"),
        secondary_y=False,
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(x=list(noise), y=list(rmse), name="RMSE", mode="lines+markers",
                   line={"color": ORANGE, "width": 2, "dash": "dot"},
                   hovertemplate="RMSE %{y:.3f}<extra></extra>"),
        secondary_y=True,
    )  # fmt: skip
    themed(figure, "What the decoder forgives", "noise / spread of the latents")
    figure.update_yaxes(
        title={"text": "share that matches", "font": {"color": BLUE}},
        range=[0, 1.05], tickformat=".0%", secondary_y=False,
    )  # fmt: skip
    figure.update_yaxes(
        title={"text": "RMSE, (V/n)^(1/3)", "font": {"color": ORANGE}},
        rangemode="tozero", tickmode="auto", tickformat=".2f", showgrid=False, secondary_y=True,
    )  # fmt: skip
    return figure
