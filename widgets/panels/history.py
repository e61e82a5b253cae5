"""What was asked for so far: one line for each press of a button, with its crystals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Notice, Panel, button, caption, column, row
from crystal_ldm.widgets.session import Request, Session

Action = Callable[[Request], Any]


class HistoryPanel(Panel):
    """Shows, hides, deletes and reuses requests: `HistoryPanel(session)`.

    Traits:
        requests: the requests, the newest first; read-only, see `refresh`.
    """

    requests: tl.TraitType[Any, Any] = tl.List(read_only=True)

    def __init__(self, session: Session | None) -> None:
        super().__init__()
        self.session = session
        self.notice = Notice()
        self.lines = column(css="cl-history")
        self._changed: list[Callable[[], Any]] = []
        self._reuse: list[Action] = []
        self.widget = column(self.lines, self.notice.widget)
        self.refresh()

    def on_change(self, action: Callable[[], Any]) -> None:
        """Call `action()` when requests were hidden, shown or deleted."""
        self._changed.append(action)

    def on_reuse(self, action: Action) -> None:
        """Call `action(request)` when one is to be asked for again."""
        self._reuse.append(action)

    def refresh(self) -> None:
        """Read the requests from the disk."""
        if self.session is None:
            self.lines.children = [caption("Crystals are not kept: this workbench has no run.")]
            return
        self.set_trait("requests", self.session.requests()[::-1])
        empty = caption("Each request is kept here, and on disk, as soon as crystals are finished.")
        self.lines.children = [self._line(one) for one in self.requests] or [empty]

    def hide(self, request: Request, hidden: bool = True) -> None:
        """Leave a request's crystals out of the table, or show them again."""
        if self.session is not None:
            request.hidden = hidden
            self.session.save(request)
            self._tell()

    def delete(self, request: Request) -> None:
        """Remove a request and its crystals from the disk."""
        if self.session is not None:
            self.session.delete(request)
            self._tell()

    def reuse(self, request: Request) -> None:
        """Ask for the same again."""
        for action in self._reuse:
            action(request)

    def _tell(self) -> None:
        self.refresh()
        for action in self._changed:
            action()

    def _line(self, request: Request) -> ipw.DOMWidget:
        guard = self.notice.guard
        remove = button("Delete", css="cl-small", tip="Remove the crystals from the disk")

        def delete(_: Any) -> None:  # twice, as nothing brings them back
            if remove.description == "Delete":
                remove.description, remove.button_style = "Delete for good?", "warning"
            else:
                guard(self.delete)(request)

        remove.on_click(delete)
        buttons = [
            button("Show" if request.hidden else "Hide",
                   guard(lambda: self.hide(request, not request.hidden)), css="cl-small"),
            remove,
        ]  # fmt: skip
        if self.session is not None and self.session.recipe(request) is not None:
            again = button("Reuse", guard(lambda: self.reuse(request)), css="cl-small",
                           tip="Show this request in the form")  # fmt: skip
            buttons.insert(0, again)
        return row(caption(request.words), row(*buttons), css="cl-bar")
