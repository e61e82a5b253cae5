"""A search for compounds: what came through its stages, and where the finds lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import plotly.graph_objects as go
from crystal_ldm.widgets.figures.theme import SERIES, themed
from crystal_ldm.widgets.panels.rows import column_info
from IPython.display import display

from crystal_ldm.discovery.ranking import COLUMNS

if TYPE_CHECKING:
    from pymatgen.analysis.phase_diagram import PhaseDiagram

Pattern = tuple[Sequence[float], Sequence[float]]


def show_columns(keys: Sequence[str]) -> None:
    """Show what columns of the ranked list say, by the names that the list has them under."""
    lines = [(column_info(key).axis, COLUMNS[key]) for key in keys]
    table = pd.DataFrame(lines, columns=["Column", "says"]).style.hide()
    left: Any = [{"selector": "th, td", "props": "text-align: left !important"}]
    text = "\n".join(f"{name}: {meaning}" for name, meaning in lines)
    html = table.set_table_styles(left).to_html()
    display({"text/html": html, "text/plain": text}, raw=True)


def phase_diagram_figure(diagram: PhaseDiagram, title: str = "") -> go.Figure:
    """Return a phase diagram of two to four elements, with what lies up to 0.2 eV/atom above it."""
    from pymatgen.analysis.phase_diagram import PDPlotter

    drawn: Any = PDPlotter(diagram, show_unstable=0.2, backend="plotly").get_plot()
    drawn.update_layout(title=title, height=560, margin={"l": 90, "r": 40, "t": 110, "b": 80})
    figure: go.Figure = drawn
    return figure


def sticks(
    angles: Sequence[float], heights: Sequence[float], base: float = 0.0
) -> tuple[list[float | None], list[float | None]]:
    """Return x and y of a line that draws a stick of each height over its angle, from `base`."""
    x = [value for angle in angles for value in (angle, angle, None)]
    y = [value for height in heights for value in (base, base + height, None)]
    return x, y


def powder_figure(patterns: Mapping[str, Pattern], title: str = "") -> go.Figure:
    """Return powder patterns below one another over the same angles.

    Args:
        patterns: angles 2θ in degrees and intensities, strongest 100, by the crystal's name.
        title: of the figure.
    """
    figure = go.Figure()
    for i, (name, (angles, heights)) in enumerate(patterns.items()):
        base = 110.0 * (len(patterns) - 1 - i)
        x, y = sticks(angles, heights, base)
        line = {"color": SERIES[i % len(SERIES)], "width": 2}
        figure.add_scatter(
            x=x, y=y, mode="lines", line=line, name=name, hovertemplate="2θ = %{x:.2f}°"
        )
    height = 140 + 70 * len(patterns)
    themed(figure, title, "2θ (°)", "intensity", height)
    return figure.update_yaxes(showticklabels=False, showgrid=False)
