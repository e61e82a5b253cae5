"""Generated crystals beside what they should be like: distributions, targets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from crystal_ldm.widgets.figures.theme import BLUE, GREY, ORANGE, SERIES, themed
from numpy.typing import ArrayLike

BINS = 40
"""Intervals over the common range of several sets."""
MOST = 20
"""Space groups that are shown."""


def distribution_figure(
    samples: Mapping[str, ArrayLike], quantity: str, unit: str = ""
) -> go.Figure:
    """Return the distributions of a quantity in several sets, each with area 1.

    Args:
        samples: values by the name of the set; the last stands behind the others, in grey.
        quantity: what the values are.
        unit: their unit.
    """
    arrays = {name: np.asarray(values, dtype=float) for name, values in samples.items()}
    finite = {name: values[np.isfinite(values)] for name, values in arrays.items()}
    together = np.concatenate(list(finite.values())) if finite else np.zeros(0)
    if not len(together):
        return themed(go.Figure(), f"{quantity}: no values")
    # A few extreme cells must not squeeze everything else into one bar.
    low, high = np.quantile(together, [0.001, 0.999])
    if np.all(together == np.round(together)) and high - low < 2 * BINS:
        edges = np.arange(np.floor(low) - 0.5, np.ceil(high) + 1)
    else:
        edges = np.linspace(low, max(high, low + 1e-6), BINS + 1)
    figure = go.Figure()
    for i, (name, values) in reversed(list(enumerate(finite.items()))):
        counts, _ = np.histogram(values, edges)
        density = counts / max(len(values), 1) / np.diff(edges)
        colour = GREY if 0 < i == len(finite) - 1 else SERIES[i % len(SERIES)]
        figure.add_bar(
            x=(edges[1:] + edges[:-1]) / 2,
            y=density,
            width=np.diff(edges),
            name=f"{name} ({len(values):,})",
            marker={"color": colour, "opacity": 0.75 if i == 0 else 0.45},
            hovertemplate=f"{name}: %{{y:.3g}} at %{{x:.3g}} {unit}<extra></extra>",
        )
    axis = f"{quantity} ({unit})" if unit else quantity
    themed(figure, f"Distribution of {quantity}", axis, "density")
    figure.update_layout(barmode="overlay", bargap=0)
    return figure


def space_group_figure(symbols: Sequence[str | None]) -> go.Figure:
    """Return how often each space group occurs, the most frequent first.

    Args:
        symbols: a symbol for each crystal; None where none was found.
    """
    counts = Counter(symbol or "none found" for symbol in symbols).most_common(MOST)
    names = [name for name, _ in counts]
    figure = go.Figure(
        go.Bar(
            x=names,
            y=[count for _, count in counts],
            width=0.6,
            marker_color=[GREY if name in ("P1", "none found") else BLUE for name in names],
            hovertemplate="%{x}: %{y} crystals<extra></extra>",
        )
    )
    left = len(set(symbols)) - len(counts)
    title = "Space groups" + (f" (the {MOST} most frequent, {left} more)" if left > 0 else "")
    figure = themed(figure, title, "", "crystals", height=320)
    # A single bar should not fill the width.
    figure.update_xaxes(type="category", tickangle=-45, range=[-0.6, max(len(names), 6) - 0.4])
    return figure


def agreement_figure(
    distances: ArrayLike, agreement: ArrayLike, names: Sequence[str], shortest: float = 0.5
) -> go.Figure:
    """Return each crystal's shortest distance against its element agreement.

    Args:
        distances: (n,) shortest distance between two atoms, Å.
        agreement: (n,) share of requested elements that the decoder would have chosen itself; NaN
            where nothing was requested (then drawn at 1).
        names: (n,) shown on hovering.
        shortest: Å; what is shorter is not physical.
    """
    share = np.nan_to_num(np.asarray(agreement, dtype=float), nan=1.0)
    figure = go.Figure(
        go.Scatter(
            x=np.asarray(distances, dtype=float), y=share, mode="markers", text=list(names),
            marker={"size": 9, "color": BLUE, "opacity": 0.7},
            hovertemplate="%{text}: %{x:.2f} Å, agreement %{y:.0%}<extra></extra>",
        )
    )  # fmt: skip
    figure.add_vline(
        x=shortest, line={"color": ORANGE, "dash": "dash"}, annotation_font_color=ORANGE,
        annotation_text=f" valid above {shortest:g} Å", annotation_position="bottom right",
    )  # fmt: skip
    themed(figure, "Shortest distance and element agreement", "shortest distance (Å)", "agreement")
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(range=[-0.05, 1.08], tickformat=".0%")
    return figure


def target_figure(
    targets: ArrayLike, found: ArrayLike, names: Sequence[str], quantity: str, unit: str
) -> go.Figure:
    """Return what was asked for against what a predictor finds.

    Args:
        targets: (n,) values asked for; NaN where none was.
        found: (n,) values that the predictor gives; NaN where it failed.
        names: (n,) shown on hovering.
        quantity, unit: what the values are.
    """
    wanted, predicted = np.asarray(targets, dtype=float), np.asarray(found, dtype=float)
    known = np.isfinite(wanted) & np.isfinite(predicted)
    figure = go.Figure()
    if known.any():
        shown = np.concatenate([wanted[known], predicted[known], [0.0]])
        room = 0.05 * float(np.ptp(shown)) + 0.05
        ends = [float(shown.min()) - room * bool(shown.min() < 0), float(shown.max()) + room]
        dashed = {"color": GREY, "dash": "dash"}
        figure.add_scatter(
            x=ends, y=ends, mode="lines", line=dashed, name="as asked", hoverinfo="skip"
        )
    figure.add_scatter(
        x=wanted[known], y=predicted[known], mode="markers", name="crystals",
        text=[names[i] for i in np.flatnonzero(known)],
        marker={"size": 8, "color": BLUE, "opacity": 0.6},
        hovertemplate="%{text}: asked %{x:.2f}, predicted %{y:.2f}<extra></extra>",
    )  # fmt: skip
    return themed(
        figure, f"{quantity}: asked for and predicted", f"asked for ({unit})", f"predicted ({unit})"
    )
