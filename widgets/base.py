"""What every panel shares: how it is shown, how its errors are worded, how user text is escaped."""

from __future__ import annotations

import html
import logging
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from IPython.display import display

logger = logging.getLogger("crystal_ldm.widgets")
logger.addHandler(logging.NullHandler())

LONGEST = 300
"""Characters of an error's text that are shown; some libraries write pages."""

_STYLE: ipw.HTML | None = None
_NO_MARGIN = {"margin": "0", "padding": "0"}


def escape(text: object) -> str:
    """Return `text` safe for use inside HTML, attributes included."""
    return html.escape(str(text), quote=True)


def sentence(error: BaseException) -> str:
    """Return what went wrong as one readable line: no trace, no line break.

    Errors that a user can cause carry their own sentence; others get their kind in front.
    """
    from crystal_ldm.errors import CrystalLDMError

    text = " ".join(str(error).split())
    if len(text) > LONGEST:
        text = text[: LONGEST - 1] + "…"
    if isinstance(error, CrystalLDMError) and text:
        return text
    kind = type(error).__name__
    return f"This did not work ({kind}): {text}" if text else f"This did not work ({kind})."


def style_sheet() -> ipw.HTML:
    """Return the one style sheet of all panels; its colours follow JupyterLab's theme."""
    global _STYLE
    if _STYLE is None or _STYLE.comm is None:
        css = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
        _STYLE = ipw.HTML(f"<style>{css}</style>", layout=ipw.Layout(display="none"))
    return _STYLE


SIGNS = {"info": "", "good": "✓ ", "warning": "Note: ", "error": "Error: "}


class Notice(tl.HasTraits):
    """One line of feedback below a control.

    Traits:
        text: what is said, plain text; empty hides the line.
        level: "info", "good", "warning" or "error"; shown by a word as well as by colour.
    """

    text = tl.Unicode("")
    level = tl.Enum(["info", "good", "warning", "error"], default_value="info")

    def __init__(self, text: str = "", level: str = "info") -> None:
        self.widget = ipw.HTML(layout=ipw.Layout(**_NO_MARGIN))
        self.widget.add_class("cl-notice")
        super().__init__(text=text, level=level)
        self._render()
        self.observe(lambda _: self._render(), ["text", "level"])

    def _render(self) -> None:
        role = "alert" if self.level == "error" else "status"
        body = escape(SIGNS[self.level] + self.text)
        self.widget.value = f'<div class="cl-{self.level}" role="{role}">{body}</div>'
        self.widget.layout.display = None if self.text else "none"

    def say(self, text: str, level: str = "info") -> None:
        """Show `text` at `level`."""
        with self.hold_trait_notifications():
            self.text, self.level = text, level

    def clear(self) -> None:
        """Hide the line."""
        self.say("")

    def guard(self, action: Callable[..., Any]) -> Callable[..., Any]:
        """Return `action` so that an exception becomes this notice instead of being lost."""

        @wraps(action)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            try:
                return action(*args, **kwargs)
            except Exception as error:  # the boundary where errors turn into text
                logger.debug("callback failed", exc_info=True)
                self.say(sentence(error), "error")
                return None

        return guarded


class Panel(tl.HasTraits):
    """A part of the workbench: traits for programs, `widget` for the notebook.

    `Panel()` as the last line of a cell shows it; `.widget` puts it into a layout of one's own.
    """

    widget: ipw.DOMWidget

    def _ipython_display_(self) -> None:
        display(framed(self.widget))


def framed(*children: ipw.DOMWidget) -> ipw.VBox:
    """Return `children` one below the other with the style sheet applied."""
    from crystal_ldm.widgets.browser.names import Names

    box = ipw.VBox([style_sheet(), Names(), *children], layout=ipw.Layout(width="100%"))
    box.add_class("cl-root")
    return box


def row(*children: ipw.DOMWidget, css: str = "") -> ipw.Box:
    """Return `children` side by side; they wrap onto a next line where space is short."""
    box = ipw.Box(list(children))
    for name in ("cl-row", *css.split()):
        box.add_class(name)
    return box


def column(*children: ipw.DOMWidget, css: str = "") -> ipw.Box:
    """Return `children` one below the other at an even distance."""
    box = ipw.Box(list(children))
    for name in ("cl-column", *css.split()):
        box.add_class(name)
    return box


def heading(text: str) -> ipw.HTML:
    """Return a small section title."""
    title = ipw.HTML(f"<h4>{escape(text)}</h4>", layout=ipw.Layout(**_NO_MARGIN))
    title.add_class("cl-heading")
    return title


def caption(text: str) -> ipw.HTML:
    """Return a line of secondary text."""
    line = ipw.HTML(escape(text), layout=ipw.Layout(**_NO_MARGIN))
    line.add_class("cl-caption")
    return line


def button(
    text: str,
    action: Callable[[], Any] | None = None,
    *,
    tip: str = "",
    icon: str = "",
    css: str = "",
) -> ipw.Button:
    """Return a button that calls `action` without arguments."""
    made = ipw.Button(description=text, tooltip=tip or text, icon=icon)
    made.layout.width = "auto"
    for name in ("cl-button", *css.split()):
        made.add_class(name)
    if action is not None:
        made.on_click(lambda _: action())
    return made


def disable(made: ipw.Button, why: str) -> None:
    """Disable a button and let it say why; an empty `why` enables it again."""
    usual = made.tooltip if not made.disabled else getattr(made, "usual_tip", made.tooltip)
    made.usual_tip = usual
    made.disabled = bool(why)
    made.tooltip = why or usual


def fold(
    text: str,
    content: ipw.DOMWidget,
    opened: bool = False,
    on_turn: Callable[[bool], Any] | None = None,
) -> ipw.Box:
    """Return `content` below a button that folds it away; `on_turn` is told whether it is open."""
    switch = ipw.ToggleButton(opened, description=text, icon="caret-right", tooltip=text)
    switch.layout.width = "auto"
    switch.add_class("cl-fold")

    def turn(_: Any = None) -> None:
        content.layout.display = None if switch.value else "none"
        switch.icon = "caret-down" if switch.value else "caret-right"
        if on_turn is not None:
            on_turn(switch.value)

    switch.observe(turn, "value")
    turn()
    box = column(switch, content)
    box.add_class("cl-folding")
    return box


def labelled(text: str, *controls: ipw.DOMWidget, tip: str = "") -> ipw.Box:
    """Return controls behind a label; labels of one form are equally wide and so line up."""
    name = ipw.HTML(f'<span title="{escape(tip)}">{escape(text)}</span>')
    name.add_class("cl-label")
    return row(name, *controls, css="cl-field")
