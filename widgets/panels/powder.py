"""Powder patterns of crystals, and a measured one that is dropped on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import ipywidgets as ipw
import plotly.graph_objects as go
import traitlets as tl
from crystal_ldm.widgets.base import Notice, Panel
from crystal_ldm.widgets.browser.buttons import DropZone
from crystal_ldm.widgets.browser.plot import Plot
from crystal_ldm.widgets.figures.discovery import sticks
from crystal_ldm.widgets.jobs import Latest
from crystal_ldm.widgets.layout import column, escape, labelled, row, show_if
from pymatgen.core import Structure

from crystal_ldm.crystals.powder import (
    NARROWEST,
    RADIATIONS,
    WIDEST,
    Comparison,
    PowderPattern,
    compare,
    wavelength_of,
    xrd_pattern,
)
from crystal_ldm.crystals.readers.powder import read_powder_pattern

COLOURS = ("#1976d2", "#e65100")
ACCEPT = ".xy,.csv,.dat,.txt,.xrdml,.xml"
MEANING = (
    "1: equal, 0: nothing in common; weighted cross-correlation, de Gelder et al. 2001, on the "
    "range of 2θ that both have, without the background"
)


class PowderPanel(Panel):
    """Draws the powder patterns of one or two crystals: `PowderPanel([("SrTiO3", structure)])`.

    Traits:
        crystals: (name, pymatgen Structure) pairs, at most two.
        radiation: "Cu Kα", "Mo Kα", "Co Kα", or a wavelength in Å as text.
        width: full width at half maximum of the simulated peaks where a measured pattern is shown,
            degrees 2θ.
        measured: a `crystal_ldm.crystals.powder.PowderPattern`, or None.
        similarity: for each of `crystals` how alike its pattern and the measured one are, from 0
            to 1; empty without a measured one. Read-only.
    """

    crystals = tl.List(tl.Tuple(tl.Unicode(), tl.Any()))
    radiation = tl.Unicode("Cu Kα")
    width = tl.Float(0.2, min=NARROWEST, max=WIDEST)
    measured = tl.Any(None, allow_none=True)
    similarity = tl.List(tl.Float(), read_only=True)

    def __init__(
        self, crystals: Sequence[tuple[str, Structure]] = (), *, height: int = 230
    ) -> None:
        super().__init__()
        self._latest = Latest(self.notice)
        self._name = ""
        self._height = height
        self.said = Notice()
        self.plot = Plot(height=height)
        zone = {"text": "Drop a measured pattern here (xy, csv, xrdml)", "accept": ACCEPT}
        self.zone = DropZone(self.read, self.notice, **zone)
        radiation = ipw.Combobox(
            options=tuple(RADIATIONS), ensure_option=False, continuous_update=False,
            placeholder="Cu Kα, or Å",
        )  # fmt: skip
        self.linked("radiation", radiation, "cl-radiation")
        self.remove = self.button("Remove the measured pattern", self.forget, css="cl-small")
        self.controls = column(
            row(
                labelled("Wavelength", radiation, tip="One of the list, or a number in Å"),
                self.number("width", "Peak width (° 2θ)", tip="Full width at half maximum"),
                self.remove,
            ),
            self.zone,
        )
        self.widget = column(self.plot, self.said.widget, self.controls, self.notice.widget)
        self.react(["crystals", "radiation", "width", "measured"], self._start)
        self.crystals = list(crystals)
        if not crystals:
            self._start()

    def read(self, name: str, content: bytes) -> None:
        """Take the measured pattern in a file, and the wavelength that it states.

        Raises:
            DataError: it is no pattern.
        """
        pattern = read_powder_pattern(name, content)
        said = list(pattern.notes)
        if pattern.wavelength is not None:
            self.radiation = f"{pattern.wavelength:.5f}"
            said.append(f"The wavelength is the file's, {pattern.wavelength:.5f} Å.")
        self._name = name
        self.measured = pattern
        self.notice.say(" ".join(said))

    def forget(self) -> None:
        """Show the simulated patterns alone."""
        self.measured = None
        self.notice.clear()

    def _start(self) -> None:
        wavelength_of(self.radiation)  # says what is wrong, and leaves the drawing as it is
        if self.notice.level == "error":
            self.notice.clear()
        show_if(self.measured is not None, self.remove)
        show_if(bool(self.crystals), self.plot, self.controls)
        if not self.crystals:
            self._latest.drop()
            return
        crystals, radiation, measured = list(self.crystals), self.radiation, self.measured
        width, name = self.width, self._name

        def compute() -> tuple[go.Figure, list[tuple[str, Comparison]]]:
            if measured is None:
                lines = [(title, xrd_pattern(crystal, radiation)) for title, crystal in crystals]
                return xrd_figure(lines, radiation), []
            found = [(t, compare(measured, c, radiation, width)) for t, c in crystals]
            return comparison_figure(measured, found, radiation, name), found

        def failed() -> None:
            if measured is not None:  # it is shown alone
                self._show(comparison_figure(measured, [], radiation, name), [])

        self._latest.start(compute, lambda drawn: self._show(*drawn), failed=failed)

    def _show(self, figure: go.Figure, found: Sequence[tuple[str, Comparison]]) -> None:
        self.plot.height = self._height + (70 if found else 0)  # for names that need a line each
        self.plot.show(figure)
        self.set_trait("similarity", [one.similarity for _, one in found])
        figures = ", ".join(f"{name} {one.similarity:.2f}" for name, one in found)
        told = self._name or "the measured pattern"
        self.said.say(f"Similarity with {told}: {figures} ({MEANING})." if found else "")


def xrd_figure(
    patterns: Sequence[tuple[str, tuple[list[float], list[float]]]], radiation: str = "Cu Kα"
) -> go.Figure:
    """Return one named pattern upwards and the other downwards over the same angles."""
    lines = [
        (name, colour, *sticks(angles, [sign * height for height in heights]))
        for (name, (angles, heights)), sign, colour in zip(patterns, (1, -1), COLOURS, strict=False)
    ]
    y_axis = {
        "tickvals": [-100, -50, 0, 50, 100],
        "ticktext": ["100", "50", "0", "50", "100"],
        "range": [-108 if len(patterns) > 1 else 0, 108],
    }
    return _figure(lines, radiation, y_axis).update_xaxes(range=[5, 90])


def _figure(
    lines: Iterable[tuple[str, str, Any, Any]], radiation: str, y_axis: Mapping[str, Any]
) -> go.Figure:
    """Return lines, each by name, colour, angles and intensities, over the angles."""
    figure = go.Figure()
    for name, colour, x, y in lines:
        figure.add_scatter(
            x=x, y=y, mode="lines", line={"color": colour, "width": 1.5},
            name=escape(name),  # plotly reads HTML in names
            hovertemplate="2θ = %{x:.2f}°<extra></extra>",
        )  # fmt: skip
    called = radiation if radiation in RADIATIONS else f"λ = {radiation} Å"
    return figure.update_layout(
        xaxis={"title": {"text": f"2θ (°), {called}", "font_size": 11}},
        yaxis={"title": {"text": "Intensity", "font_size": 11}, **y_axis},
        margin={"l": 48, "r": 8, "t": 8, "b": 40},
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"},
    )


def comparison_figure(
    measured: PowderPattern,
    found: Sequence[tuple[str, Comparison]],
    radiation: str = "Cu Kα",
    name: str = "",
) -> go.Figure:
    """Return a measured pattern over the broadened ones of crystals.

    Without crystals to compare it with, the pattern is shown as it was measured.
    """
    grid, curve = measured.angles, measured.intensities * (100 / measured.intensities.max())
    if found:
        grid, curve = found[0][1].grid, found[0][1].measured
    lines = [(name or "measured", "#8a8a8a", grid, curve)]
    lines += [
        (f"{title} ({one.similarity:.2f})", colour, one.grid, one.simulated)
        for (title, one), colour in zip(found, COLOURS, strict=False)
    ]
    return _figure(lines, radiation, {"range": [-2, 108]})
