"""Rates with their intervals: against targets, against guidance and steps, of several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
from crystal_ldm.widgets.figures.theme import GREY, INK, SERIES, horizontal, themed

_TITLES = {
    "metal": "metals",
    "structure_valid": "structure valid",
    "agreement": "decoder agrees with the request",
}
_BASES = {"ceiling": "real crystals with that value", "base rate": "asked for nothing"}


def calibration_figure(table: pd.DataFrame) -> go.Figure:
    """Return what came of each target gap: shares near it, of metals and of valid crystals.

    Lines are guidance scales; the broken ones give them their meaning: what the predictor says of
    real crystals that have the property (ceiling), and of crystals that were asked for nothing.

    Args:
        table: of `crystal_ldm.evaluate.calibration.calibrate_band_gap`.
    """
    names = [_BASES.get(kind) or f"guidance {scale:g}"
             for kind, scale in zip(table["kind"], table["scale"], strict=True)]  # fmt: skip
    figure = _panels(table, "target", ["within 0.5", "metal", "valid"], names)
    for name, dash in zip(_BASES.values(), ("dash", "dot"), strict=True):
        figure.update_traces(line={"color": GREY, "dash": dash}, selector={"name": name})
    figure.layout.annotations[0].text = "within 0.5 eV of the target"
    counts = sorted(table["n"].unique().tolist())
    n = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    title = f"Does the band gap steer? {n} crystals a point, 95 % intervals"
    return _finished(figure, title, "target (eV)")


def guidance_figure(
    table: pd.DataFrame, names: Sequence[str] = ("structure_valid", "valid", "agreement")
) -> go.Figure:
    """Return rates against the guidance scale, a line for each number of steps.

    Args:
        table: of `crystal_ldm.evaluate.calibration.calibrate_decoding`.
        names: columns to show.
    """
    figure = _panels(table, "scale", names, [f"{steps} steps" for steps in table["steps"]])
    title = f"What do guidance and steps do? {table['n'].iloc[0]} crystals a point, 95 % intervals"
    return _finished(figure, title, "guidance scale")


def rates_figure(rates: Mapping[str, pd.DataFrame], title: str) -> go.Figure:
    """Return the rates of one or several runs side by side, with their 95 % intervals.

    Args:
        rates: by the name of the run; rows are rates, with the columns value, ci_low, ci_high, n.
        title: of the figure.
    """
    parts = [
        pd.DataFrame({
            "rate": [str(metric).replace("_", " ") for metric in table.index],
            "run": f"{name} ({table['n'].max():.0f})",
            "share": table["value"].to_numpy(dtype=float),
            "above": (table["ci_high"] - table["value"]).to_numpy(dtype=float),
            "below": (table["value"] - table["ci_low"]).to_numpy(dtype=float),
        })
        for name, table in rates.items()
    ]  # fmt: skip
    figure = px.bar(
        pd.concat(parts), x="share", y="rate", color="run", orientation="h", barmode="group",
        error_x="above", error_x_minus="below", opacity=0.8, color_discrete_sequence=SERIES,
    ).update_traces(error_x={"color": INK, "thickness": 1})  # fmt: skip
    rows = max((len(table) for table in rates.values()), default=1)
    height = 120 + rows * (14 + 16 * len(rates))
    horizontal(figure, title, "share of all crystals", height).update_yaxes(title_text="")
    figure.update_xaxes(range=[0, 1.02], tickformat=".0%")
    legend = {"traceorder": "normal", "title": None}
    return figure.update_layout(bargap=0.25, legend=legend, showlegend=len(rates) > 1)


def _panels(table: pd.DataFrame, x: str, rates: Sequence[str], lines: Sequence[str]) -> go.Figure:
    """Return a panel for each rate with its intervals; `lines` names the line of each row."""
    parts = [
        pd.DataFrame({
            x: table[x], "line": lines, "n": table["n"], "rate": table[rate],
            "panel": _TITLES.get(rate, rate.replace("_", " ")),
            "above": table[f"{rate} high"] - table[rate],
            "below": table[rate] - table[f"{rate} low"],
        })
        for rate in rates
    ]  # fmt: skip
    long = pd.concat(parts).sort_values(x, kind="stable")
    figure = px.line(
        long, x=x, y="rate", color="line", facet_col="panel",
        error_y="above", error_y_minus="below", markers=True, hover_data=["n"],
        color_discrete_sequence=SERIES,
        category_orders={"panel": [part["panel"].iloc[0] for part in parts]},
    )  # fmt: skip
    figure.for_each_annotation(lambda one: one.update(text=one.text.removeprefix("panel=")))
    return figure.update_yaxes(title_text="")


def _finished(figure: go.Figure, title: str, x: str) -> go.Figure:
    themed(figure, title, x, height=400)
    figure.update_yaxes(range=[-0.02, 1.02], tickformat=".0%")
    figure.update_annotations(font={"size": 13, "color": INK})
    # The titles of the panels stand where the legend usually does.
    legend = {"y": -0.25, "yanchor": "top", "title_text": ""}
    return figure.update_layout(margin={"t": 80, "b": 90}, legend=legend)
