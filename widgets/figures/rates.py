"""Rates with their intervals: against targets, against guidance and steps, of several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from crystal_ldm.widgets.figures.theme import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    SERIES,
    horizontal,
    interval,
    themed,
)
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

_TITLES = {
    "metal": "metals",
    "valid": "valid",
    "structure_valid": "structure valid",
    "agreement": "decoder agrees with the request",
}


def calibration_figure(
    table: pd.DataFrame, window: float = 0.5, quantity: str = "band gap", unit: str = "eV"
) -> go.Figure:
    """Return what came of each target: shares near it, of metals and of valid crystals.

    Lines are guidance scales; the broken ones give them their meaning: what the predictor says of
    real crystals that have the property (ceiling), and of crystals that were asked for nothing.

    Args:
        table: of `crystal_ldm.evaluate.calibration.calibrate_band_gap`.
        window: half width of what counts as near, one of the table's.
        quantity, unit: what was asked for.
    """
    panels = [f"within {window:g}", "metal", "valid"]
    titles = [f"within {window:g} {unit} of the target", *(_TITLES[name] for name in panels[1:])]
    figure = make_subplots(rows=1, cols=len(panels), subplot_titles=titles, shared_yaxes=True)
    for column, name in enumerate(panels, start=1):
        groups = table.groupby(["kind", "scale"], dropna=False, sort=True)
        scales = sorted(table["scale"].dropna().unique())
        for (kind, scale), part in groups:
            model = kind == "model"
            colour = SERIES[scales.index(scale) % len(SERIES)] if model else GREY
            dash = {"model": "solid", "ceiling": "dash"}.get(str(kind), "dot")
            label = f"guidance {scale:g}" if model else _BASES.get(str(kind), str(kind))
            trace = _line(part, "target", name, label, colour, dash, unit)
            figure.add_trace(trace.update(showlegend=column == 1), row=1, col=column)
    counts = sorted(table["n"].unique().tolist())
    n = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    title = f"Does the {quantity} steer? {n} crystals a point, 95 % intervals"
    return _finished(figure, title, f"target ({unit})")


_BASES = {"ceiling": "real crystals with that value", "base rate": "asked for nothing"}


def guidance_figure(
    table: pd.DataFrame, names: Sequence[str] = ("structure_valid", "valid", "agreement")
) -> go.Figure:
    """Return rates against the guidance scale, a line for each number of steps.

    Args:
        table: of `crystal_ldm.evaluate.calibration.calibrate_decoding`.
        names: columns to show.
    """
    titles = [_TITLES.get(name, name.replace("_", " ")) for name in names]
    figure = make_subplots(rows=1, cols=len(names), subplot_titles=titles, shared_yaxes=True)
    for column, name in enumerate(names, start=1):
        for i, (steps, part) in enumerate(table.groupby("steps", sort=True)):
            colour = SERIES[i % len(SERIES)]
            trace = _line(part, "scale", name, f"{steps} steps", colour, "solid", "")
            figure.add_trace(trace.update(showlegend=column == 1), row=1, col=column)
    n = int(table["n"].iloc[0]) if len(table) else 0
    title = f"What do guidance and steps do? {n} crystals a point, 95 % intervals"
    return _finished(figure, title, "guidance scale")


def rates_figure(
    names: Sequence[str], values: ArrayLike, low: ArrayLike, high: ArrayLike, title: str
) -> go.Figure:
    """Return rates with their 95 % intervals, the first on top.

    Args:
        names: of the rates.
        values, low, high: (n,) shares and the ends of their intervals.
        title: of the figure.
    """
    figure = go.Figure(
        go.Bar(
            x=np.asarray(values, dtype=float), y=list(names), orientation="h",
            marker_color=BLUE, opacity=0.8,
            error_x=interval(values, low, high, ORANGE, 1.5),
            hovertemplate="%{y}: %{x:.1%}<extra></extra>",
        )
    )  # fmt: skip
    horizontal(figure, title, "share of all crystals", 90 + 34 * len(names))
    return figure.update_xaxes(range=[0, 1.02], tickformat=".0%")


def compared_rates_figure(rates: Mapping[str, pd.DataFrame], title: str) -> go.Figure:
    """Return the rates of several runs side by side, with their 95 % intervals.

    Args:
        rates: by the name of the run; rows are rates, with the columns value, ci_low, ci_high, n.
        title: of the figure.
    """
    figure = go.Figure()
    for i, (name, table) in enumerate(rates.items()):
        value = table["value"].to_numpy(dtype=float)
        figure.add_trace(
            go.Bar(
                x=value,
                y=[str(metric).replace("_", " ") for metric in table.index],
                orientation="h",
                name=f"{name} ({int(table['n'].max())})",
                marker={"color": SERIES[i % len(SERIES)], "opacity": 0.8},
                error_x=interval(value, table["ci_low"], table["ci_high"], INK),
                hovertemplate=f"{name}: %{{y}} %{{x:.1%}}<extra></extra>",
            )
        )
    rows = max((len(table) for table in rates.values()), default=1)
    height = 120 + rows * (14 + 16 * len(rates))
    horizontal(figure, title, "share of all crystals", height)
    figure.update_xaxes(range=[0, 1.02], tickformat=".0%")
    figure.update_layout(barmode="group", bargap=0.25, legend={"traceorder": "normal"})
    return figure


def _line(
    part: pd.DataFrame, x: str, name: str, label: str, colour: str, dash: str, unit: str
) -> go.Scatter:
    part = part.sort_values(x)
    value = part[name].to_numpy(dtype=float)
    return go.Scatter(
        x=part[x].to_numpy(dtype=float),
        y=value,
        name=label,
        legendgroup=label,
        mode="lines+markers",
        line={"color": colour, "dash": dash, "width": 2},
        marker={"size": 6},
        error_y=interval(value, part[f"{name} low"], part[f"{name} high"], colour),
        customdata=part["n"].to_numpy(),
        hovertemplate=f"{label}, {x} %{{x:g}} {unit}: %{{y:.1%}} of %{{customdata}}<extra></extra>",
    )


def _finished(figure: go.Figure, title: str, x: str) -> go.Figure:
    themed(figure, title, x, height=400)
    figure.update_yaxes(range=[-0.02, 1.02], tickformat=".0%")
    figure.update_annotations(font={"size": 13, "color": INK})
    # The titles of the panels stand where the legend usually does.
    figure.update_layout(margin={"t": 80, "b": 90}, legend={"y": -0.25, "yanchor": "top"})
    return figure
