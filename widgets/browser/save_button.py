"""A button that makes a file in memory and lets the browser save it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets as tl
from crystal_ldm.widgets.base import Notice, sentence

Maker = Callable[[], tuple[str, bytes]]


class SaveButton(anywidget.AnyWidget):
    """`SaveButton(make, notice, text="Download")`: `make()` returns file name and content.

    The content is made at the press, in a thread, and goes to the browser once. Why it could not
    be made is said in `notice`.

    Traits:
        text: label of the button.
        disabled: why it cannot be pressed; empty if it can.
    """

    _esm = Path(__file__).with_name("save_button.js")

    text = tl.Unicode("Download").tag(sync=True)
    disabled = tl.Unicode("").tag(sync=True)

    def __init__(self, make: Maker, notice: Notice, **traits: Any) -> None:
        super().__init__(**traits)
        self.make, self._notice = make, notice
        self.add_class("cl-save")
        self.on_msg(self._on_message)

    def _on_message(self, _: Any, content: dict[str, Any], __: Any) -> None:
        if content.get("press"):
            threading.Thread(target=self.save, daemon=True).start()

    def save(self) -> None:
        """Make the file and hand it to the browser."""
        try:
            name, data = self.make()
        except Exception as error:  # the boundary where errors turn into text
            self._notice.say(sentence(error), "error")
            self.send({"failed": True})
        else:
            if self._notice.level == "error":
                self._notice.clear()
            self.send({"name": name}, buffers=[data])
