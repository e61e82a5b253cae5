"""Names for screen readers: what stands beside a control is what the control is called."""

from __future__ import annotations

from pathlib import Path

import anywidget
import ipywidgets as ipw


class Names(anywidget.AnyWidget):
    """An empty part of a panel, whose script names the panel's controls as they appear.

    ipywidgets names a control only by a description of its own; those of the workbench have their
    label beside them, and sliders' handles, icons and the drawing of a crystal have none at all.
    """

    _esm = Path(__file__).with_name("names.js")

    def __init__(self) -> None:
        super().__init__(layout=ipw.Layout(display="none"))
