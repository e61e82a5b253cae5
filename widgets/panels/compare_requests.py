"""Two requests against each other: counts, shares, and how a property is distributed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import ipywidgets as ipw
import numpy as np
import plotly.graph_objects as go
from crystal_ldm.widgets.base import Panel
from crystal_ldm.widgets.browser.plot import Plot
from crystal_ldm.widgets.crystal_entry import CrystalEntry
from crystal_ldm.widgets.jobs import Latest
from crystal_ldm.widgets.layout import column, escape, facts_table, labelled, show_if
from crystal_ldm.widgets.panels.rows import (
    column_info,
    crystal_row,
    numeric_keys,
    offer_columns,
    physical,
    plain_row,
)
from crystal_ldm.widgets.session import Request, Session

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.same_crystal import SAME_CRYSTAL, reduced_cell
from crystal_ldm.evaluate.uniqueness_and_novelty import find_duplicates
from crystal_ldm.parallel.executor import HereExecutor

COLOURS = ("#2f86d6", "#e07b00")
MOST_GROUPS = 3

Rows = list[dict[str, Any]]
"""The facts of a request's crystals."""


class CompareRequests(Panel):
    """Compares two requests: `CompareRequests(session).show([first, second])`.

    Attributes:
        compared: words and rows of both requests.
        menu: chooses the column whose distribution is drawn.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.compared: list[tuple[str, Rows]] = []
        self._latest = Latest(self.notice)
        self.text = ipw.HTML()
        self.plot = Plot(height=190, tools=False)
        self.menu = ipw.Dropdown(options=[("Density", "density")]).add_class("cl-fill")
        self.body = column(self.text, labelled("Distribution", self.menu), self.plot)
        show_if(False, self.body)
        self.widget = column(self.notice.widget, self.body)
        self.menu.observe(self.notice.guard(lambda _: self._draw()), "value")

    def show(self, requests: Sequence[Request]) -> None:
        """Compare two requests in the background; fewer are none to compare."""
        if len(requests) < 2:
            self._latest.drop()
            show_if(False, self.body)
            self.notice.say("Choose Compare at a second request." if requests else "")
            return
        self.notice.say("Comparing…")
        self._latest.start(lambda: [self._rows(one) for one in requests], self._show)

    def _rows(self, request: Request) -> tuple[str, Rows]:
        return request.words, rows_of(self.session.entries(request))

    def _show(self, compared: list[tuple[str, Rows]]) -> None:
        self.compared = compared
        self.notice.clear()
        self.text.value = comparison_html(compared)
        rows = [row for _, some in compared for row in some]
        offer_columns(self.menu, numeric_keys(rows))
        self._draw()
        show_if(True, self.body)

    def _draw(self) -> None:
        if self.compared:
            self.plot.show(shares_figure(self.compared, self.menu.value))


def rows_of(entries: Sequence[CrystalEntry]) -> Rows:
    """Return the facts of crystals: what a table says, `physical`, and `unique` among them."""
    here = HereExecutor()
    cells = (Cell.from_structure(entry.structure) for entry in entries)
    reduced = [outcome.value for outcome in here.map(reduced_cell, cells)]
    rows = [plain_row(crystal_row(entry.structure) | entry.columns) for entry in entries]
    for row, found in zip(rows, find_duplicates(reduced, SAME_CRYSTAL, here), strict=True):
        row |= {"physical": physical(row), "unique": found.unique}
    return rows


def comparison_html(compared: Sequence[tuple[str, Rows]]) -> str:
    """Return a table: a line for each fact, a column for each request."""
    lines: dict[str, Callable[[Rows], object]] = {
        "Crystals": len,
        "Formulas": partial(_frequent, key="formula"),
        "Space groups": partial(_frequent, key="space_group"),
        "Physical distances and volumes": partial(_share, key="physical"),
        "Unlike every earlier crystal": partial(_share, key="unique"),
    }
    heads = ["", *(escape(words) for words, _ in compared)]
    table = [(title, *(say(rows) for _, rows in compared)) for title, say in lines.items()]
    return facts_table(heads, table)


def _share(rows: Rows, key: str) -> str:
    return f"{np.mean([row[key] for row in rows]):.0%}" if rows else "–"


def _frequent(rows: Rows, key: str) -> str:
    counts = Counter(row[key] for row in rows)
    parts = [f"{name} {n / len(rows):.0%}" for name, n in counts.most_common(MOST_GROUPS)]
    more = len(counts) - MOST_GROUPS
    return ", ".join(parts) + (f", {more} more" if more > 0 else "") or "–"


def shares_figure(compared: Sequence[tuple[str, Rows]], key: str) -> go.Figure:
    """Return histograms of a property, one for each request, as shares of its crystals."""
    figure = go.Figure()
    for (words, rows), colour in zip(compared, COLOURS, strict=True):
        figure.add_histogram(
            x=[float(row[key]) for row in rows if row.get(key) is not None],
            name=escape(words),
            histnorm="probability",
            bingroup=1,
            nbinsx=15,
            marker_color=colour,
            opacity=0.7,
            hovertemplate="%{x}: %{y:.0%}<extra></extra>",
        )
    figure.update_layout(
        barmode="overlay",
        bargap=0.02,
        xaxis={"title": {"text": column_info(key).axis, "font_size": 11}, "tickfont_size": 10},
        yaxis={"tickformat": ".0%", "tickfont_size": 10, "nticks": 4},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "font_size": 10},
        margin={"l": 40, "r": 6, "t": 36, "b": 36},
    )
    return figure
