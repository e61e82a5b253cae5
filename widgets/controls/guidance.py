"""How strongly each condition pulls: one guidance scale a condition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Panel, caption, column, labelled

MEANING = "0 ignores the request, 1 follows what was learned, above 1 exaggerates it."


class GuidanceControls(Panel):
    """Guidance scales: `GuidanceControls({"composition": "Composition", "band_gap": "Band gap"})`.

    Traits:
        scales: name -> scale, 0 to 10.
        active: names of the conditions that the request gives; the others are disabled and say why.
    """

    scales = tl.Dict()
    active = tl.List(tl.Unicode())

    def __init__(
        self, labels: Mapping[str, str], default: float = 2.0, active: Iterable[str] | None = None
    ) -> None:
        super().__init__()
        self._sliders: dict[str, ipw.FloatSlider] = {}
        self._why: dict[str, ipw.HTML] = {}
        parts = []
        for name, label in labels.items():
            slider = ipw.FloatSlider(value=default, min=0, max=6, step=0.1, readout_format=".1f")
            slider.add_class("cl-fill")
            slider.observe(self._collect, "value")
            self._sliders[name] = slider
            self._why[name] = caption("not asked for")
            parts.append(labelled(label, slider, self._why[name], tip=MEANING))
        self.widget = column(caption(MEANING), *parts, css="cl-guidance")
        self.observe(self._spread, "scales")
        self.observe(self._enable, "active")
        self.scales = dict.fromkeys(labels, default)
        self.active = list(labels if active is None else active)
        self._enable()

    def value(self) -> float | dict[str, float]:
        """Return `cfg_scale` as `LDMModule.sample` takes it: one number where all are equal."""
        found = set(self.scales.values())
        return found.pop() if len(found) == 1 else dict(self.scales)

    def set_value(self, scale: float | Mapping[str, float]) -> None:
        """Take over a `cfg_scale`; conditions that a dict leaves out keep theirs."""
        if isinstance(scale, Mapping):
            self.scales = {n: float(scale.get(n, v)) for n, v in self.scales.items()}
        else:
            self.scales = dict.fromkeys(self.scales, float(scale))

    @tl.validate("scales")
    def _within(self, proposal: Any) -> dict[str, float]:
        from crystal_ldm.errors import RequestError

        for name, scale in proposal.value.items():
            if not 0 <= scale <= 10:
                raise RequestError(f"A guidance scale is 0 to 10; {name} has {scale:g}.")
        return {name: float(scale) for name, scale in proposal.value.items()}

    def _collect(self, _: Any) -> None:
        self.scales = {name: slider.value for name, slider in self._sliders.items()}

    def _spread(self, change: Any) -> None:
        for name, slider in self._sliders.items():
            wanted = change.new.get(name, slider.value)
            slider.max = max(slider.max, wanted)
            slider.value = wanted

    def _enable(self, _: Any = None) -> None:
        for name, slider in self._sliders.items():
            slider.disabled = name not in self.active
            self._why[name].layout.display = "none" if name in self.active else None
