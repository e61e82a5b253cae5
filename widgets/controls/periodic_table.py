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
        marks: "required" or "forbidden" by symbol; the others are allowed.
        locked: why the table cannot be used at the moment; empty if it can.
    """

    marks = tl.Dict()
    locked = tl.Unicode("")

    def __init__(self, elements: Iterable[str] = ()) -> None:
        """`elements` are the symbols that can be chosen; empty: all."""
        super().__init__()
        symbols = [cell["symbol"] for cell in element_cells()]
        known = set(elements) or set(symbols)
        self.usable = [symbol for symbol in symbols if symbol in known]
        reason = "the model was not trained on it."
        disabled = dict.fromkeys([s for s in symbols if s not in known], reason)
        self.grid = ElementGrid(cells=element_cells(), disabled=disabled)
        self._said = caption(HINT)
        guard = self.notice.guard
        tools = row(
            self.button("Allow all", self.set_rules, css="cl-small"),
            self.button(
                "Only these elements",
                self.forbid_others,
                tip="Forbid every element that is not required ✓",
                css="cl-small",
            ),
            self._said,
        )
        self.widget = column(self.grid, tools, self.notice.widget, css="cl-periodic-table")
        self.grid.on_msg(
            guard(lambda _, content, __: self.notice.say(content.get("refused", ""), "warning"))
        )
        tl.link((self, "marks"), (self.grid, "marks"))
        tl.dlink((self, "locked"), (self.grid, "locked"))
        self.react("marks", self._summarise)

    @property
    def required(self) -> list[str]:
        """The symbols that must occur, by atomic number."""
        return [symbol for symbol in self.usable if self.marks.get(symbol) == "required"]

    @property
    def forbidden(self) -> list[str]:
        """The symbols that must not occur, by atomic number."""
        return [symbol for symbol in self.usable if self.marks.get(symbol) == "forbidden"]

    def rules(self) -> dict[str, list[str]]:
        """Return the arguments `required`, `allowed`, `forbidden` of a request, where not empty.

        Where most elements are forbidden, the few that are allowed are named instead.
        """
        allowed = [s for s in self.usable if s not in self.forbidden]
        few = len(allowed) < len(self.usable) / 2
        rules = {
            "required": self.required,
            "allowed": allowed if few else [],
            "forbidden": [] if few else self.forbidden,
        }
        return {name: symbols for name, symbols in rules.items() if symbols}

    def set_rules(
        self,
        required: Iterable[str] = (),
        allowed: Iterable[str] = (),
        forbidden: Iterable[str] = (),
    ) -> None:
        """Take over the rules of a request; `allowed` forbids all others, and nothing all rules."""
        keep = {*allowed, *required}
        banned = [s for s in self.usable if s not in keep] if allowed else []
        self.marks = {
            **dict.fromkeys([*forbidden, *banned], "forbidden"),
            **dict.fromkeys(required, "required"),
        }

    def forbid_others(self) -> None:
        """Forbid every element that is not required."""
        self.set_rules(self.required, forbidden=[s for s in self.usable if s not in self.required])

    @tl.validate("marks")
    def _known(self, proposal: Any) -> dict[str, str]:
        for symbol in proposal.value:
            if symbol not in self.usable:
                near = suggest(symbol, self.usable)
                raise RequestError(f"{symbol!r} is not an element this model knows.{near}")
        return dict(proposal.value)

    def _summarise(self) -> None:
        self.notice.clear()
        rules = self.rules()
        if "allowed" in rules:
            rest = [s for s in rules["allowed"] if s not in self.required]
            rules["allowed"] = rest or ["nothing else"]
        parts = [f"{name.capitalize()}: {', '.join(some)}." for name, some in rules.items()]
        self._said.value = " ".join(parts) or HINT
