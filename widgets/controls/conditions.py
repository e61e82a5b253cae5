"""One control for each condition of a model, built from what the model says about itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Field, Panel
from crystal_ldm.widgets.controls.scalar import ScalarControl, condition_title
from crystal_ldm.widgets.jobs import Latest
from crystal_ldm.widgets.layout import caption, column, labelled, styled

from crystal_ldm.crystals.given_values import LIKELY
from crystal_ldm.crystals.symmetry.space_groups import (
    NUM_GROUPS,
    crystal_system,
    group_number,
    group_numbers,
    group_symbol,
)
from crystal_ldm.crystals.symmetry.wyckoff import groups_to_fill, unfilled
from crystal_ldm.errors import RequestError, suggest


class CategoryControl(Field):
    """Asks for one of several options.

    Traits:
        value: the option, or None where it is not asked for.
    """

    def __init__(self, description: Mapping[str, Any]) -> None:
        super().__init__()
        self._name = condition_title(description)[0]
        self._options = list(description.get("options") or ())
        offered = [("any", ""), *((option, option) for option in self._options)]
        self.menu = ipw.Dropdown(options=offered).add_class("cl-fill")
        self.widget = labelled(self._name, self.menu)
        # A dropdown shows nothing for the value None.
        either = (lambda option: option or "", lambda chosen: chosen or None)
        tl.link((self, "value"), (self.menu, "value"), transform=either)

    @tl.validate("value")
    def _known(self, proposal: Any) -> Any:
        if proposal.value is not None and proposal.value not in self._options:
            near = suggest(str(proposal.value), self._options)
            raise RequestError(f"{self._name} has no option {proposal.value!r}.{near}")
        return proposal.value


class TypedControl(Field):
    """A condition that is typed.

    A subclass says how a text is read (`read`), what is wrong with a value (`check`), and how a
    value is written (`written`).
    """

    def __init__(self, name: str, box: ipw.Text) -> None:
        super().__init__()
        self.box = styled(box, "cl-fill")
        self.widget = column(labelled(name, self.box), self.notice.widget)
        self.box.observe(self.notice.guard(lambda _: self._take()), "value")
        self.react("value", self._show)

    def read(self, text: str) -> Any:
        """Return the value that a text says."""
        return text.strip() or None

    def check(self, value: Any) -> None:
        """Raise `RequestError` for a value that cannot be asked for."""

    def written(self, value: Any) -> str:
        """Return the text of a value."""
        return str(value or "")

    def rewrite(self) -> None:
        """Write the value in place of a text that cannot be asked for."""
        if self.problem:
            self.box.value = self.written(self.value)

    def _take(self) -> None:
        value = self.read(self.box.value)
        try:
            self.check(value)
        except RequestError as error:
            self.refuse(str(error))
        else:
            self.refuse("")
            self.value = value

    def _show(self) -> None:
        if self.read(self.box.value) != self.value:
            self.box.value = self.written(self.value)


class ElementSetControl(TypedControl):
    """Asks for a set of elements, typed as "Sr, Ti, O".

    Traits:
        value: "Sr, Ti, O", or None where it is not asked for; a list of symbols is taken as well.
    """

    def __init__(self, description: Mapping[str, Any], elements: Iterable[str] = ()) -> None:
        box = ipw.Text(placeholder="any, or Sr, Ti, O", continuous_update=True)
        super().__init__(condition_title(description)[0], box)
        self._elements = list(description.get("options") or elements)

    @tl.validate("value")
    def _as_text(self, proposal: Any) -> str | None:
        # Not a list: that would be one value for each row of a request.
        value = proposal.value
        return self.read(value if isinstance(value, str) else " ".join(value or ()))

    def read(self, text: str) -> str | None:
        return ", ".join(text.replace(",", " ").replace("-", " ").split()) or None

    def check(self, value: str | None) -> None:
        symbols = value.split(", ") if value else []
        unknown = [s for s in symbols if self._elements and s not in self._elements]
        if unknown:
            near = suggest(unknown[0], self._elements)
            raise RequestError(f"The model does not know {', '.join(unknown)}.{near}")


class SpaceGroupControl(TypedControl):
    """Asks for space groups, typed or chosen: `221`, `Pm-3m`, `cubic`, `62, 225` or `likely`.

    Traits:
        value: a number, a word, or several with commas (a list would be one for each row of a
            request); None where no group is asked for.
        counts: atoms of each element in the cell; the list offers the groups whose positions they
            can fill. Empty: not known, all groups.
    """

    counts = tl.List(tl.Int())

    def __init__(self, description: Mapping[str, Any]) -> None:
        box = ipw.Combobox(
            options=_offered(range(1, NUM_GROUPS + 1)),
            placeholder="any, or 221, Pm-3m, cubic",
            ensure_option=False,
            continuous_update=False,
            tooltip="Number, symbol or crystal system; several with commas; likely: those that are "
            "likely for the formula, in turn",
        )
        super().__init__(condition_title(description)[0], box)
        self._latest = Latest(self.notice)
        self.react("counts", self._offer)

    @tl.validate("value")
    def _known(self, proposal: Any) -> Any:
        value = proposal.value
        if isinstance(value, list | tuple):
            value = ", ".join(map(str, value))
        if isinstance(value, int | float):
            group_numbers(value)
        return int(value) if isinstance(value, float) else value

    def _offer(self) -> None:
        """Offer the groups that the counts can fill; the first formula takes a second or two."""
        counts = list(self.counts)
        self._latest.start(lambda: _offered(groups_to_fill(counts)), self._take_offer)

    def _take_offer(self, offered: list[str]) -> None:
        self.box.options = offered
        self._take()

    def read(self, text: str) -> int | str | None:
        """Return the number of `221` and of `221 Pm-3m`; several as text, `62, 225`."""
        words = [_number(word.strip()) for word in text.split(",") if word.strip()]
        return words[0] if len(words) == 1 else ", ".join(map(str, words)) or None

    def check(self, value: int | str | None) -> None:
        if value in (None, LIKELY):
            return
        groups = group_numbers(value)
        if why := unfilled(groups, self.counts):
            raise RequestError(f"{why[0].upper()}{why[1:]}. The list has the groups that can be.")

    def ask(self, symbol: str) -> None:
        """Ask for one group, given by its symbol."""
        self.value = group_number(symbol)

    def written(self, value: int | str | None) -> str:
        if isinstance(value, int) and value:
            return f"{value} {group_symbol(value)}"
        return super().written(value)


def _offered(groups: Sequence[int]) -> list[str]:
    systems = dict.fromkeys(crystal_system(n) for n in groups)
    return [LIKELY, *systems, *(f"{n} {group_symbol(n)}" for n in groups)]


def _number(word: str) -> int | str:
    number = word.split(" ")[0]
    return int(number) if number.isdecimal() else word


class ConditionControls(Panel):
    """Asks for properties: `ConditionControls(ldm.conditions, elements=ldm.elements)`.

    The composition has its own box and is left out here. A condition that a user adds to a model in
    YAML gets its control from the condition's `describe()`; no new code is needed.

    Traits:
        values: name -> target of each condition that is asked for.
        problem: the first reason why a target cannot be made; empty if all can. Read-only.
    """

    values = tl.Dict()
    problem = tl.Unicode("", read_only=True)

    def __init__(
        self,
        conditions: Mapping[str, Any],
        values: Mapping[str, Any] | None = None,
        elements: Iterable[str] = (),
    ) -> None:
        super().__init__()
        kinds: dict[str, Callable[[Mapping[str, Any]], Field]] = {
            "scalar": ScalarControl,
            "category": CategoryControl,
            "element_set": partial(ElementSetControl, elements=elements),
            "space_group": SpaceGroupControl,
        }
        about = {name: condition.describe() for name, condition in conditions.items()}
        self.controls: dict[str, Field] = {
            name: kinds[one["kind"]](one) for name, one in about.items() if one["kind"] in kinds
        }
        for control in self.controls.values():
            control.observe(self._collect, ["value", "problem"])
        parts = [control.widget for control in self.controls.values()]
        empty = caption("This model takes no property as a target.")
        self.widget = column(*(parts or [empty]), css="cl-conditions")
        self.observe(self._spread, "values")
        self.values = dict(values or {})

    def show(self, values: Mapping[str, Any]) -> None:
        """Ask for these targets, also where something else is typed that cannot be asked for."""
        self.values = dict(values)
        for control in self.controls.values():
            if isinstance(control, TypedControl):
                control.rewrite()

    @tl.validate("values")
    def _known(self, proposal: Any) -> dict[str, Any]:
        for name in proposal.value:
            if name not in self.controls:
                known = ", ".join(self.controls) or "none"
                raise RequestError(
                    f"This model has no condition {name!r}; it has {known}."
                    f"{suggest(name, self.controls)}"
                )
        return {name: value for name, value in proposal.value.items() if value is not None}

    def _collect(self, _: Any) -> None:
        problems = (control.problem for control in self.controls.values())
        self.set_trait("problem", next(filter(None, problems), ""))
        self.values = {name: control.value for name, control in self.controls.items()}

    def _spread(self, change: Any) -> None:
        for name, control in self.controls.items():
            control.value = change.new.get(name)
