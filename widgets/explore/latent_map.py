"""A map of the latent space whose points open their crystals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go
import traitlets as tl
from crystal_ldm.widgets.base import Panel
from crystal_ldm.widgets.browser.plot import Plot
from crystal_ldm.widgets.layout import column, row
from crystal_ldm.widgets.viewers.viewer import CrystalViewer
from pymatgen.core import Structure


class LatentMap(Panel):
    """Shows a map whose points are crystals: `LatentMap(figure, structure_of)`.

    `figure` is `widgets.figures.latent_figure(...)`, or any figure whose points carry a number as
    customdata; `structure_of(number)` returns that crystal when its point is clicked.

    Traits:
        selected: number of the crystal shown, or None.
    """

    selected = tl.Int(None, allow_none=True)

    def __init__(
        self,
        figure: go.Figure,
        structure_of: Callable[[int], Structure],
        *,
        height: int = 440,
    ) -> None:
        super().__init__()
        self._structure_of = structure_of
        self.plot = Plot(figure, height=height)
        self.viewer = CrystalViewer(height=height - 100)
        self.viewer.title = "Click a point"
        self.plot.add_class("cl-latent-map")
        self.widget = column(row(self.plot, self.viewer.widget, css="cl-two"), self.notice.widget)
        self.plot.observe(self.notice.guard(self._on_click), "clicked")
        self.react("selected", self._show)

    def _on_click(self, change: Any) -> None:
        if change.new.get("id") is not None:
            self.selected = int(change.new["id"])

    def _show(self) -> None:
        structure = None if self.selected is None else self._structure_of(self.selected)
        self.viewer.title = structure.composition.reduced_formula if structure else "Click a point"
        self.viewer.show(structure)
