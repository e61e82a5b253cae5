"""What all widgets with code of their own in the browser share."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import anywidget
import traitlets as tl

_HEAR = Path(__file__).with_name("hear.js").read_text(encoding="utf-8")


def code(beside: str, name: str) -> str:
    """Return the JavaScript of the file `name` beside a module, `code(__file__, "table.js")`.

    Its default export has `initialize: hear`, which comes with it: see `hear.js`.
    """
    return _HEAR + Path(beside).with_name(name).read_text(encoding="utf-8")


class BrowserWidget(anywidget.AnyWidget):
    """A widget whose code hears the kernel however long the browser takes to load it.

    Traits:
        own_id: id of the widget's model, by which its code finds it.
    """

    own_id = tl.Unicode().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        name = uuid4().hex
        super().__init__(model_id=name, own_id=name, **traits)
