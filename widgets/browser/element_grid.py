"""The clickable cells of a periodic table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets as tl

STATES = ("allowed", "required", "forbidden")


class ElementGrid(anywidget.AnyWidget):
    """A grid of elements, each allowed, required or forbidden.

    A click goes from allowed to required to forbidden; arrow keys move, R, F and A set the state.

    Traits:
        cells: list of {"symbol", "name", "number", "row", "column"}; row and column from 1.
        marks: symbol -> "required" or "forbidden"; all others are allowed.
        disabled: symbol -> why it cannot be chosen.
        locked: why nothing can be chosen; empty if it can.
    Messages to Python: {"refused": reason} when a disabled cell is pressed.
    """

    _esm = Path(__file__).with_name("element_grid.js")
    _css = Path(__file__).with_name("element_grid.css")

    cells: tl.List[dict[str, Any]] = tl.List().tag(sync=True)
    marks = tl.Dict().tag(sync=True)
    disabled = tl.Dict().tag(sync=True)
    locked = tl.Unicode("").tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.add_class("cl-elements")
