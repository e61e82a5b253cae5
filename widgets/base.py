"""What every panel is made of: traits with controls, a line of feedback, errors in one sentence."""

from __future__ import annotations

import logging
import math
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

from crystal_ldm.errors import CrystalLDMError, RequestError

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


class NumberBox(ipw.Text):
    """A box for a number: `NumberBox("Steps", notice, whole=True, low=1)`.

    What is typed and is none, or out of bounds, is not taken, and `notice` says so; a browser's own
    boxes for numbers drop letters and points in silence.

    Traits:
        number: the number.
    """

    number = tl.Any(0)

    def __init__(
        self,
        name: str,
        notice: Notice,
        *,
        whole: bool = False,
        low: float = -math.inf,
        high: float = math.inf,
    ) -> None:
        super().__init__("0", continuous_update=False)
        self._notice, self._whole, self.low, self.high = notice, whole, low, high
        span = f"{low:,} to {high:,}" if high < math.inf else f"at least {low:,}"
        kind = "a whole number" if whole else "a number"
        self._wanted = f"{name}: {kind}{f', {span}' if low > -math.inf else ''}"
        self.add_class("cl-count")
        self.observe(self._show, "number")
        self.observe(self._take, "value")

    def _show(self, _: Any) -> None:
        if self._notice.text.startswith(self._wanted):
            self._notice.clear()
        self.value = self._text

    @property
    def _text(self) -> str:
        return f"{self.number:.12g}"

    def _take(self, _: Any) -> None:
        stays, typed = self._text, self.value
        if typed == stays:
            return
        try:
            number = float(typed)
        except ValueError:
            number = math.nan
        whole = number.is_integer() or not self._whole
        if math.isfinite(number) and whole and self.low <= number <= self.high:
            self.number = int(number) if self._whole else number
            self.value = self._text
        else:
            self.value = stays
            self._notice.say(f"{self._wanted}, not '{typed}'; {stays} stays.", "warning")


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

    def number(
        self, name: str, text: str, *beside: ipw.DOMWidget, tip: str = "", css: str = ""
    ) -> ipw.Box:
        """Return a labelled box for a trait that is a number, with a line for what is wrong."""
        trait: Any = self.traits()[name]
        said, whole = Notice(), isinstance(trait, tl.Int)
        high = math.inf if trait.max is None else trait.max
        box = NumberBox(text, said, whole=whole, low=trait.min, high=high)
        tl.link((self, name), (box, "number"))
        return column(labelled(text, box, *beside, tip=tip), said.widget, css=css)

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

    @property
    def taken(self) -> Any:
        """The value.

        Raises:
            RequestError: what is typed cannot be used.
        """
        if self.problem:
            raise RequestError(self.problem)
        return self.value


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
