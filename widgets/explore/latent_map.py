"""A map of the latent space whose points open their crystals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go
from crystal_ldm.widgets.base import Panel
from crystal_ldm.widgets.browser.plot import Plot
from crystal_ldm.widgets.layout import column, row
from crystal_ldm.widgets.viewers.viewer import CrystalViewer
from pymatgen.core import Structure


class LatentMap(Panel):
    """Shows a map whose points are crystals: `LatentMap(figure, structure_of)`.

    `figure` is `widgets.figures.latent_figure(...)`, or any figure whose points carry a number as
    customdata; `structure_of(number)` returns that crystal when its point is clicked.
    """

    def __init__(
        self, figure: go.Figure, structure_of: Callable[[int], Structure], *, height: int = 440
    ) -> None:
        super().__init__()
        self._structure_of = structure_of
        self.plot = Plot(figure, height=height).add_class("cl-latent-map")
        self.viewer = CrystalViewer(height=height - 100, title="Click a point")
        self.widget = column(row(self.plot, self.viewer.widget, css="cl-two"), self.notice.widget)
        self.plot.observe(self.notice.guard(self._on_click), "clicked")

    def _on_click(self, change: Any) -> None:
        if (number := change.new.get("id")) is not None:
            structure = self._structure_of(int(number))
            self.viewer.title = structure.composition.reduced_formula
            self.viewer.show(structure)
