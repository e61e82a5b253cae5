"""A periodic table in which each element is allowed, required or forbidden."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import traitlets as tl
from crystal_ldm.widgets.base import Panel
from crystal_ldm.widgets.browser.widget import BrowserWidget, code
from crystal_ldm.widgets.layout import caption, column, row

from crystal_ldm.errors import RequestError, suggest

HINT = "Click an element: allowed, required ✓, forbidden ✕. Keyboard: arrows, then R, F or A."


@cache
def element_cells() -> list[dict[str, Any]]:
    """Return symbol, name, number and place in the 18-column table of all 118 elements."""
    from pymatgen.core import Element

    cells = []
    for number in range(1, 119):
        element = Element.from_Z(number)
        line, group = element.row, element.group
        if 57 <= number <= 71:
            line, group = 8, number - 57 + 3
        elif 89 <= number <= 103:
            line, group = 9, number - 89 + 3
        cells.append(
            {
                "symbol": element.symbol,
                "name": element.long_name,
                "number": number,
                "row": line,
                "column": group,
            }
        )
    return cells


class ElementGrid(BrowserWidget):
    """A grid of elements, each allowed, required or forbidden.

    A click goes from allowed to required to forbidden; arrow keys move, R, F and A set the state.

    Traits:
        cells: list of {"symbol", "name", "number", "row", "column"}; row and column from 1.
        marks: symbol -> "required" or "forbidden"; all others are allowed.
        disabled: symbol -> why it cannot be chosen.
        locked: why nothing can be chosen; empty if it can.
    Messages to Python: {"refused": reason} when a disabled cell is pressed.
    """

    _esm = code(__file__, "element_grid.js")
    _css = Path(__file__).with_name("element_grid.css")

    cells: tl.List[dict[str, Any]] = tl.List().tag(sync=True)
    marks = tl.Dict().tag(sync=True)
    disabled = tl.Dict().tag(sync=True)
    locked = tl.Unicode("").tag(sync=True)


class PeriodicTable(Panel):
    """Element rules for atoms left open: `PeriodicTable(elements=ldm.elements)`.

    Traits:
        required: symbols that must occur.
        forbidden: symbols that must not occur.
        locked: why the table cannot be used at the moment; empty if it can.
    """

    required = tl.List(tl.Unicode())
    forbidden = tl.List(tl.Unicode())
    locked = tl.Unicode("")

    def __init__(self, elements: Iterable[str] = ()) -> None:
        """`elements` are the symbols that can be chosen; empty: all."""
        super().__init__()
        self.grid = ElementGrid(cells=element_cells(), disabled=_unknown(elements))
        self._said = caption(HINT)
        guard = self.notice.guard
        tools = row(
            self.button("Allow all", self.allow_all, css="cl-small"),
            self.button(
                "Only these elements",
                self.forbid_others,
                tip="Forbid every element that is not required ✓",
                css="cl-small",
            ),
            self._said,
        )
        self.widget = column(self.grid, tools, self.notice.widget, css="cl-periodic-table")
        self.grid.observe(guard(self._from_grid), "marks")
        self.grid.on_msg(
            guard(lambda _, content, __: self.notice.say(content.get("refused", ""), "warning"))
        )
        self.react(["required", "forbidden"], self._to_grid)
        tl.dlink((self, "locked"), (self.grid, "locked"))

    @property
    def usable(self) -> list[str]:
        """The symbols that can be chosen, by atomic number."""
        disabled = self.grid.disabled
        return [c["symbol"] for c in element_cells() if c["symbol"] not in disabled]

    def rules(self) -> dict[str, list[str]]:
        """Return the arguments `required`, `allowed`, `forbidden` of a request, where not empty.

        Where most elements are forbidden, the few that are allowed are named instead.
        """
        allowed = [s for s in self.usable if s not in self.forbidden]
        found: dict[str, list[str]] = {}
        if self.required:
            found["required"] = list(self.required)
        if self.forbidden and len(allowed) < len(self.usable) / 2:
            found["allowed"] = allowed
        elif self.forbidden:
            found["forbidden"] = list(self.forbidden)
        return found

    def set_rules(
        self,
        required: Iterable[str] = (),
        allowed: Iterable[str] = (),
        forbidden: Iterable[str] = (),
    ) -> None:
        """Take over the rules of a request; `allowed` forbids all others."""
        keep = {*allowed, *required}
        banned = [s for s in self.usable if s not in keep] if allowed else []
        with self.hold_trait_notifications():
            self.required = _ordered(required)
            self.forbidden = _ordered([*forbidden, *banned])

    def allow_all(self) -> None:
        """Clear all rules."""
        self.set_rules()

    def forbid_others(self) -> None:
        """Forbid every element that is not required."""
        self.set_rules(self.required, forbidden=[s for s in self.usable if s not in self.required])

    @tl.validate("required", "forbidden")
    def _known(self, proposal: Any) -> list[str]:
        usable = self.usable
        for symbol in proposal.value:
            if symbol not in usable:
                raise RequestError(
                    f"{symbol!r} is not an element this model knows.{suggest(symbol, usable)}"
                )
        return list(proposal.value)

    def _from_grid(self, change: Any) -> None:
        marks = change.new
        with self.hold_trait_notifications():
            self.required = _ordered(s for s, mark in marks.items() if mark == "required")
            self.forbidden = _ordered(s for s, mark in marks.items() if mark == "forbidden")
        self.notice.clear()

    def _to_grid(self) -> None:
        self.grid.marks = {
            **dict.fromkeys(self.forbidden, "forbidden"),
            **dict.fromkeys(self.required, "required"),
        }
        self._said.value = self._summary()

    def _summary(self) -> str:
        parts = []
        if self.required:
            parts.append("Required: " + ", ".join(self.required) + ".")
        rules = self.rules()
        if "allowed" in rules:
            rest = [s for s in rules["allowed"] if s not in self.required]
            parts.append("Allowed: " + (", ".join(rest) or "nothing else") + ".")
        elif self.forbidden:
            parts.append("Forbidden: " + ", ".join(self.forbidden) + ".")
        return " ".join(parts) or HINT


def _unknown(elements: Iterable[str]) -> dict[str, str]:
    """Return why each element outside `elements` cannot be chosen; none if that is empty."""
    known = set(elements)
    if not known:
        return {}
    reason = "the model was not trained on it."
    return {c["symbol"]: reason for c in element_cells() if c["symbol"] not in known}


def _ordered(symbols: Iterable[str]) -> list[str]:
    """Return `symbols` once each, by atomic number; unknown ones last."""
    numbers = {c["symbol"]: c["number"] for c in element_cells()}
    return sorted(dict.fromkeys(symbols), key=lambda s: numbers.get(s, 999))
