"""Control for the space group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Notice, Panel, column, labelled

LIKELY = "likely"


class SpaceGroupControl(Panel):
    """Asks for space groups, typed or chosen: `221`, `Pm-3m`, `cubic`, `62, 225` or `likely`.

    Traits:
        value: a number, a word, or several with commas (a list would be one for each row of a
            request); None where no group is asked for.
        problem: why the text cannot be used; empty if it can. Read-only.
    """

    value = tl.Any(None, allow_none=True)
    problem = tl.Unicode("", read_only=True)

    def __init__(self, description: Mapping[str, Any], value: Any = None) -> None:
        from crystal_ldm.crystals.space_groups import CRYSTAL_SYSTEMS, NUM_GROUPS, group_symbol

        super().__init__()
        numbers = range(1, NUM_GROUPS + 1)
        self.box = ipw.Combobox(
            options=[LIKELY, *CRYSTAL_SYSTEMS, *(f"{n} {group_symbol(n)}" for n in numbers)],
            placeholder="any; such as 221, Pm-3m, cubic, likely",
            ensure_option=False,
            continuous_update=False,
            tooltip="Number, symbol or crystal system; several with commas; likely: those that are "
            "likely for the formula, in turn",
        )
        self.box.add_class("cl-fill")
        self.notice = Notice()
        title = str(description.get("label") or description["name"]).replace("_", " ").capitalize()
        self.widget = column(labelled(title, self.box), self.notice.widget)
        self.box.observe(self.notice.guard(self._read), "value")
        self.observe(self.notice.guard(self._write), "value")
        self.value = value

    @tl.validate("value")
    def _known(self, proposal: Any) -> Any:
        from crystal_ldm.crystals.space_groups import group_numbers

        value = proposal.value
        if isinstance(value, list | tuple):
            value = ", ".join(map(str, value))
        if value not in (None, LIKELY):
            group_numbers(value)
        return int(value) if isinstance(value, float) else value

    def _read(self, change: Any) -> None:
        from crystal_ldm.crystals.space_groups import group_numbers
        from crystal_ldm.errors import RequestError

        value = _value(change.new)
        try:
            if value not in (None, LIKELY):
                group_numbers(value)
        except RequestError as error:
            self.set_trait("problem", str(error))
            self.notice.say(str(error), "error")
            return
        self.set_trait("problem", "")
        self.notice.clear()
        self.value = value

    def _write(self, change: Any) -> None:
        from crystal_ldm.crystals.space_groups import group_symbol

        if _value(self.box.value) != change.new:
            number = change.new if isinstance(change.new, int) else 0
            text = f"{number} {group_symbol(number)}" if number else str(change.new or "")
            self.box.value = text


def _value(text: str) -> int | str | None:
    """Return the number of `221` and of `221 Pm-3m`; several as text, `62, 225`."""
    words = [_one(word.strip()) for word in text.split(",") if word.strip()]
    if not words:
        return None
    return words[0] if len(words) == 1 else ", ".join(map(str, words))


def _one(word: str) -> int | str:
    number = word.split(" ")[0]
    return int(number) if number.isdecimal() else word
