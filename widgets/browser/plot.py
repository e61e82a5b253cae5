"""A plotly figure that lives in the notebook: themed, clickable, updated in place."""

from __future__ import annotations

from functools import cache
from typing import Any

import pandas  # noqa: F401 - plotly takes it from sys.modules, half loaded while a thread imports it
import plotly.graph_objects as go
import traitlets as tl
from crystal_ldm.widgets.browser.widget import BrowserWidget, code


@cache
def _library() -> bytes:
    from importlib.resources import files

    return (files("plotly") / "package_data" / "plotly.min.js").read_bytes()


class Plot(BrowserWidget):
    """Shows a `plotly.graph_objects.Figure`.

    plotly.js is sent once for each page, when the first plot asks for it, and is shared by all;
    a FigureWidget would bring its own 5 MB each time. Text and grid follow JupyterLab's theme.

    Traits:
        spec: the figure as JSON; use `show(figure)` to set it.
        library: plotly.js itself, for a plot that is to be drawn while its kernel is busy and
            cannot answer (`eager=True`); else empty.
        height: px.
        tools: whether plotly's buttons appear under the mouse.
        places: x positions that a vertical line across all subplots can take; empty: no line.
        place: number of the position that it takes; link it to a slider with `jslink`.
        mark: [x, y] of a ring around one point of the first subplot; empty: no ring.
        clicked: the last point clicked: {"curve", "point", "x", "y", "z", "id", "count"}; `id` is
            the point's customdata (its first entry where that is a list).
    """

    _esm = code(__file__, "plot.js")

    spec = tl.Unicode("").tag(sync=True)
    library = tl.Bytes(b"").tag(sync=True)
    height = tl.Int(300).tag(sync=True)
    tools = tl.Bool(True).tag(sync=True)
    places = tl.List(tl.Float()).tag(sync=True)
    place = tl.Int(0, min=0).tag(sync=True)
    mark = tl.List(tl.Float()).tag(sync=True)
    clicked = tl.Dict().tag(sync=True)

    def __init__(
        self, figure: go.Figure | None = None, *, eager: bool = False, **traits: Any
    ) -> None:
        super().__init__(**{"library": _library() if eager else b"", **traits})
        self.on_msg(self._on_message)
        if figure is not None:
            self.show(figure)

    def show(self, figure: go.Figure) -> None:
        """Show `figure` in place of the last one; zoom stays where `uirevision` stays."""
        self.spec = figure.to_json()

    def download_png(self, name: str) -> None:
        """Make the browser save the figure as a PNG."""
        self.send({"png": name.removesuffix(".png")})

    def _on_message(self, _: Any, content: dict[str, Any], __: Any) -> None:
        if content.get("need") == "plotly":
            self.send({"library": "plotly"}, buffers=[_library()])
