"""One control for each condition of a model, built from what the model says about itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import traitlets as tl
from crystal_ldm.widgets.base import Field, Panel, caption, column
from crystal_ldm.widgets.controls.choice import (
    CategoryControl,
    ElementSetControl,
    SpaceGroupControl,
)
from crystal_ldm.widgets.controls.scalar import ScalarControl

from crystal_ldm.errors import RequestError, suggest


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
        kinds = {
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
