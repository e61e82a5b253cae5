"""How strongly each condition pulls: one guidance scale a condition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Panel, Quiet, caption, column, labelled, show_if

MEANING = "0 ignores the request, 1 follows what was learned, above 1 exaggerates it."
WIDEST = 100.0
"""How far a slider grows; a typed value may be larger, and is refused by the settings."""


class GuidanceControls(Panel):
    """Guidance scales: `GuidanceControls({"composition": "Composition", "band_gap": "Band gap"})`.

    Traits:
        value: `cfg_scale` of `LDMModule.sample`: one number where all are equal, else a dict; not
            checked, see `GroupControls`.
        scales: name -> scale.
        active: names of the conditions that the request gives; the others are disabled and say why.
    """

    value = tl.Any(2.0)
    scales = tl.Dict()
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
            slider = ipw.FloatSlider(value=default, min=0, max=6, step=0.1, readout=False)
            slider.add_class("cl-fill")
            number = ipw.FloatText(value=default, step=0.1)  # not clipped, unlike a readout
            number.add_class("cl-count")
            slider.observe(self._collect, "value")
            number.observe(self._collect, "value")
            self.sliders[name], self.numbers[name] = slider, number
            self.reasons[name] = caption("not asked for")
            parts.append(labelled(label, slider, number, self.reasons[name], tip=MEANING))
        self.widget = column(caption(MEANING), *parts, css="cl-guidance")
        self._quiet = Quiet()
        self.observe(self._spread, "scales")
        self.observe(self._take, "value")
        self.observe(self._enable, "active")
        self.scales = dict.fromkeys(labels, default)
        self.active = list(labels if active is None else active)
        self._enable()

    def _take(self, change: Any) -> None:
        """Take over a `cfg_scale`; conditions that a dict leaves out keep theirs."""
        if self._quiet:
            return
        scale = change.new
        if isinstance(scale, Mapping):
            self.scales = {n: float(scale.get(n, v)) for n, v in self.scales.items()}
        else:
            self.scales = dict.fromkeys(self.scales, float(scale))

    def _collect(self, change: Any) -> None:
        if not self._quiet:
            name = next(
                n for n in self.sliders if change.owner in (self.sliders[n], self.numbers[n])
            )
            self.scales = {**self.scales, name: float(change.new)}

    def _spread(self, change: Any) -> None:
        with self._quiet:
            for name, slider in self.sliders.items():
                wanted = change.new.get(name, slider.value)
                slider.max = min(max(slider.max, wanted), WIDEST)
                slider.value = min(max(wanted, 0.0), slider.max)
                self.numbers[name].value = wanted
            distinct = set(change.new.values())
            if distinct:
                self.value = distinct.pop() if len(distinct) == 1 else dict(change.new)

    def _enable(self, _: Any = None) -> None:
        for name, slider in self.sliders.items():
            used = name in self.active
            slider.disabled = self.numbers[name].disabled = not used
            show_if(used, slider, self.numbers[name])
            show_if(not used, self.reasons[name])
