"""What came of a training: its loss, and the latent space of a VAE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from crystal_ldm.widgets.figures.theme import BLUE, GREEN, GREY, ORANGE, themed
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

_OTHER = ("step", "loss", "learning_rate", "gradient_norm", "crystals_per_second", "minutes")


def loss_figure(lines: Sequence[Mapping[str, float]], title: str = "Loss") -> go.Figure:
    """Return training and validation loss over steps; the loss's parts can be switched on.

    A training that chooses its weights by match rate has that rate on a second axis.

    Args:
        lines: lines of `metrics.jsonl`, as `crystal_ldm.training.read_metrics` returns them.
        title: of the figure.
    """
    train = [line for line in lines if "loss" in line]
    held_out = [line for line in lines if "val_loss" in line]
    figure = go.Figure()
    figure.add_trace(curve(lines, "loss", "training set", color=BLUE, width=2))
    figure.add_trace(curve(lines, "val_loss", "validation set", color=ORANGE, width=2))
    figure.data[1].mode = "lines+markers"
    matched = [line for line in lines if "val_match" in line]
    if held_out and not matched:
        best = min(held_out, key=lambda line: line["val_loss"])
        star = _star(best["step"], best["val_loss"], "best: %{y:.4f} at step %{x:,}")
        figure.add_trace(star)
    for name in sorted({key for line in train for key in line} - set(_OTHER)):
        part = curve(train, name, name, width=1)
        part.visible = "legendonly"
        figure.add_trace(part)
    values = [line[key] for key, part in (("loss", train), ("val_loss", held_out)) for line in part]
    wide = bool(values) and 0 < 5 * min(values) < max(values)
    themed(figure, title, "step", "loss (log scale)" if wide else "loss", height=380)
    figure.update_layout(hovermode="x unified", uirevision="loss")
    if wide:
        figure.update_yaxes(type="log", dtick="D2", tickformat="~g")
    if matched:
        _add_match_rate(figure, matched)
    return figure


def _add_match_rate(figure: go.Figure, lines: Sequence[Mapping[str, float]]) -> None:
    match = curve(lines, "val_match", "match rate, validation set", color=GREEN, width=2)
    match.update(mode="lines+markers", yaxis="y2", hovertemplate="%{y:.1%}")
    best = max(lines, key=lambda line: (line["val_match"], -line.get("val_rmse", 0.0)))
    star = _star(best["step"], best["val_match"], "best: %{y:.1%} at step %{x:,}")
    star.update(yaxis="y2", marker_color=GREEN)
    figure.add_traces([match, star])
    figure.update_layout(
        yaxis2={
            "title": "match rate", "overlaying": "y", "side": "right", "tickformat": ".0%",
            "range": [0, 1], "dtick": 0.2, "showgrid": False, "automargin": True,
        }
    )  # fmt: skip


def _star(step: float, value: float, hover: str) -> go.Scatter:
    return go.Scatter(
        x=[step], y=[value], mode="markers", name="best weights",
        marker={"symbol": "star", "size": 13, "color": ORANGE},
        hovertemplate=f"{hover}<extra></extra>",
    )  # fmt: skip


def curve(lines: Sequence[Mapping[str, float]], key: str, name: str, **line: object) -> go.Scatter:
    """Return what lines of metrics have of `key`, over the steps."""
    known = [entry for entry in lines if key in entry]
    return go.Scatter(
        x=[entry["step"] for entry in known],
        y=[entry[key] for entry in known],
        mode="lines" if len(known) > 1 else "markers",
        name=name,
        line=line,
        hovertemplate="%{y:.4g}",
    )


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
    scale = {"colorscale": "Viridis", "colorbar": {"title": {"text": label}, "thickness": 12}}
    figure = go.Figure()
    for chosen, marker in (
        (~known, {"color": GREY, "size": 5, "opacity": 0.35}),
        (known, {"color": colours[known], "size": 6, "opacity": 0.85, **scale}),
    ):
        rows = np.flatnonzero(chosen)
        figure.add_scattergl(
            x=where[rows, 0], y=where[rows, 1], mode="markers", marker=marker, customdata=rows,
            text=[names[i] for i in rows], hovertemplate="%{text}<extra></extra>", showlegend=False,
        )  # fmt: skip
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
    for values, name, digits, colour in (
        (match, "match", ".1%", BLUE),
        (rmse, "RMSE", ".3f", ORANGE),
    ):
        figure.add_scatter(
            x=list(noise), y=list(values), name=name, mode="lines+markers", line_color=colour,
            hovertemplate=f"{name} %{{y:{digits}}}<extra></extra>", secondary_y=name == "RMSE",
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
