"""A look into the browser: can it draw with WebGL, and did nglview's view appear?"""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets as tl


class Probe(anywidget.AnyWidget):
    """An invisible widget that reports on its neighbour in the page.

    Traits:
        target: CSS class of the neighbour that should hold a canvas.
        patience: seconds to wait for that canvas.
    Messages to Python: {"status": "ready" | "no-webgl" | "no-extension"}, once for each view.
    """

    _esm = Path(__file__).with_name("probe.js")

    target = tl.Unicode().tag(sync=True)
    patience = tl.Float(8.0).tag(sync=True)
