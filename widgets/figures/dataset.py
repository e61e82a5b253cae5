"""What is in a data set: sizes of cells, values of a label, parts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from crystal_ldm.widgets.figures.theme import BLUE, GREY, ORANGE, themed
from numpy.typing import ArrayLike

BINS = 60


def atoms_figure(num_atoms: ArrayLike) -> go.Figure:
    """Return how many crystals have how many atoms in their primitive cell.

    Args:
        num_atoms: (n,) atoms of each crystal.
    """
    counts = np.bincount(np.asarray(num_atoms, dtype=np.int64))
    sizes = np.arange(1, len(counts))
    bars = go.Bar(
        x=sizes,
        y=counts[1:],
        marker_color=BLUE,
        hovertemplate="%{x} atoms: %{y:,} crystals<extra></extra>",
    )
    figure = themed(go.Figure(bars), "Atoms in the primitive cell", "atoms", "crystals")
    figure.update_xaxes(dtick=1 if len(sizes) <= 24 else None)
    return figure


def values_figure(values: ArrayLike, label: str, unit: str = "") -> go.Figure:
    """Return the histogram of a label, with zeros (metals, for a band gap) as a bar of their own.

    Args:
        values: (n,) values, NaN where absent.
        label: its name.
        unit: its unit.
    """
    given = np.asarray(values, dtype=np.float64)
    given = given[np.isfinite(given)]
    zero = int((given == 0).sum())
    apart = zero > 0.1 * len(given)
    rest = given[given != 0] if apart else given
    counts, edges = np.histogram(rest, bins=BINS) if len(rest) else (np.zeros(0), np.zeros(1))
    centres, widths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    name = label.replace("_", " ")
    figure = go.Figure(
        go.Bar(
            x=centres,
            y=counts,
            width=widths,
            marker_color=BLUE,
            name=f"{len(rest):,} crystals" + (" above zero" if apart and rest.min() > 0 else ""),
            hovertemplate=f"%{{x:.2f}} {unit}: %{{y:,}} crystals<extra></extra>",
        )
    )
    axis = f"{name} ({unit})" if unit else name
    if apart:
        figure.add_annotation(
            text=f"{zero:,} more crystals have exactly 0"
            + (" (metals)" if label == "band_gap" else ""),
            xref="paper", yref="paper", x=1, y=0.98, xanchor="right", showarrow=False,
            font={"color": ORANGE, "size": 13},
        )  # fmt: skip
    return themed(figure, f"Values of {name}", axis, "crystals")


def parts_figure(parts: Mapping[str, int]) -> go.Figure:
    """Return how many crystals lie in which part.

    Args:
        parts: number of crystals by part, in order of use.
    """
    total = max(sum(parts.values()), 1)
    figure = go.Figure(
        go.Bar(
            x=list(parts.values()),
            y=list(parts),
            orientation="h",
            marker_color=[BLUE, ORANGE, GREY][: len(parts)],
            text=[f"{count:,} ({100 * count / total:.1f} %)" for count in parts.values()],
            textposition="auto",
            hovertemplate="%{y}: %{x:,} crystals<extra></extra>",
        )
    )
    figure = themed(figure, "Training, validation and test set", "crystals", height=230)
    figure.update_yaxes(autorange="reversed")
    return figure
