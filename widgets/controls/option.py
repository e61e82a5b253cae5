"""Controls made from the schema of sampling: one for a field, one for a group of fields."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Notice, Panel
from crystal_ldm.widgets.layout import caption, column, labelled

from crystal_ldm.errors import CrystalLDMError
from crystal_ldm.sampling import Option, Settings

NONE = "none"
"""What is typed for None, as well as nothing at all."""


class OptionControl(Panel):
    """One field of the schema: `OptionControl(option)`.

    Numbers and lists are typed as text, so that what is wrong is said and not changed.

    Traits:
        value: what the field takes; not checked, see `GroupControls`.
    """

    value = tl.Any(None, allow_none=True)

    def __init__(self, option: Option) -> None:
        super().__init__()
        self.option = option
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


class GroupControls:
    """The fields of one class of settings: `GroupControls(MinDistance, options)`."""

    def __init__(
        self,
        group: type[Settings],
        options: Sequence[Option],
        special: Mapping[str, Panel] | None = None,
    ) -> None:
        """`special` are controls with a trait `value`, by path, in place of the usual."""
        made = special or {}
        self._group, self._options = group, options
        self.fields: dict[str, Any] = {
            one.field: made[one.path] if one.path in made else OptionControl(one) for one in options
        }
        self.notice = Notice()
        controls = (control.widget for control in self.fields.values())
        self.widget = column(*controls, self.notice.widget)

    def read(self) -> Settings:
        """Return the settings.

        Raises:
            CrystalLDMError: a field is wrong, which is said below the fields, too.
        """
        try:
            value = self._group(**{name: control.value for name, control in self.fields.items()})
        except CrystalLDMError as error:
            self.notice.say(str(error), "error")
            raise
        self.notice.clear()
        return value

    def keywords(self) -> dict[str, Any]:
        """Return the fields as keywords of `LDMModule.sample`; see `read`."""
        value = self.read()
        return {
            one.keyword: value if "." in one.path else getattr(value, one.field)
            for one in self._options
        }

    def show(self, settings: Settings) -> None:
        """Show settings of this class."""
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
