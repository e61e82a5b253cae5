"""A button that puts text on the clipboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets as tl


class CopyButton(anywidget.AnyWidget):
    """`CopyButton(content="…")`.

    Traits:
        text: label of the button.
        content: what is copied.
    """

    _esm = Path(__file__).with_name("copy_button.js")

    text = tl.Unicode("Copy").tag(sync=True)
    content = tl.Unicode("").tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.add_class("cl-copy")
