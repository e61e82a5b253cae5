"""A button that reaches a kernel which is busy with the cell that it should end."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets as tl


class StopButton(anywidget.AnyWidget):
    """Calls `action()` and interrupts the kernel: `StopButton(action, text="Stop")`.

    The interrupt is that of the toolbar's ■: code that trains handles SIGINT by ending in good
    order.

    Traits:
        text: label of the button.
        enabled: whether it can be pressed.
        kernel: id of the kernel; empty outside Jupyter.
    """

    _esm = Path(__file__).with_name("stop_button.js")

    text = tl.Unicode("Stop").tag(sync=True)
    enabled = tl.Bool(False).tag(sync=True)
    kernel = tl.Unicode("").tag(sync=True)

    def __init__(self, action: Callable[[], Any], **traits: Any) -> None:
        super().__init__(**{"kernel": _kernel_id(), **traits})
        self._action = action
        self.add_class("cl-stop-kernel")
        self.on_msg(self.on_message)

    def on_message(self, _: Any, content: dict[str, Any], __: Any) -> None:
        if content.get("press"):
            self._action()


def _kernel_id() -> str:
    from ipykernel.connect import get_connection_file

    try:
        found = re.search(r"kernel-([0-9a-f-]{36})\.json$", get_connection_file())
    except RuntimeError:  # there is no kernel
        return ""
    return found.group(1) if found else ""
