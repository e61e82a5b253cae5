"""A panel that is in view after Run All."""

from __future__ import annotations

import time
from pathlib import Path

import anywidget
import ipywidgets as ipw
import traitlets as tl


class InView(anywidget.AnyWidget):
    """An empty part of a panel, whose script scrolls to the panel when Run All has ended.

    JupyterLab leaves the page at the last cell. Opened again later, or moved by hand meanwhile, the
    page stays where it is.
    """

    _esm = Path(__file__).with_name("in_view.js")

    made = tl.Float().tag(sync=True)

    def __init__(self) -> None:
        super().__init__(made=time.time(), layout=ipw.Layout(display="none"))
