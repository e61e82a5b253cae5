"""Controls made from the schema of sampling: one for a field, one for a group of fields."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Field, Panel, Quiet
from crystal_ldm.widgets.layout import caption, column, labelled

from crystal_ldm.errors import CrystalLDMError
from crystal_ldm.sampling import Option, Settings

NONE = "none"
"""What is typed for None, as well as nothing at all."""


class OptionControl(Field):
    """One field of the schema: `OptionControl(option)`.

    Numbers and lists are typed as text, so that what is wrong is said and not changed.

    Traits:
        value: what the field takes; not checked, see `GroupControls`.
    """

    def __init__(self, option: Option) -> None:
        super().__init__()
        self.option, self.paths = option, {option.path: self}
        tip = bounds(option)
        transform = None
        if option.choices:
            self.box = ipw.Dropdown(options=list(option.choices))
        elif option.type == "flag":
            self.box = ipw.Checkbox(indent=False)
        else:
            placeholder = NONE if option.optional else ""
            self.box = ipw.Text(placeholder=placeholder, continuous_update=False)
            transform = (_shown, _read)
        self.box.add_class("cl-short").tooltip = f"{option.help}. {tip}".strip()
        unit = [ipw.HTML(option.unit)] if option.unit else []
        self.widget = column(
            labelled(in_words(option.path.split(".")[-1]), self.box, *unit, tip=tip),
            caption(option.help + (f" ({tip})." if tip else ".")),
            css="cl-option",
        )
        self.value = option.default
        tl.link((self, "value"), (self.box, "value"), transform=transform)


def unite(
    whole: Field,
    parts: Iterable[ipw.DOMWidget | Panel],
    read: Callable[[], Any],
    show: Callable[[Any], None],
) -> None:
    """Make the value of a field that of several controls, both ways.

    Args:
        whole: its value is None while the controls have none, and its problem says why.
        parts: the controls.
        read: returns the value that the controls have, or raises a `CrystalLDMError`.
        show: lets the controls have a value.
    """
    quiet = Quiet()

    def collect(_: Any = None) -> None:
        if quiet:
            return
        try:
            value, problem = read(), ""
        except CrystalLDMError as error:
            value, problem = None, str(error)
        with whole.hold_trait_notifications():
            whole.refuse(problem)
            whole.value = value

    def spread(_: Any = None) -> None:
        if whole.value is not None:
            with quiet:
                show(whole.value)
            collect()

    for part in parts:
        part.observe(collect, ["value", "number", "problem"])
    whole.observe(spread, "value")
    spread() if whole.value is not None else collect()


class GroupControls(Field):
    """The fields of one class of settings: `GroupControls(MinDistance, "filters.min_distance.")`.

    Traits:
        value: the settings; None while a field is wrong, which is said below the fields.
    """

    def __init__(
        self, group: type[Settings], prefix: str = "", special: Mapping[str, Field] | None = None
    ) -> None:
        """`prefix` stands before the fields' paths; `special` are controls in place of the usual,
        by field."""
        super().__init__()
        made = special or {}
        self.fields: dict[str, Field] = {}
        self.paths: dict[str, Any] = {}
        for one in group.options(prefix):
            control = made.get(one.field) or OptionControl(one)
            self.fields[one.field] = self.paths[one.path] = control
        self.widget = column(*(c.widget for c in self.fields.values()), self.notice.widget)
        fields = self.fields.items()
        unite(
            self,
            self.fields.values(),
            lambda: group(**{name: control.taken for name, control in fields}),
            self._show,
        )

    def _show(self, settings: Settings) -> None:
        for name, control in self.fields.items():
            control.value = getattr(settings, name)


def in_words(name: str) -> str:
    """Return how a field, a group or a condition is called in a form."""
    words = name.removeprefix("cfg_").replace("_", " ")
    return words[:1].upper() + words[1:]


def bounds(option: Option) -> str:
    """Return the bounds of a number in words; empty if it has none."""
    low, high, unit = option.low, option.high, f" {option.unit}" if option.unit else ""
    if low is not None and high is not None and high < 1e9:
        return f"{low:g} to {high:g}{unit}"
    return "" if low is None else f"at least {low:g}{unit}"


def _shown(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(str(part) for part in value)
    return "" if value is None else str(value)


def _read(text: str) -> Any:
    text = text.strip()
    if text.lower() in ("", NONE):
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
