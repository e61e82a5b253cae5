"""Two requests against each other: counts, shares, and how a property is distributed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as ipw
import numpy as np
import plotly.graph_objects as go
import traitlets as tl
from crystal_ldm.widgets.base import Panel, column, escape, facts_table, labelled, show_if
from crystal_ldm.widgets.browser.plot import Plot
from crystal_ldm.widgets.crystal_entry import CrystalEntry
from crystal_ldm.widgets.jobs import Job
from crystal_ldm.widgets.panels.rows import (
    column_info,
    crystal_row,
    numeric_keys,
    offer_columns,
    physical,
    table_columns,
)
from crystal_ldm.widgets.session import Request, Session

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.same_crystal import SAME_CRYSTAL, reduced_cell
from crystal_ldm.evaluate.uniqueness_and_novelty import find_duplicates
from crystal_ldm.parallel.executor import HereExecutor

COLOURS = ("#2f86d6", "#e07b00")
SHARES = {"valid": "Physical distances and volumes", "unique": "Unlike every earlier crystal"}
MOST_GROUPS = 3


@dataclass(frozen=True)
class Summary:
    """What is said of a request's crystals.

    Attributes:
        words: the request.
        rows: a row of facts for each crystal.
        shares: by name, 0 to 1; empty without crystals.
        formulas, groups: how often each one is there.
    """

    words: str
    rows: list[dict[str, Any]]
    shares: dict[str, float]
    formulas: Counter[str]
    groups: Counter[str]


class CompareRequests(Panel):
    """Compares two requests: `CompareRequests(session).show([first, second])`.

    Traits:
        key: the column whose distribution is drawn.
    """

    key = tl.Unicode("density")

    def __init__(self, session: Session | None) -> None:
        super().__init__()
        self.session = session
        self.summaries: list[Summary] = []
        self._wanted: list[Request] = []
        self._facts: dict[str, tuple[int, Summary]] = {}
        self.job = Job()
        self.text = ipw.HTML()
        self.plot = Plot(height=190, tools=False)
        self.menu = ipw.Dropdown(options=[("Density", "density")]).add_class("cl-fill")
        self.body = column(self.text, labelled("Distribution", self.menu), self.plot)
        show_if(False, self.body)
        self.widget = column(self.notice.widget, self.body, css="cl-compare-requests")
        guard = self.notice.guard
        self.menu.observe(guard(lambda change: self._choose(change.new)), "value")
        self.react("key", self._draw)
        self.job.tell(self.notice, "Comparing…")
        self.job.observe(guard(self._on_state), "state")

    def show(self, requests: Sequence[Request]) -> None:
        """Compare two requests in the background; fewer are none to compare."""
        self._wanted = list(requests)
        if len(requests) < 2:
            show_if(False, self.body)
            self.notice.say("Choose Compare at a second request." if requests else "")
            return
        self.job.start(self._work)

    def _work(self, job: Job) -> None:
        assert self.session is not None
        while True:
            wanted = self._wanted
            summaries = []
            for request in wanted:
                entries = self.session.entries(request)
                name = request.folder.name
                if name not in self._facts or self._facts[name][0] != len(entries):
                    self._facts[name] = (len(entries), summary_of(request.words, entries))
                summaries.append(self._facts[name][1])
            if wanted == self._wanted:
                break
        self.summaries = summaries

    def _on_state(self, change: Any) -> None:
        if change.new == "done" and len(self._wanted) == 2:
            self.notice.clear()
            self.text.value = comparison_html(self.summaries)
            rows = [line for one in self.summaries for line in one.rows]
            offer_columns(self.menu, numeric_keys(rows, table_columns(rows)), self.key)
            show_if(True, self.body)
            self._draw()

    def _choose(self, key: str | None) -> None:
        if key is not None:
            self.key = key

    def _draw(self) -> None:
        if self.summaries:
            self.plot.show(distribution_figure(self.summaries, self.key))


def summary_of(words: str, entries: Sequence[CrystalEntry]) -> Summary:
    """Return what is said of the crystals of a request."""
    here = HereExecutor()
    structures = [entry.structure for entry in entries]
    cells = (Cell.from_structure(structure) for structure in structures)
    reduced = [outcome.value for outcome in here.map(reduced_cell, cells)]
    unique = find_duplicates(reduced, SAME_CRYSTAL, here)
    rows = [{**crystal_row(entry.structure), **entry.columns} for entry in entries]
    shares = {
        "valid": [physical(row) for row in rows],
        "unique": [one.unique for one in unique],
    }
    return Summary(
        words,
        rows,
        {name: float(np.mean(values)) for name, values in shares.items() if values},
        Counter(row["formula"] for row in rows),
        Counter(row["space_group"] for row in rows),
    )


def comparison_html(summaries: Sequence[Summary]) -> str:
    """Return a table: a line for each fact, a column for each request."""
    lines: list[tuple[str, Callable[[Summary], str]]] = [
        ("Crystals", lambda one: str(len(one.rows))),
        ("Formulas", lambda one: _frequent(one.formulas, len(one.rows))),
        ("Space groups", lambda one: _frequent(one.groups, len(one.rows))),
        *((tip, _share(name)) for name, tip in SHARES.items()),
    ]
    heads = ["", *(escape(one.words) for one in summaries)]
    return facts_table(heads, [(title, *map(say, summaries)) for title, say in lines])


def _share(name: str) -> Callable[[Summary], str]:
    return lambda one: f"{one.shares[name]:.0%}" if name in one.shares else "–"


def _frequent(counts: Mapping[str, int], total: int) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    parts = [f"{name} {count / total:.0%}" for name, count in ordered[:MOST_GROUPS]]
    more = len(ordered) - MOST_GROUPS
    return ", ".join(parts) + (f", {more} more" if more > 0 else "") or "–"


def distribution_figure(summaries: Sequence[Summary], key: str) -> go.Figure:
    """Return histograms of a property, one for each request, as shares of its crystals."""
    values = [
        np.array([row[key] for row in one.rows if row.get(key) is not None], dtype=float)
        for one in summaries
    ]
    values = [part[np.isfinite(part)] for part in values]
    every = np.concatenate([*values, np.zeros(0)])
    low, high = (float(every.min()), float(every.max())) if len(every) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, 16)
    figure = go.Figure()
    for one, part, colour in zip(summaries, values, COLOURS, strict=False):
        share = np.histogram(part, edges)[0] / max(len(part), 1)
        figure.add_bar(
            x=((edges[:-1] + edges[1:]) / 2).tolist(),
            y=share.tolist(),
            name=one.words,
            marker_color=colour,
            opacity=0.7,
            hovertemplate="%{x:.3g}: %{y:.0%}<extra></extra>",
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
