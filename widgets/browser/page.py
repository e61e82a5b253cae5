"""Empty parts of a panel, whose scripts do something to the page around it."""

from __future__ import annotations

import time
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.browser.widget import BrowserWidget, code


class PagePart(BrowserWidget):
    """A part of a panel that is not seen."""

    def __init__(self, **traits: Any) -> None:
        super().__init__(layout=ipw.Layout(display="none"), **traits)


class Names(PagePart):
    """Names the panel's controls for screen readers: each is called what stands beside it.

    ipywidgets names a control only by a description of its own; those of the workbench have their
    label beside them, and sliders' handles, icons and the drawing of a crystal have none at all.
    """

    _esm = code(__file__, "names.js")


class InView(PagePart):
    """Scrolls to the panel when Run All has ended.

    JupyterLab leaves the page at the last cell. Opened again later, or moved by hand meanwhile, the
    page stays where it is.
    """

    _esm = code(__file__, "in_view.js")

    made = tl.Float().tag(sync=True)

    def __init__(self) -> None:
        super().__init__(made=time.time())
