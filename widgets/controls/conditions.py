"""One control for each condition of a model, built from what the model says about itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import traitlets as tl
from crystal_ldm.widgets.base import Panel, caption, column
from crystal_ldm.widgets.controls.choice import CategoryControl, ElementSetControl
from crystal_ldm.widgets.controls.scalar import ScalarControl
from crystal_ldm.widgets.controls.space_group import SpaceGroupControl

from crystal_ldm.errors import RequestError, suggest

Control = ScalarControl | CategoryControl | ElementSetControl | SpaceGroupControl


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
        self.controls: dict[str, Control] = {}
        for name, condition in conditions.items():
            about = condition.describe()
            if about["kind"] == "scalar":
                self.controls[name] = ScalarControl(about)
            elif about["kind"] == "category":
                self.controls[name] = CategoryControl(about)
            elif about["kind"] == "element_set":
                self.controls[name] = ElementSetControl(about, elements=elements)
            elif about["kind"] == "space_group":
                self.controls[name] = SpaceGroupControl(about)
        for control in self.controls.values():
            control.observe(self._collect, ["value", "problem"])
        parts = [control.widget for control in self.controls.values()]
        empty = caption("This model takes no property as a target.")
        self.widget = column(*(parts or [empty]), css="cl-conditions")
        self.observe(self._spread, "values")
        self.values = dict(values or {})

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
        found = {n: c.value for n, c in self.controls.items() if c.value is not None}
        problems = [c.problem for c in self.controls.values() if c.problem]
        self.set_trait("problem", problems[0] if problems else "")
        self.values = found

    def _spread(self, change: Any) -> None:
        for name, control in self.controls.items():
            wanted = change.new.get(name)
            if control.value != wanted:
                control.value = wanted
