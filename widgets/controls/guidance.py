"""How strongly each condition pulls: one guidance scale a condition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Panel, Quiet
from crystal_ldm.widgets.layout import caption, column, labelled, show_if

MEANING = "0 ignores the request, 1 follows what was learned, above 1 exaggerates it."
USUAL = 6.0
"""Where a slider ends."""
WIDEST = 100.0
"""How far a slider grows; a typed value may be larger, and is refused by the settings."""


class GuidanceControls(Panel):
    """Guidance scales: `GuidanceControls({"composition": "Composition", "band_gap": "Band gap"})`.

    Traits:
        value: `cfg_scale` of `LDMModule.sample`: one number where all are equal, else a dict; not
            checked, see `GroupControls`.
        active: names of the conditions that the request gives; the others are disabled and say why.
    """

    value = tl.Any(2.0)
    active = tl.List(tl.Unicode())

    def __init__(
        self, labels: Mapping[str, str], default: float = 2.0, active: Iterable[str] | None = None
    ) -> None:
        super().__init__()
        self.sliders: dict[str, ipw.FloatSlider] = {}
        self.numbers: dict[str, ipw.FloatText] = {}
        self.reasons: dict[str, ipw.HTML] = {}
        parts = []
        for name, label in labels.items():
            slider = ipw.FloatSlider(value=default, min=0, max=USUAL, step=0.1, readout=False)
            slider.add_class("cl-fill")
            number = ipw.FloatText(value=default, step=0.1)  # not clipped, unlike a readout
            number.add_class("cl-count")
            slider.observe(partial(self._on_slider, number), "value")
            number.observe(self._on_number, "value")
            self.sliders[name], self.numbers[name] = slider, number
            self.reasons[name] = caption("not asked for")
            parts.append(labelled(label, slider, number, self.reasons[name], tip=MEANING))
        self.widget = column(caption(MEANING), *parts, css="cl-guidance")
        self._quiet = Quiet()
        self.observe(self._show, "value")
        self.observe(self._enable, "active")
        self.value = default
        self.active = list(labels if active is None else active)
        self._enable()

    @property
    def scales(self) -> dict[str, float]:
        """The scale of each condition."""
        return {name: number.value for name, number in self.numbers.items()}

    def _on_slider(self, number: ipw.FloatText, change: Any) -> None:
        if not self._quiet:
            number.value = change.new

    def _on_number(self, _: Any) -> None:
        if not self._quiet:
            self.value = self.scales

    def _show(self, change: Any) -> None:
        """Show a `cfg_scale`; conditions that a dict leaves out keep theirs."""
        if self._quiet:
            return
        with self._quiet:
            given = change.new
            for name, slider in self.sliders.items():
                number = self.numbers[name]
                known = isinstance(given, Mapping)
                number.value = float(given.get(name, number.value) if known else given)
                slider.max = min(max(USUAL, number.value), WIDEST)
                slider.value = max(number.value, 0.0)
            distinct = set(self.scales.values())
            if distinct:
                self.value = distinct.pop() if len(distinct) == 1 else self.scales

    def _enable(self, _: Any = None) -> None:
        for name, slider in self.sliders.items():
            used = name in self.active
            slider.disabled = self.numbers[name].disabled = not used
            show_if(used, slider, self.numbers[name])
            show_if(not used, self.reasons[name])
