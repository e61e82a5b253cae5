"""How panels are laid out: rows and columns, labels, buttons, folds, tables of facts."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import ipywidgets as ipw
from crystal_ldm.widgets.browser.page import Names

Control = TypeVar("Control", bound=ipw.DOMWidget)

_CSS = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
_NO_MARGIN = {"margin": "0", "padding": "0"}


def escape(text: object) -> str:
    """Return `text` safe for use inside HTML, attributes included."""
    return html.escape(str(text), quote=True)


def framed(*children: ipw.DOMWidget) -> ipw.VBox:
    """Return `children` one below the other with the style sheet, which follows the theme."""
    style = ipw.HTML(f"<style>{_CSS}</style>", layout=ipw.Layout(display="none"))
    box = ipw.VBox([style, Names(), *children], layout=ipw.Layout(width="100%"))
    return box.add_class("cl-root")


def styled(control: Control, css: str) -> Control:
    """Return `control` with the classes in `css`, between blanks."""
    for name in css.split():
        control.add_class(name)
    return control


def row(*children: ipw.DOMWidget, css: str = "") -> ipw.Box:
    """Return `children` side by side; they wrap onto a next line where space is short."""
    return styled(ipw.Box(list(children)), f"cl-row {css}")


def column(*children: ipw.DOMWidget, css: str = "") -> ipw.Box:
    """Return `children` one below the other at an even distance."""
    return styled(ipw.Box(list(children)), f"cl-column {css}")


def heading(text: str) -> ipw.HTML:
    """Return a small section title."""
    title = ipw.HTML(f"<h4>{escape(text)}</h4>", layout=ipw.Layout(**_NO_MARGIN))
    return title.add_class("cl-heading")


def caption(text: str) -> ipw.HTML:
    """Return a line of secondary text."""
    return ipw.HTML(escape(text), layout=ipw.Layout(**_NO_MARGIN)).add_class("cl-caption")


def facts_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as HTML; `heads` are HTML, `rows` plain text, each with its name first."""
    head = "".join(f'<th scope="col">{one}</th>' if one else "<td></td>" for one in heads)
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in rows
    )
    return f'<table class="cl-facts"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def button(
    text: str,
    action: Callable[[], Any] | None = None,
    *,
    tip: str = "",
    icon: str = "",
    css: str = "",
) -> ipw.Button:
    """Return a button that calls `action` without arguments."""
    press = ipw.Button(description=text, tooltip=tip or text, icon=icon)
    press.layout.width = "auto"
    if action is not None:
        press.on_click(lambda _: action())
    return styled(press, f"cl-button {css}")


def toggle(text: str, tip: str, css: str = "", value: bool = False) -> ipw.ToggleButton:
    """Return a small button that stays pressed."""
    return styled(ipw.ToggleButton(value, description=text, tooltip=tip), f"cl-small {css}")


def disable(press: ipw.Button, why: str) -> None:
    """Disable a button and let it say why; an empty `why` enables it again."""
    usual = press.tooltip if not press.disabled else getattr(press, "usual_tip", press.tooltip)
    press.usual_tip = usual
    press.disabled = bool(why)
    press.tooltip = why or usual


def show_if(wanted: bool, *parts: ipw.DOMWidget) -> None:
    """Show parts of a panel, or take them off the page."""
    for part in parts:
        part.layout.display = None if wanted else "none"


def fold(text: str, content: ipw.DOMWidget, opened: bool = False) -> ipw.Box:
    """Return `content` below a button that folds it away, which is its first child."""
    switch = ipw.ToggleButton(opened, description=text, icon="caret-right", tooltip=text)
    switch.layout.width = "auto"
    switch.add_class("cl-fold")

    def turn(_: Any = None) -> None:
        show_if(switch.value, content)
        switch.icon = "caret-down" if switch.value else "caret-right"

    switch.observe(turn, "value")
    turn()
    return column(switch, content, css="cl-folding")


def labelled(text: str, *controls: ipw.DOMWidget, tip: str = "") -> ipw.Box:
    """Return controls behind a label; labels of one form are equally wide and so line up."""
    name = ipw.HTML(f'<span title="{escape(tip)}">{escape(text)}</span>')
    return row(name.add_class("cl-label"), *controls, css="cl-field")
