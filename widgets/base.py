"""What every panel is made of: traits with controls, a line of feedback, errors in one sentence."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property, wraps
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.layout import (
    Control,
    button,
    column,
    escape,
    framed,
    labelled,
    show_if,
    styled,
)
from IPython.display import display

from crystal_ldm.errors import CrystalLDMError

logger = logging.getLogger("crystal_ldm.widgets")
logger.addHandler(logging.NullHandler())

LONGEST = 300
"""Characters of an error's text that are shown; some libraries write pages."""


def counted(number: int, noun: str) -> str:
    """Return a number of things in words: "1 crystal", "8 crystals"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def sentence(error: BaseException) -> str:
    """Return what went wrong as one readable line: no trace, no line break.

    Errors that a user can cause carry their own sentence; others get their kind in front.
    """
    text = " ".join(str(error).split())
    if len(text) > LONGEST:
        text = text[: LONGEST - 1] + "…"
    if isinstance(error, CrystalLDMError) and text:
        return text
    kind = type(error).__name__
    return f"This did not work ({kind}): {text}" if text else f"This did not work ({kind})."


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
        self.widget = ipw.HTML(layout={"margin": "0", "padding": "0"})
        self.widget.add_class("cl-notice")
        super().__init__(text=text, level=level)
        self._render()
        self.observe(lambda _: self._render(), ["text", "level"])

    def _render(self) -> None:
        role = "alert" if self.level == "error" else "status"
        body = escape(SIGNS[self.level] + self.text)
        self.widget.value = f'<div class="cl-{self.level}" role="{role}">{body}</div>'
        show_if(bool(self.text), self.widget)

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

    @cached_property
    def notice(self) -> Notice:
        """What the panel has to say, errors included."""
        return Notice()

    def react(self, names: str | list[str], action: Callable[[], Any]) -> None:
        """Call `action()` when one of the panel's traits changes; an error goes to the notice."""
        self.observe(self.notice.guard(lambda _: action()), names)

    def linked(self, name: str, control: Control, css: str = "") -> Control:
        """Return `control`, whose value and this panel's trait are one from now on."""
        tl.link((self, name), (control, "value"))
        return styled(control, css)

    def whole(
        self, name: str, text: str, *beside: ipw.DOMWidget, tip: str = "", css: str = "cl-count"
    ) -> ipw.Box:
        """Return a labelled box for a whole trait, with a line for a number that is out of bounds.

        Such a number is not taken; ipywidgets' own boxes would take the nearest in silence.
        """
        trait, said = self.traits()[name], Notice()
        box = styled(ipw.IntText(getattr(self, name)), css)

        def take(change: Any) -> None:
            low, high = trait.min, trait.max  # type: ignore[attr-defined]
            if low <= change.new and (high is None or change.new <= high):
                setattr(self, name, change.new)
                said.clear()
                return
            box.value = getattr(self, name)
            span = f"at least {low:,}" if high is None else f"{low:,} to {high:,}"
            said.say(f"{text}: {span}, not {change.new:,}; {box.value:,} stays.", "warning")

        box.observe(take, "value")
        self.observe(lambda change: setattr(box, "value", change.new), name)
        return column(labelled(text, box, *beside, tip=tip), said.widget)

    def button(self, text: str, action: Callable[[], Any], **how: Any) -> ipw.Button:
        """Return a button, see `button`; an error of its action goes to the notice."""
        return button(text, self.notice.guard(action), **how)

    def _ipython_display_(self) -> None:
        display(framed(self.widget))


class Field(Panel):
    """A part of a form.

    Traits:
        value: what is asked for; None: nothing.
        problem: why what is typed cannot be used; empty if it can. Read-only.
    """

    value = tl.Any(None, allow_none=True)
    problem = tl.Unicode("", read_only=True)

    def refuse(self, problem: str) -> None:
        """Say why what is typed cannot be used; an empty text takes that back."""
        self.set_trait("problem", problem)
        self.notice.say(problem, "error")


class Listeners:
    """Who is told of something: `panel.on_made(action)` joins, `panel.on_made.tell(crystals)`.

    Unlike in ipywidgets' own, an error of theirs reaches the one who tells.
    """

    def __init__(self) -> None:
        self._actions: list[Callable[..., Any]] = []

    def __call__(self, action: Callable[..., Any]) -> None:
        """Let `action` be called."""
        self._actions.append(action)

    def __bool__(self) -> bool:
        return bool(self._actions)

    def tell(self, *news: Any) -> None:
        """Call all of them with `news`, in this thread."""
        for action in self._actions:
            action(*news)


class Quiet:
    """Says that a panel sets its own parts: `with quiet:`; an observer asks `if quiet:`."""

    def __init__(self) -> None:
        self._depth = 0

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1

    def __bool__(self) -> bool:
        return self._depth > 0
