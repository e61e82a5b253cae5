"""A button that makes a file in memory and lets the browser save it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets as tl
from crystal_ldm.widgets.base import sentence

Maker = Callable[[], tuple[str, bytes]]


class SaveButton(anywidget.AnyWidget):
    """`SaveButton(make, text="Download")`, where `make()` returns file name and content.

    The content is made at the press, in a thread, and goes to the browser once.

    Traits:
        text: label of the button.
        disabled: why it cannot be pressed; empty if it can.
        error: one sentence when making the file failed.
    """

    _esm = Path(__file__).with_name("save_button.js")

    text = tl.Unicode("Download").tag(sync=True)
    disabled = tl.Unicode("").tag(sync=True)
    error = tl.Unicode("")

    def __init__(self, make: Maker, **traits: Any) -> None:
        super().__init__(**traits)
        self._make = make
        self.add_class("cl-save")
        self.on_msg(self._on_message)

    def _on_message(self, _: Any, content: dict[str, Any], __: Any) -> None:
        if content.get("press"):
            threading.Thread(target=self.save, daemon=True).start()

    def save(self) -> None:
        """Make the file and hand it to the browser."""
        try:
            name, data = self._make()
        except Exception as error:  # the boundary where errors turn into text
            self.error = sentence(error)
            self.send({"failed": True})
        else:
            self.error = ""
            self.send({"name": name}, buffers=[data])
