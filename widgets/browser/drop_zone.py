"""A place to drop files on, or to choose them with the keyboard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets as tl
from crystal_ldm.widgets.base import Notice


class DropZone(anywidget.AnyWidget):
    """Hands a dropped or chosen file to Python: `DropZone(take, notice, text="…")`.

    `take(name, content)` is called for each file; what goes wrong, there or because a file is too
    large, is said in `notice`.

    Traits:
        text: what the zone says.
        accept: suffixes for the file dialogue, e.g. ".cif,.vasp".
        limit: largest file in bytes; larger ones are refused in the browser.
    """

    _esm = Path(__file__).with_name("drop_zone.js")
    _css = Path(__file__).with_name("drop_zone.css")

    text = tl.Unicode("Drop a file here, or press to choose one").tag(sync=True)
    accept = tl.Unicode("").tag(sync=True)
    limit = tl.Int(20_000_000).tag(sync=True)

    def __init__(self, take: Callable[[str, bytes], Any], notice: Notice, **traits: Any) -> None:
        super().__init__(**traits)
        self._take, self._notice = notice.guard(take), notice
        self.on_msg(self.on_message)

    def on_message(self, _: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        if "refused" in content:
            self._notice.say(str(content["refused"]), "error")
        elif "name" in content and buffers:
            self._take(str(content["name"]), bytes(buffers[0]))
