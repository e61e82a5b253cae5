"""A place to drop files on, or to choose them with the keyboard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets as tl


class DropZone(anywidget.AnyWidget):
    """Hands dropped or chosen files to Python: `zone.on_files(function)`.

    Traits:
        text: what the zone says.
        accept: suffixes for the file dialogue, e.g. ".cif,.vasp".
        limit: largest file in bytes; larger ones are refused in the browser.
        multiple: whether several files are taken.
    """

    _esm = Path(__file__).with_name("drop_zone.js")
    _css = Path(__file__).with_name("drop_zone.css")

    text = tl.Unicode("Drop a file here, or press to choose one").tag(sync=True)
    accept = tl.Unicode("").tag(sync=True)
    limit = tl.Int(20_000_000).tag(sync=True)
    multiple = tl.Bool(False).tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self._listeners: list[Callable[[str, bytes], None]] = []
        self._refused: list[Callable[[str], None]] = []
        self.add_class("cl-drop-widget")
        self.on_msg(self.on_message)

    def on_files(self, action: Callable[[str, bytes], None]) -> None:
        """Call `action(name, content)` for each file."""
        self._listeners.append(action)

    def on_refused(self, action: Callable[[str], None]) -> None:
        """Call `action(reason)` for each file that is too large."""
        self._refused.append(action)

    def on_message(self, _: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        if "refused" in content:
            for tell in self._refused:
                tell(str(content["refused"]))
        elif "name" in content and buffers:
            for action in self._listeners:
                action(str(content["name"]), bytes(buffers[0]))
