"""Many crystals at once: a table, a plot and a viewer that follow each other."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Panel, Quiet
from crystal_ldm.widgets.browser.plot import Plot
from crystal_ldm.widgets.browser.table import Table
from crystal_ldm.widgets.browser.table_filter import MISSING
from crystal_ldm.widgets.crystal_entry import CrystalEntry, parents_of
from crystal_ldm.widgets.explore.nearest_in_training import FindNearest, NeighbourView
from crystal_ldm.widgets.helpers import Helpers
from crystal_ldm.widgets.layout import caption, column, fold, labelled, row, show_if, toggle
from crystal_ldm.widgets.panels.rows import (
    crystal_row,
    numeric_keys,
    offer_columns,
    plain_row,
    scatter_figure,
    table_columns,
)
from crystal_ldm.widgets.panels.symmetry import SymmetryPanel
from crystal_ldm.widgets.panels.table_tools import TableTools
from crystal_ldm.widgets.viewers.viewer import CrystalViewer
from pymatgen.core import Structure


class Gallery(Panel):
    """Looks through crystals, structures or `CrystalEntry`s: `Gallery(structures)`.

    Selecting a row of the table, a point of the plot or 'next' at the viewer selects in all three.
    Only the selected structure is sent to the browser.

    Traits:
        selected: index of the selected crystal, or None.
        count: number of crystals; read-only.
        show_nearest: the nearest training crystal is shown beside it; needs `nearest`.
    """

    selected = tl.Int(None, allow_none=True)
    count = tl.Int(0, read_only=True)
    show_nearest = tl.Bool(False)

    def __init__(
        self,
        crystals: Iterable[Structure | CrystalEntry] = (),
        rows: Iterable[Mapping[str, Any]] | None = None,
        *,
        nearest: FindNearest | None = None,
        show_nearest: bool = True,
        helpers: Helpers | None = None,
        height: int = 340,
        empty: str = "There are no crystals yet.",
    ) -> None:
        """`helpers` compare the crystals."""
        super().__init__()
        self.entries: list[CrystalEntry] = []
        self.lock = threading.RLock()
        self._quiet = Quiet()
        self.viewer = CrystalViewer(height=height)
        self.neighbour = None if nearest is None else NeighbourView(nearest, height)
        self.tools = row(css="cl-tools")
        self.table = Table()
        self.table_tools = TableTools(self, helpers or Helpers())
        self.plot = Plot(height=height)
        self.position = caption("")
        usual = {
            "x": ("Density", "density"),
            "y": ("Shortest", "min_distance"),
            "Colour": ("none", ""),
        }
        self.menus = {name: ipw.Dropdown(options=[one]) for name, one in usual.items()}
        search = ipw.Text(placeholder="Filter: oxide name, density > 4, Pm-3m")
        tl.link((search.add_class("cl-search"), "value"), (self.table, "filter"))
        tl.link((self, "selected"), (self.table, "selected"))
        guard = self.notice.guard
        steps = row(
            self.button("‹", lambda: self.step(-1), tip="Previous", css="cl-small cl-square"),
            self.position,
            self.button("›", lambda: self.step(1), tip="Next", css="cl-small cl-square"),
        )
        axes = row(*(labelled(text, menu) for text, menu in self.menus.items()), css="cl-axes")
        if nearest is not None:
            beside = toggle("Nearest training crystal", "Show it beside the selected one")
            self.tools.children = (self.linked("show_nearest", beside),)
        self._scatter = column(axes, self.plot, css="cl-scatter")
        self.views = row(self.viewer.widget, self._scatter, css="cl-two")
        self.empty = caption(empty)
        self.symmetry = SymmetryPanel(active=False)
        self.about = fold("Symmetry", self.symmetry.widget)
        tl.link((self.about.children[0], "value"), (self.symmetry, "active"))
        self._bar = row(steps, search, self.tools, css="cl-bar")
        parts = (self.empty, self.views, self.about, self._bar, self.table)
        self.widget = column(*parts, self.table_tools.widget, self.notice.widget, css="cl-gallery")
        for menu in self.menus.values():
            menu.add_class("cl-small").observe(guard(lambda _: self._draw_plot()), "value")
        self.plot.observe(guard(self._on_click), "clicked")
        self.react("selected", self._show_selected)
        self.react("show_nearest", self._place_neighbour)
        self.table.observe(guard(lambda _: self._draw_plot()), "order")
        self.table.observe(lambda change: self._say_problem(change.new), "problem")
        self.show_nearest = show_nearest and nearest is not None
        self.add(crystals, rows)

    # -- what a program does ---------------------------------------------------------------------

    def add(
        self,
        crystals: Iterable[Structure | CrystalEntry],
        rows: Iterable[Mapping[str, Any]] | None = None,
    ) -> int:
        """Append crystals, and return the place of the first one.

        `rows` gives further columns, or replaces the ones found here; without them those of an
        entry are its own.
        """
        new = list(crystals)
        entries = [c if isinstance(c, CrystalEntry) else CrystalEntry(c, "loaded") for c in new]
        own = [c.columns if isinstance(c, CrystalEntry) else {} for c in new]
        given = own if rows is None else rows
        more = [plain_row(crystal_row(one.structure) | dict(extra))
                for one, extra in zip(entries, given, strict=True)]  # fmt: skip
        with self.lock:
            place = len(self.entries)
            self.entries += entries
            self._refresh([*self.rows, *more])
        if self.selected is None and self.entries:
            self.selected = 0
        return place

    def set(
        self,
        crystals: Iterable[Structure | CrystalEntry],
        rows: Iterable[Mapping[str, Any]] | None = None,
    ) -> None:
        """Show these crystals; of those that stay, the selection and all columns stay, too."""
        with self.lock:
            current, known = self.current, list(zip(self.structures, self.rows, strict=True))
            checked = self.checked
            self.clear()
            self.add(crystals, rows)
            self.update_crystals(known)
            place = {id(entry): i for i, entry in enumerate(self.entries)}
            self.selected = place.get(id(current), self.selected)
            self.table.checked = [place[id(e)] for e in checked if id(e) in place]

    def clear(self) -> None:
        """Remove all crystals."""
        with self.lock:
            self.selected = None
            self.entries = []
            self.table.checked = []
            self._refresh([])

    def update_crystals(self, facts: Iterable[tuple[Structure, Mapping[str, Any]]]) -> None:
        """Add or replace columns of crystals; those that are here no more are passed over."""
        with self.lock:
            found = {id(structure): plain_row(values) for structure, values in facts}
            pairs = zip(self.structures, self.rows, strict=True)
            self._refresh([row | found.get(id(structure), {}) for structure, row in pairs])

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What the table says of each crystal, in the order of adding; not to be changed."""
        return self.table.rows

    @property
    def structures(self) -> list[Structure]:
        """The crystals, in the order of adding."""
        return [entry.structure for entry in self.entries]

    @property
    def current(self) -> CrystalEntry | None:
        """The selected crystal, and where it comes from."""
        with self.lock:
            index = self.selected
            there = index is not None and index < len(self.entries)
            return self.entries[index] if there and index is not None else None

    @property
    def checked(self) -> list[CrystalEntry]:
        """The crystals whose rows are chosen."""
        with self.lock:
            return [self.entries[i] for i in self.table.checked]

    @property
    def structure(self) -> Structure | None:
        """The selected crystal."""
        return None if self.current is None else self.current.structure

    def step(self, by: int) -> None:
        """Select the next (1) or previous (-1) crystal in the table's order."""
        order = self.table.order
        if order:
            place = order.index(self.selected) + by if self.selected in order else 0
            self.selected = order[place % len(order)]

    @tl.validate("selected")
    def _exists(self, proposal: Any) -> int | None:
        index = proposal.value
        return index if index is not None and 0 <= index < len(self.entries) else None

    # -- keeping the three in step ---------------------------------------------------------------

    def _refresh(self, rows: list[dict[str, Any]]) -> None:
        with self._quiet:  # the table and the menus would each draw the plot again
            with self.table.hold_sync():
                self.table.columns = table_columns(rows)
                self.table.rows = rows
                self.table.parents = parents_of(self.entries)
            self.set_trait("count", len(self.entries))
            show_if(not self.entries, self.empty)
            parts = (self.views, self.about, self._bar, self.table, self.table_tools.widget)
            show_if(bool(self.entries), *parts)
            numeric = numeric_keys(rows)
            for name, menu in self.menus.items():
                offer_columns(menu, numeric, none=name == "Colour")
        self._draw_plot()

    @property
    def _axes(self) -> list[str]:
        """The columns that the plot shows: x, y, colour."""
        return [menu.value for menu in self.menus.values()]

    def _say_problem(self, problem: str) -> None:
        self.notice.say(problem, "info" if problem.endswith(MISSING) else "warning")

    def _on_click(self, change: Any) -> None:
        if change.new.get("id") is not None:
            self.selected = int(change.new["id"])

    def _show_selected(self) -> None:
        facts = {} if self.selected is None else self.rows[self.selected]
        self.viewer.title = f"{facts.get('formula', '')}  {facts.get('space_group', '')}".strip()
        self.viewer.show(self.structure)
        self.symmetry.structure = self.structure
        self._say_where()
        self._mark()
        self.seek()

    def _place_neighbour(self) -> None:
        parts = [self.viewer.widget, self._scatter]
        if self.neighbour is not None and self.show_nearest:
            parts.insert(1, self.neighbour.viewer.widget)
        self.views.children = tuple(parts)
        self.seek()

    def seek(self) -> None:
        """Look for the nearest training crystal, where it is shown."""
        if self.neighbour is not None and self.show_nearest:
            self.neighbour.seek(self.structure)

    def at(self, indices: Sequence[int]) -> tuple[list[CrystalEntry], list[dict[str, Any]]]:
        """Return crystals, and what the table has of them, by index."""
        with self.lock:
            return [self.entries[i] for i in indices], [self.rows[i] for i in indices]

    def _say_where(self) -> None:
        shown = self.table.order
        text = f"{len(shown)} of {self.count}" if len(shown) < self.count else f"{self.count}"
        if self.selected in shown:
            text = f"{shown.index(self.selected) + 1} of {text}"
        self.position.value = text

    def _draw_plot(self) -> None:
        with self.lock:
            if self.rows and not self._quiet:
                shown = sorted(self.table.order)  # sorted otherwise, the plot is the same
                self.plot.show(scatter_figure(self.rows, shown, *self._axes))
                self._mark()
            self._say_where()

    def _mark(self) -> None:
        row = self.rows[self.selected] if self.selected in self.table.order else {}
        place = [float(row[key]) for key in self._axes[:2] if row.get(key) is not None]
        self.plot.mark = place if len(place) == 2 else []
