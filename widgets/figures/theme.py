"""What figures and tables look like: readable on white paper and in a dark notebook alike."""

from __future__ import annotations

from html import escape
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
from crystal_ldm.widgets.panels.rows import COLUMNS
from IPython.display import display

INK = "#777777"
"""Text: equally readable on white and on black, since a report does not know its background."""

GRID = "rgba(128,128,128,0.22)"
BLUE, ORANGE, GREEN, PURPLE = "#1976d2", "#e65100", "#2e9d5b", "#8e5bc4"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, "#00838f", "#ad1457")
GREY = "#9e9e9e"


def use_offline_renderer() -> None:
    """Show figures as data that JupyterLab and the HTML report draw: no kernel, no network."""
    pio.renderers.default = "plotly_mimetype"
    pio.renderers["plotly_mimetype"].config = {"showSendToCloud": False}


def themed(
    figure: go.Figure, title: str = "", x: str = "", y: str = "", height: int = 340
) -> go.Figure:
    """Give `figure` its title, axis titles and the common look; returns it."""
    axis: dict[str, Any] = {
        "gridcolor": GRID,
        "zerolinecolor": GRID,
        "linecolor": GRID,
        "automargin": True,
    }
    figure.update_layout(
        template="none",
        title={"text": title, "x": 0, "xref": "paper", "font": {"size": 15}} if title else None,
        height=height,
        margin={"l": 60, "r": 20, "t": 50 if title else 20, "b": 50},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK, "size": 12},
        colorway=list(SERIES),
        bargap=0.08,
        hoverlabel={"font": {"color": "#222222"}, "bgcolor": "#f5f5f5"},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    )
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    if x:
        figure.update_xaxes(title={"text": x, "standoff": 8})
    if y:
        figure.update_yaxes(title={"text": y, "standoff": 8})
    if title and figure.layout.showlegend is not False and len(figure.data) > 1:
        figure.update_layout(margin={"t": 80})
    return figure


def horizontal(figure: go.Figure, title: str, x: str, height: int) -> go.Figure:
    """Give a figure of bars that lie its titles, the first bar on top."""
    return themed(figure, title, x, height=height).update_yaxes(autorange="reversed")


def show_table(table: pd.DataFrame, precision: int = 2, index: bool = False) -> None:
    """Show a table in the notebook and its HTML; a shell that runs the notebook prints it as text.

    Columns are called as in a gallery, with their units.

    Args:
        table: what is shown.
        precision: decimals of numbers.
        index: whether the names of the rows are shown, too.
    """
    table = table.rename(columns={key: one.axis for key, one in COLUMNS.items()})
    text = table.to_string(index=index, float_format=f"%.{precision}f", na_rep="")
    html = table_html(table, precision, index)
    display({"text/html": html, "text/plain": text}, raw=True)


def table_html(table: pd.DataFrame, precision: int, index: bool) -> str:
    """Return a table whose headers say what they mean where the mouse rests on them."""
    tips = {one.axis: one.tip for one in COLUMNS.values()}

    def head(name: Any) -> str:
        return f'<span title="{escape(tips.get(name, ""))}">{escape(str(name))}</span>'

    styled = table.style.format(precision=precision, na_rep="").format_index(head, axis=1)
    styled = styled.set_properties(["id"] if "id" in table else [], **{"white-space": "nowrap"})
    return (styled if index else styled.hide()).to_html()
