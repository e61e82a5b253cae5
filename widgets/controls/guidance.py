"""How strongly each condition pulls: one guidance scale a condition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import traitlets as tl
from crystal_ldm.widgets.base import Field, NumberBox
from crystal_ldm.widgets.controls.option import unite
from crystal_ldm.widgets.layout import caption, column, labelled, show_if

MEANING = "0 ignores the request, 1 follows what was learned, above 1 exaggerates it."


class GuidanceControls(Field):
    """Guidance scales: `GuidanceControls({"composition": "Composition", "band_gap": "Band gap"})`.

    Traits:
        value: `cfg_scale` of `LDMModule.sample`: one number where all are equal, else a dict; not
            checked, see `GroupControls`.
        active: names of the conditions that the request gives; the others are hidden and say why.
    """

    value = tl.Any(2.0)
    active = tl.List(tl.Unicode())

    def __init__(self, labels: Mapping[str, str]) -> None:
        super().__init__()
        self.numbers = {name: NumberBox(label, self.notice) for name, label in labels.items()}
        self.reasons = {name: caption("not asked for") for name in labels}
        rows = [labelled(label, self.numbers[name], self.reasons[name], tip=MEANING)
                for name, label in labels.items()]  # fmt: skip
        self.widget = column(caption(MEANING), *rows, self.notice.widget, css="cl-guidance")
        unite(self, self.numbers.values(), self._read, self._show)
        self.observe(self._enable, "active")
        self.active = list(labels)

    @property
    def scales(self) -> dict[str, float]:
        """The scale of each condition."""
        return {name: number.number for name, number in self.numbers.items()}

    def _read(self) -> Any:
        distinct = set(self.scales.values())
        return distinct.pop() if len(distinct) == 1 else self.scales or self.value

    def _show(self, value: Any) -> None:
        """Show a `cfg_scale`; conditions that a dict leaves out keep theirs."""
        for name, number in self.numbers.items():
            scales = value if isinstance(value, Mapping) else {name: value}
            number.number = scales.get(name, number.number)

    def _enable(self, _: Any = None) -> None:
        for name, number in self.numbers.items():
            show_if(name in self.active, number)
            show_if(name not in self.active, self.reasons[name])
