"""Buttons whose work is done in the browser: copy a text, save or take a file, stop a kernel."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import traitlets as tl
from crystal_ldm.widgets.base import Notice, sentence
from crystal_ldm.widgets.browser.widget import BrowserWidget, code


class CopyButton(BrowserWidget):
    """Puts text on the clipboard: `CopyButton(content="…")`.

    Traits:
        text: label of the button.
        content: what is copied.
    """

    _esm = code(__file__, "copy_button.js")

    text = tl.Unicode("Copy").tag(sync=True)
    content = tl.Unicode("").tag(sync=True)


class SaveButton(BrowserWidget):
    """`SaveButton(make, notice, text="Download")`: `make()` returns file name and content.

    The content is made at the press, in a thread, and goes to the browser once, which saves it. Why
    it could not be made is said in `notice`.

    Traits:
        text: label of the button.
    """

    _esm = code(__file__, "save_button.js")

    text = tl.Unicode("Download").tag(sync=True)

    def __init__(
        self, make: Callable[[], tuple[str, bytes]], notice: Notice, **traits: Any
    ) -> None:
        super().__init__(**traits)
        self.make, self._notice = make, notice
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


class StopButton(BrowserWidget):
    """Calls `action()` and interrupts the kernel: `StopButton(action, text="Stop")`.

    It reaches a kernel which is busy with the cell that it should end. The interrupt is that of the
    toolbar's ■: code that trains handles SIGINT by ending in good order.

    Traits:
        text: label of the button.
        enabled: whether it can be pressed.
    """

    _esm = code(__file__, "stop_button.js")

    text = tl.Unicode("Stop").tag(sync=True)
    enabled = tl.Bool(False).tag(sync=True)

    def __init__(self, action: Callable[[], Any], **traits: Any) -> None:
        super().__init__(**traits)
        self._action = action
        self.on_msg(self.on_message)

    def on_message(self, _: Any, content: dict[str, Any], __: Any) -> None:
        if content.get("press"):
            self._action()


class DropZone(BrowserWidget):
    """Hands a dropped or chosen file to Python: `DropZone(take, notice, text="…")`.

    `take(name, content)` is called for each file; what goes wrong, there or because a file is too
    large, is said in `notice`.

    Traits:
        text: what the zone says.
        accept: suffixes for the file dialogue, e.g. ".cif,.vasp".
    """

    _esm = code(__file__, "drop_zone.js")
    _css = Path(__file__).with_name("drop_zone.css")

    text = tl.Unicode("Drop a file here, or press to choose one").tag(sync=True)
    accept = tl.Unicode("").tag(sync=True)

    def __init__(self, take: Callable[[str, bytes], Any], notice: Notice, **traits: Any) -> None:
        super().__init__(**traits)
        self._take, self._notice = notice.guard(take), notice
        self.on_msg(self.on_message)

    def on_message(self, _: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        if "refused" in content:
            self._notice.say(str(content["refused"]), "error")
        elif "name" in content and buffers:
            self._take(str(content["name"]), bytes(buffers[0]))
