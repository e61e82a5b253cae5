"""What is in a data set: elements, sizes of cells, values of a label, parts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from crystal_ldm.widgets.controls.periodic_table import element_cells
from crystal_ldm.widgets.figures.theme import BLUE, ORANGE, horizontal, themed
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
    counts, edges = np.histogram(rest, bins=BINS)
    name = label.replace("_", " ")
    bars = go.Bar(
        x=(edges[1:] + edges[:-1]) / 2,
        y=counts,
        width=np.diff(edges),
        marker_color=BLUE,
        hovertemplate=f"%{{x:.2f}} {unit}: %{{y:,}} crystals<extra></extra>",
    )
    figure = go.Figure(bars)
    axis = f"{name} ({unit})" if unit else name
    if apart:
        figure.add_annotation(
            text=f"{zero:,} more crystals have exactly 0"
            + (" (metals)" if label == "band_gap" else ""),
            xref="paper", yref="paper", x=1, y=0.98, xanchor="right", showarrow=False,
            font={"color": ORANGE, "size": 13},
        )  # fmt: skip
    return themed(figure, f"Values of {name}", axis, "crystals")


def counts_figure(counts: Mapping[str, int], title: str, unit: str, whole: int) -> go.Figure:
    """Return a bar for each count, the first on top, with its share.

    Args:
        counts: by name.
        title: of the figure.
        unit: what is counted.
        whole: the count that is 100 %.
    """
    bars = go.Bar(
        x=list(counts.values()),
        y=list(counts),
        orientation="h",
        marker_color=BLUE,
        text=[f"{count:,} ({count / max(whole, 1):.1%})" for count in counts.values()],
        textposition="auto",
        hovertemplate="%{y}: %{x:,}<extra></extra>",
    )
    return horizontal(go.Figure(bars), title, unit, 90 + 40 * len(counts))


def element_figure(counts: Mapping[str, int], title: str) -> go.Figure:
    """Return a periodic table coloured by `counts`, on a logarithmic scale; absent ones are grey.

    Args:
        counts: formulas that have the element, by its symbol.
        title: of the figure.
    """
    colour = np.full((9, 18), np.nan)
    absent = np.full((9, 18), np.nan)
    text = np.full((9, 18), "", dtype=object)
    hover = np.full((9, 18), "", dtype=object)
    for cell in element_cells():
        place = cell["row"] - 1, cell["column"] - 1
        count = counts.get(cell["symbol"], 0)
        text[place] = cell["symbol"]
        hover[place] = f"{cell['name']}: {count:,} formulas"
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
                colorbar={"title": {"text": "formulas"}, "tickvals": ticks,
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
