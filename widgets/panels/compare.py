"""Two crystals side by side, each with its simulated X-ray powder pattern."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import traitlets as tl
from crystal_ldm.widgets.base import Notice, Panel, column, escape, row
from crystal_ldm.widgets.browser.plot import Plot
from crystal_ldm.widgets.viewers.viewer import CrystalViewer

from crystal_ldm.crystals.powder import xrd_pattern

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from pymatgen.core import Structure

COLOURS = ("#1976d2", "#e65100")


class Compare(Panel):
    """Compares two crystals: `Compare(first, second)`.

    Traits:
        first, second: pymatgen Structures, or None.
        first_name, second_name: what they are called; their formulas by default.
        verdict: whether StructureMatcher takes them for the same structure; read-only.
    """

    first = tl.Any(None, allow_none=True)
    second = tl.Any(None, allow_none=True)
    first_name = tl.Unicode("")
    second_name = tl.Unicode("")
    verdict = tl.Unicode("", read_only=True)

    def __init__(
        self,
        first: Structure | None = None,
        second: Structure | None = None,
        *,
        first_name: str = "",
        second_name: str = "",
        height: int = 280,
    ) -> None:
        super().__init__()
        self.notice = Notice()
        self.viewers = (CrystalViewer(height=height), CrystalViewer(height=height, toolbar=False))
        self.plot = Plot(height=230)
        self._said = Notice()
        self.widget = column(
            row(*(viewer.widget for viewer in self.viewers), css="cl-two"),
            self._said.widget,
            self.plot,
            self.notice.widget,
            css="cl-compare",
        )
        self._round = 0
        self.observe(
            self.notice.guard(lambda _: self._show()),
            ["first", "second", "first_name", "second_name"],
        )
        with self.hold_trait_notifications():
            self.first_name, self.second_name = first_name, second_name
            self.first, self.second = first, second
        if first is None and second is None:
            self.plot.layout.display = "none"
            self._said.say("Choose two crystals to compare.")

    def _show(self) -> None:
        crystals = (self.first, self.second)
        names = (self.first_name, self.second_name)
        for viewer, crystal, name in zip(self.viewers, crystals, names, strict=True):
            viewer.widget.layout.display = None if crystal is not None else "none"
            viewer.title = name or (crystal.composition.reduced_formula if crystal else "")
            if viewer.structure is not crystal:
                viewer.show(crystal)
        self.plot.layout.display = (
            None if any(crystal is not None for crystal in crystals) else "none"
        )
        self._round += 1
        threading.Thread(
            target=self.notice.guard(self._compute), args=(self._round, *crystals), daemon=True
        ).start()

    def _compute(self, this_round: int, first: Structure | None, second: Structure | None) -> None:
        patterns = {
            name: xrd_pattern(crystal)
            for name, crystal in (("first", first), ("second", second))
            if crystal is not None
        }
        verdict = same_structure(first, second) if first and second else ""
        if this_round != self._round:
            return
        names = {
            "first": self.viewers[0].title or "first",
            "second": self.viewers[1].title or "second",
        }
        self.plot.show(xrd_figure(patterns, names))
        self.set_trait("verdict", verdict)
        self._said.say(verdict)


def same_structure(first: Structure, second: Structure) -> str:
    """Say whether pymatgen's StructureMatcher, at its defaults, takes both for one structure."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    if first.composition.reduced_formula != second.composition.reduced_formula:
        return "The compositions differ."
    found = StructureMatcher().get_rms_dist(first, second)
    if found is None:
        return "Same composition, another structure (StructureMatcher at its defaults)."
    return (
        f"The same structure within StructureMatcher's defaults: root mean square {found[0]:.3f}, "
        f"largest {found[1]:.3f}, in units of (volume per atom)^(1/3)."
    )


def xrd_figure(
    patterns: dict[str, tuple[list[float], list[float]]], names: dict[str, str]
) -> go.Figure:
    """Return one pattern upwards and the other downwards over the same angles."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for key, sign, colour in (("first", 1, COLOURS[0]), ("second", -1, COLOURS[1])):
        if key not in patterns:
            continue
        angles, heights = patterns[key]
        x: list[Any] = []
        y: list[Any] = []
        for angle, value in zip(angles, heights, strict=True):
            x += [angle, angle, None]
            y += [0, sign * value, None]
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines",
            line={"color": colour, "width": 2},
            name=escape(names[key]),  # plotly reads HTML in names
            hovertemplate="2θ = %{x:.2f}°<extra></extra>",
        )
    figure.update_layout(
        xaxis={"title": {"text": "2θ (°), Cu Kα", "font_size": 11}, "range": [5, 90]},
        yaxis={
            "title": {"text": "Intensity", "font_size": 11},
            "tickvals": [-100, -50, 0, 50, 100],
            "ticktext": ["100", "50", "0", "50", "100"],
            "range": [-108, 108],
        },
        margin={"l": 48, "r": 8, "t": 8, "b": 40},
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"},
    )
    return figure
