"""A plotly figure that lives in the notebook: themed, clickable, updated in place."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import ipywidgets as ipw
import pandas  # noqa: F401 - plotly takes it from sys.modules, half loaded while a thread imports it
import plotly.graph_objects as go
import traitlets as tl
from crystal_ldm.widgets.browser.widget import BrowserWidget, code


class _Library(ipw.Widget):
    """plotly.js: a model without a view, from which the first plot of a page takes it."""

    source = tl.Bytes().tag(sync=True)


@cache
def _library() -> _Library:
    return _Library(source=(files("plotly") / "package_data" / "plotly.min.js").read_bytes())


class Plot(BrowserWidget):
    """Shows a `plotly.graph_objects.Figure`.

    plotly.js is sent once, and all plots of a page share it; a FigureWidget brings its own 5 MB
    each time. Text and grid follow JupyterLab's theme.

    Traits:
        spec: the figure as JSON; use `show(figure)` to set it.
        library: id of the model of plotly.js.
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
    library = tl.Unicode().tag(sync=True)
    height = tl.Int(300).tag(sync=True)
    tools = tl.Bool(True).tag(sync=True)
    places = tl.List(tl.Float()).tag(sync=True)
    place = tl.Int(0, min=0).tag(sync=True)
    mark = tl.List(tl.Float()).tag(sync=True)
    clicked = tl.Dict().tag(sync=True)

    def __init__(self, figure: go.Figure | None = None, **traits: Any) -> None:
        super().__init__(library=_library().model_id, **traits)
        if figure is not None:
            self.show(figure)

    def show(self, figure: go.Figure) -> None:
        """Show `figure` in place of the last one; zoom stays where `uirevision` stays."""
        self.spec = figure.to_json()

    def download_png(self, name: str) -> None:
        """Make the browser save the figure as a PNG."""
        self.send({"png": name.removesuffix(".png")})
