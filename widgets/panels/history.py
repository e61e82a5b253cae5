"""What was asked for so far: one line for each press of a button, with its crystals."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Listeners, Panel
from crystal_ldm.widgets.crystal_entry import CrystalEntry
from crystal_ldm.widgets.layout import button, caption, column, row, styled, toggle
from crystal_ldm.widgets.panels.compare_requests import CompareRequests
from crystal_ldm.widgets.session import Request, Session, in_words

from crystal_ldm.errors import RequestError

DOUBLE_CLICK = 0.7
"""Seconds within which a second click belongs to the first."""


class HistoryPanel(Panel):
    """Shows, hides, deletes, compares and reuses requests: `HistoryPanel(session)`.

    Attributes:
        on_change: `on_change(action)`: call `action()` when requests were hidden, shown or deleted.
        on_reuse: `on_reuse(action)`: call `action(recipe)` when one is to be asked for again.
        deleted: the names of the folders of those that were deleted here.
        at_work: returns whether a request is still being worked on; it then stays as it is.

    Traits:
        requests: the requests, favourites first, then the newest; read-only, see `refresh`.
        compared: one or two requests that are compared, by the names of their folders.
    """

    requests: tl.TraitType[Any, Any] = tl.List(read_only=True)
    compared = tl.List(tl.Unicode())

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.deleted: set[str] = set()
        self.at_work: Callable[[Request], bool] = lambda _: False
        self._drawn: dict[str, tuple[Any, ipw.DOMWidget]] = {}
        self.lines = column(css="cl-history")
        self.comparison = CompareRequests(session)
        self.on_change, self.on_reuse = Listeners(), Listeners()
        self.widget = column(self.lines, self.comparison.widget, self.notice.widget)
        self.react("compared", self._compare)
        self.refresh()

    def refresh(self) -> None:
        """Read the requests from the disk."""
        self.notice.clear()
        newest = self.session.requests()[::-1]
        self.set_trait("requests", sorted(newest, key=lambda one: not one.favourite))
        names = {request.folder.name for request in self.requests}
        self.compared = [name for name in self.compared if name in names]
        empty = caption("Each request is kept here, and on disk, as soon as crystals are finished.")
        self._drawn = {one.folder.name: self._draw(one) for one in self.requests}
        self.lines.children = [line for _, line in self._drawn.values()] or [empty]

    def keep(
        self,
        verb: str,
        entries: Sequence[CrystalEntry],
        request: Request | None = None,
        hidden: bool = False,
    ) -> Request | None:
        """Keep finished crystals that no run writes by itself.

        Args:
            verb: what was done with them.
            entries: the crystals.
            request: what they are kept as, which has got more of them; None: a new one.
            hidden: whether a new one is left out of the table.

        Raises:
            RunError: they cannot be written.
        """
        if not entries:
            return None
        request = self.session.keep(in_words(verb, entries), entries, request, hidden)
        self.refresh()
        return request

    def hide(self, request: Request, hidden: bool = True) -> None:
        """Leave a request's crystals out of the table, or show them again.

        Raises:
            RequestError: some are still being made.
        """
        self._at_rest(request)
        self.session.change(request, hidden=hidden)
        self._tell()

    def favour(self, request: Request, favourite: bool = True) -> None:
        """Put a request before the others, or back among them."""
        self.session.change(request, favourite=favourite)
        self.refresh()

    def annotate(self, request: Request, note: str) -> None:
        """Keep a note with a request."""
        self.session.change(request, note=note.strip())

    def compare(self, request: Request, on: bool = True) -> None:
        """Compare a request with the one that was chosen before it."""
        others = [name for name in self.compared if name != request.folder.name]
        self.compared = [*others, request.folder.name][-2:] if on else others

    def delete(self, request: Request) -> None:
        """Remove a request and its crystals from the disk.

        Raises:
            RequestError: some are still being made.
            RunError: it cannot be removed.
        """
        self._at_rest(request)
        self.session.delete(request)
        self.deleted.add(request.folder.name)
        self._tell()

    def _at_rest(self, request: Request) -> None:
        if self.at_work(request):
            raise RequestError(f"'{request.words}' is still being made: press Stop first.")

    def _tell(self) -> None:
        self.refresh()
        self.on_change.tell()

    def _compare(self) -> None:
        by_name = {request.folder.name: request for request in self.requests}
        self.comparison.show([by_name[name] for name in self.compared if name in by_name])
        self.refresh()

    def _words(self, request: Request) -> str:
        """Return what was asked for, and how much of it is there where that is not all."""
        made = request.count if self.at_work(request) else self.session.made(request)
        whole = made >= request.count
        return request.words + ("" if whole else f": {made:,} of {request.count:,} are there")

    def _draw(self, request: Request) -> tuple[Any, ipw.DOMWidget]:
        """Return what a line says, and the line: the old one where it says it, in which a note may
        be half typed."""
        name = request.folder.name
        said = (self._words(request), request.hidden, request.favourite, name in self.compared)
        drawn = self._drawn.get(name)
        return drawn if drawn and drawn[0] == said else (said, self._line(request, said[0]))

    def _line(self, request: Request, words: str) -> ipw.DOMWidget:
        guard = self.notice.guard
        sign = "★" if request.favourite else "☆"
        star = toggle(sign, f"Favourite: {words}", "cl-square", request.favourite)
        star.observe(guard(lambda change: self.favour(request, change.new)), "value")
        tip = "Compare with another request: counts, shares, distributions"
        compare = toggle("Compare", tip, value=request.folder.name in self.compared)
        compare.observe(guard(lambda change: self.compare(request, change.new)), "value")
        note = ipw.Text(request.note, placeholder="Note", continuous_update=False)
        styled(note, "cl-note").tooltip = f"Note: {words}"
        note.observe(guard(lambda change: self.annotate(request, change.new)), "value")
        buttons = [
            compare,
            self.button("Show" if request.hidden else "Hide",
                   lambda: self.hide(request, not request.hidden), css="cl-small"),
            self._delete_button(request),
        ]  # fmt: skip
        if (recipe := guard(self.session.recipe)(request)) is not None:
            again = self.button("Reuse", lambda: self.on_reuse.tell(recipe), css="cl-small",
                           tip="Show this request in its form")  # fmt: skip
            buttons.insert(0, again)
        return column(row(star, caption(words)), row(note, *buttons), css="cl-request")

    def _delete_button(self, request: Request) -> ipw.Button:
        asked = 0.0
        remove = button("Delete", css="cl-small", tip="Remove the crystals from the disk")

        def delete(_: Any) -> None:  # twice, as nothing brings them back; a double click is one
            nonlocal asked
            if remove.description == "Delete":
                remove.description, remove.button_style = "Delete for good?", "warning"
                asked = time.monotonic()
            elif time.monotonic() - asked > DOUBLE_CLICK:
                self.notice.guard(self.delete)(request)

        remove.on_click(delete)
        return remove
