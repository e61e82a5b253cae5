"""Controls made from the schema of sampling: one for a field, one for a group of fields."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Field, Panel, Quiet
from crystal_ldm.widgets.layout import caption, column, labelled

from crystal_ldm.errors import CrystalLDMError
from crystal_ldm.sampling import Option, Settings

NONE = "none"
"""What is typed for None, as well as nothing at all."""


class OptionControl(Panel):
    """One field of the schema: `OptionControl(option)`.

    Numbers are typed and not clipped, so that what is out of bounds is said and not changed.

    Traits:
        value: what the field takes; not checked, see `GroupControls`.
        typed: the text of a field that takes several values, or None.
    """

    value = tl.Any(None, allow_none=True)
    typed = tl.Unicode("")

    def __init__(self, option: Option) -> None:
        super().__init__()
        self.option = option
        self._as_text = option.optional or option.type == "data"
        box = self._box()
        box.add_class("cl-short")
        tip = bounds(option)
        box.tooltip = f"{option.help}. {tip}".strip()
        unit = [ipw.HTML(option.unit)] if option.unit else []
        self.widget = column(
            labelled(in_words(option.path.split(".")[-1]), box, *unit, tip=tip),
            caption(option.help + (f" ({tip})." if tip else ".")),
            css="cl-option",
        )
        self.value = option.default
        if self._as_text:
            tl.link((self, "value"), (self, "typed"), transform=(_shown, _read))
            tl.link((self, "typed"), (box, "value"))
        else:
            tl.link((self, "value"), (box, "value"))

    def _box(self) -> ipw.DOMWidget:
        option = self.option
        if option.choices:
            return ipw.Dropdown(
                options=list(option.choices), value=option.default or option.choices[0]
            )
        if option.type == "flag":
            return ipw.Checkbox(indent=False)
        if self._as_text:
            return ipw.Text(placeholder=NONE if option.optional else "", continuous_update=False)
        if option.type == "number":
            return ipw.FloatText(step=_step(option))
        return ipw.IntText() if option.type == "whole" else ipw.Text(continuous_update=False)

    @tl.validate("value")
    def _plain(self, proposal: Any) -> Any:
        """A whole number where 2.0 is meant, and no value where a required one is not given."""
        value = proposal.value
        if self.option.type == "number" and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if value is None and not self._as_text:
            if self.option.choices:
                return self.option.choices[0]
            empty = {"number": 0.0, "whole": 0, "flag": False, "text": ""}
            return empty.get(self.option.type)
        return value


class GroupControls(Field):
    """The fields of one class of settings: `GroupControls(MinDistance, options)`.

    Traits:
        value: the settings, or None while a field is wrong.
    """

    def __init__(
        self,
        group: type[Settings],
        options: Sequence[Option],
        special: Mapping[str, Panel] | None = None,
    ) -> None:
        """`special` are controls with a trait `value`, by path, in place of the usual."""
        super().__init__()
        self._group = group
        made = special or {}
        self.fields: dict[str, Any] = {
            one.field: made[one.path] if one.path in made else OptionControl(one) for one in options
        }
        self._quiet = Quiet()
        self.widget = column(
            *(control.widget for control in self.fields.values()), self.notice.widget
        )
        for control in self.fields.values():
            control.observe(self._collect, "value")
        self.observe(self._spread, "value")
        self._collect()

    def _collect(self, _: Any = None) -> None:
        if self._quiet:
            return
        try:
            fields = {name: control.value for name, control in self.fields.items()}
            value, problem = self._group(**fields), ""
        except CrystalLDMError as error:
            value, problem = None, str(error)
        self.refuse(problem)
        with self._quiet:
            self.value = value

    def _spread(self, change: Any) -> None:
        if self._quiet or change.new is None:
            return
        with self._quiet:
            for name, control in self.fields.items():
                control.value = getattr(change.new, name)
        self.refuse("")


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


def _step(option: Option) -> float:
    """Return what an arrow key changes a number by."""
    return 0.05 if option.high is not None and option.high <= 1 else 0.1
