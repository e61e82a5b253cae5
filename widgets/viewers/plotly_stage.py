"""Shows one crystal after the other with plotly, where nglview cannot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from crystal_ldm.widgets.browser.plot import Plot
from crystal_ldm.widgets.viewers.elements import Look
from crystal_ldm.widgets.viewers.plotly_crystal import atom_clicked, crystal_figure
from crystal_ldm.widgets.viewers.plotly_flat import flat_crystal_figure
from crystal_ldm.widgets.viewers.scene import Scene

STANDARD = (0.28, -0.95, 0.13)
"""Almost along b, with c up."""


class PlotlyStage:
    """Does what `NGLStage` does: `PlotlyStage(380, flat=False)`.

    Args:
        height: px.
        flat: without WebGL, of which plotly's three-dimensional drawing needs as much as nglview.
    """

    def __init__(self, height: int, *, flat: bool) -> None:
        self.plot = Plot(height=height)
        self.figure: Any = None
        self._flat = flat
        self._towards: tuple[float, ...] = STANDARD
        self._scene: Scene | None = None
        self._how: dict[str, Any] = {"height": height}

    def show(
        self, scene: Scene, labels: bool, look: Look, marked: Sequence[int], joined: bool
    ) -> None:
        """Draw `scene`; see `NGLStage.show`."""
        self._scene = scene
        self._how |= {"labels": labels, "look": look, "marked": marked, "joined": joined}
        self._draw()

    def look_along(self, towards: Sequence[float]) -> None:
        """Look against `towards`; in three dimensions the mouse turns the crystal."""
        self._towards = tuple(towards)
        self._draw()

    def on_click(self, action: Callable[[int], Any], guard: Callable[..., Any]) -> None:
        """Call `action` with the number of the drawn atom that is clicked."""

        def clicked(change: Any) -> None:
            atom = atom_clicked(self.figure, change.new["curve"], change.new["point"])
            if atom is not None:
                action(atom)

        self.plot.observe(guard(clicked), "clicked")

    def _draw(self) -> None:
        if self._scene is None:
            return
        if self._flat:
            figure = flat_crystal_figure(self._scene, self._towards, **self._how)
        else:
            figure = crystal_figure(self._scene, **self._how)
        figure.update_layout(showlegend=False, uirevision="viewer")
        self.figure = figure
        self.plot.show(figure)
