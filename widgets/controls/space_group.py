"""Control for the space group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Panel, column, labelled
from crystal_ldm.widgets.jobs import Latest

from crystal_ldm.errors import RequestError

LIKELY = "likely"


class SpaceGroupControl(Panel):
    """Asks for space groups, typed or chosen: `221`, `Pm-3m`, `cubic`, `62, 225` or `likely`.

    Traits:
        value: a number, a word, or several with commas (a list would be one for each row of a
            request); None where no group is asked for.
        counts: atoms of each element in the cell; the list offers the groups whose positions they
            can fill. Empty: not known, all groups.
        problem: why the text cannot be used; empty if it can. Read-only.
    """

    value = tl.Any(None, allow_none=True)
    counts = tl.List(tl.Int())
    problem = tl.Unicode("", read_only=True)

    def __init__(self, description: Mapping[str, Any], value: Any = None) -> None:
        from crystal_ldm.crystals.space_groups import NUM_GROUPS

        super().__init__()
        self.box = ipw.Combobox(
            options=_offered(range(1, NUM_GROUPS + 1)),
            placeholder="any, or 221, Pm-3m, cubic",
            ensure_option=False,
            continuous_update=False,
            tooltip="Number, symbol or crystal system; several with commas; likely: those that are "
            "likely for the formula, in turn",
        )
        self.box.add_class("cl-fill")
        self._latest = Latest(self.notice)
        title = str(description.get("label") or description["name"]).replace("_", " ").capitalize()
        self.widget = column(labelled(title, self.box), self.notice.widget)
        self.box.observe(self.notice.guard(lambda _: self._read()), "value")
        self.observe(self.notice.guard(self._write), "value")
        self.observe(self._offer, "counts")
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

    def _read(self) -> None:
        from crystal_ldm.crystals.space_groups import group_numbers

        value = _value(self.box.value)
        try:
            if value not in (None, LIKELY):
                self._fits(group_numbers(value))
        except RequestError as error:
            self.set_trait("problem", str(error))
            self.notice.say(str(error), "error")
            return
        self.set_trait("problem", "")
        self.notice.clear()
        self.value = value

    def _offer(self, _: Any) -> None:
        """Offer the groups that the counts can fill; the first formula takes a second or two."""
        from crystal_ldm.crystals.wyckoff import groups_to_fill

        counts = list(self.counts)
        self._latest.start(lambda: _offered(groups_to_fill(counts)), self._take)

    def _take(self, offered: list[str]) -> None:
        self.box.options = offered
        self._read()

    def _fits(self, groups: Sequence[int]) -> None:
        """Raise `RequestError` if the counts can fill none of the groups."""
        from crystal_ldm.crystals.space_groups import group_symbol
        from crystal_ldm.crystals.wyckoff import can_fill

        if not any(can_fill(group, self.counts) for group in groups):
            names = ", ".join(f"{group_symbol(group)} ({group})" for group in groups[:3])
            counts = ", ".join(map(str, self.counts))
            raise RequestError(
                f"The positions of {names} cannot be filled by {counts} atoms of the elements in "
                "this cell; the list has the groups that can be."
            )

    def _write(self, change: Any) -> None:
        from crystal_ldm.crystals.space_groups import group_symbol

        if _value(self.box.value) != change.new:
            number = change.new if isinstance(change.new, int) else 0
            text = f"{number} {group_symbol(number)}" if number else str(change.new or "")
            self.box.value = text


def _offered(groups: Iterable[int]) -> list[str]:
    from crystal_ldm.crystals.space_groups import CRYSTAL_SYSTEMS, group_symbol

    return [LIKELY, *CRYSTAL_SYSTEMS, *(f"{n} {group_symbol(n)}" for n in groups)]


def _value(text: str) -> int | str | None:
    """Return the number of `221` and of `221 Pm-3m`; several as text, `62, 225`."""
    words = [_one(word.strip()) for word in text.split(",") if word.strip()]
    if not words:
        return None
    return words[0] if len(words) == 1 else ", ".join(map(str, words))


def _one(word: str) -> int | str:
    number = word.split(" ")[0]
    return int(number) if number.isdecimal() else word
