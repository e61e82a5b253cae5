"""A number to aim at, or a range, over the histogram of what the model was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as ipw
import numpy as np
import traitlets as tl
from crystal_ldm.widgets.base import Field, NumberBox, Quiet
from crystal_ldm.widgets.layout import column, escape, row, show_if

from crystal_ldm.errors import RequestError

SLACK = 5e-5
"""How far beyond the training crystals' values the model takes a target at most, as a share of the
range: 1e-4 of their standard deviation."""
FEW = 20
"""Training crystals near the target below which a warning is shown."""

NAMES = {
    "band_gap": (
        "Band gap (PBE)",
        "Computed with the PBE functional, which gives smaller gaps than experiment",
    ),
    "e_above_hull": (
        "Hull distance",
        "Energy above the convex hull of all known phases, per atom; 0: stable",
    ),
}
"""Conditions whose meaning needs a word more than their label."""

Target = float | tuple[float, float] | None


class ScalarControl(Field):
    """Asks for one property: `ScalarControl(ldm.conditions["band_gap"].describe())`.

    Traits:
        value: None (not asked for), a number, or a pair (low, high).
    """

    def __init__(self, description: Mapping[str, Any], value: Target = None) -> None:
        super().__init__()
        self._about = description
        self._unit = description.get("unit") or ""
        low, high = float(description["min"]), float(description["max"])
        self._limits = low, high = (low, high) if high > low else (low, low + 1.0)
        self._quiet = Quiet()
        self.mode = ipw.ToggleButtons(
            options=[("Any", "any"), ("Value", "value"), ("Range", "range")], value="any"
        )
        self.mode.add_class("cl-modes")
        # A power of ten, and ends on its multiples within the limits: a slider snaps values to its
        # own grid.
        step = float(10.0 ** np.floor(np.log10((high - low) / 100)))
        self._digits = max(int(-np.floor(np.log10(step))), 0)
        low, high = float(np.ceil(low / step) * step), float(np.floor(high / step) * step)
        wide = {"width": "100%"}
        how: Any = {"min": low, "max": high, "step": step, "readout": False, "layout": wide}
        self.slider = ipw.FloatSlider(low, **how).add_class("cl-gap-slider")
        self.range = ipw.FloatRangeSlider(value=(low, high), **how)
        self._to = ipw.HTML("to")
        self._picture = ipw.HTML(layout=wide).add_class("cl-histogram")
        title, tip = condition_title(description)
        self.low, self.high = (NumberBox(title, self.notice) for _ in range(2))
        self.low.number, self.high.number = low, high
        name = ipw.HTML(f'<b title="{escape(tip)}">{escape(title)}</b>')
        unit = ipw.HTML(escape(self._unit))
        self._numbers = row(self.low, self._to, self.high, unit)
        self.details = column(self._picture, self.slider, self.range, self._numbers)
        self.widget = column(
            row(name, self.mode, css="cl-bar"), self.details, self.notice.widget, css="cl-scalar"
        )
        guard = self.notice.guard
        self.mode.observe(guard(self._on_mode), "value")
        for slider in (self.slider, self.range):
            slider.observe(guard(self._on_slider), "value")
        for box in (self.low, self.high):
            box.observe(guard(self._on_number), "number")
        self.react("value", self._refresh)
        self.value = value
        self._refresh()

    @tl.validate("value")
    def _clean(self, proposal: Any) -> Target:
        value = proposal.value
        try:
            if isinstance(value, list | tuple):
                low, high = map(float, value)
                return (low, high)
            return None if value is None else float(value)
        except (TypeError, ValueError):
            name, _ = condition_title(self._about)
            raise RequestError(
                f"{name} takes a number, a pair (low, high) or None, not {value!r}."
            ) from None

    # -- what the person does --------------------------------------------------------------------

    def _on_mode(self, change: Any) -> None:
        if self._quiet:
            return
        (low, high), old = self._limits, self.value
        middle = low + (high - low) / 4 if old is None else float(np.mean(old))
        if change.new == "any":
            self.value = None
        elif change.new == "value":
            self.value = round(middle, self._digits)
        else:
            ends = np.clip(middle + np.array([-1, 1]) * (high - low) / 20, low, high)
            self.value = tuple(ends.round(self._digits).tolist())

    def _on_number(self, _: Any) -> None:
        if not self._quiet:
            low, high = self.low.number, self.high.number
            self.value = (low, high) if self.mode.value == "range" else low

    def _on_slider(self, change: Any) -> None:
        """Take the ends that were slid; the browser snaps what it is given, by less than a step."""
        if self._quiet or self.value is None:
            return
        new, old = np.atleast_1d(change.new), np.atleast_1d(change.old)
        ends = np.sort(np.atleast_1d(self.value)).tolist()
        for k in np.flatnonzero(np.abs(new - old) > 0.9 * self.slider.step):
            ends[k] = round(float(new[k]), self._digits)  # 2.1, not 2.0999999999999996
        if ends != sorted(np.atleast_1d(self.value).tolist()):
            self.value = (ends[0], ends[1]) if len(ends) > 1 else ends[0]

    # -- what is shown ---------------------------------------------------------------------------

    def _refresh(self) -> None:
        with self._quiet:
            value = self.value
            mode = "any" if value is None else "range" if isinstance(value, tuple) else "value"
            self.mode.value = mode
            show_if(mode != "any", self.details)
            show_if(mode == "value", self.slider)
            show_if(mode == "range", self.range, self.high, self._to)
            if isinstance(value, tuple):
                self.low.number, self.high.number = value
                self.range.value = np.clip(sorted(value), self.range.min, self.range.max).tolist()
            elif value is not None:
                self.low.number = self.slider.value = value
            self._weigh(value)
            self._picture.value = ""
            if value is not None:
                edges, counts = (self._about["histogram"][name] for name in ("edges", "counts"))
                self._picture.value = histogram_svg(edges, counts, value, self._limits)

    def _weigh(self, value: Target) -> None:
        low, high = self._limits
        self.refuse("")
        if value is None:
            return
        ends = value if isinstance(value, tuple) else (value, value)
        slack = SLACK * (high - low)
        if ends[0] > ends[1]:
            self.refuse(f"The range runs from {ends[0]:g} down to {ends[1]:g}.")
        elif not low - slack <= ends[0] <= ends[1] <= high + slack:
            asked = f"{ends[0]:g}" if ends[0] == ends[1] else f"{ends[0]:g} to {ends[1]:g}"
            span = f"{low:g} to {high:g} {self._unit}".strip()
            self.refuse(f"{asked} is out of reach: the training crystals have {span}.")
        else:
            near = self._near(ends)
            if near < FEW:
                crystals = "1 training crystal is" if near == 1 else f"{near} training crystals are"
                self.notice.say(f"Only {crystals} near this target; expect a poor aim.", "warning")

    def _near(self, ends: tuple[float, float]) -> int:
        """Return how many training crystals share a bin of the histogram with the target."""
        edges, counts = (np.asarray(self._about["histogram"][name]) for name in ("edges", "counts"))
        low, high = np.clip(ends, edges[0], edges[-1])
        return int(counts[(edges[1:] >= low) & (edges[:-1] <= high)].sum())


def condition_title(description: Mapping[str, Any]) -> tuple[str, str]:
    """Return how a condition is called in a form, and one line on what it means."""
    label = str(description.get("label") or description["name"])
    title, tip = NAMES.get(label, (label.replace("_", " "), ""))
    return title[:1].upper() + title[1:], str(description.get("description") or tip)


def histogram_svg(
    edges: Sequence[float],
    counts: Sequence[int],
    value: float | tuple[float, float],
    limits: tuple[float, float],
) -> str:
    """Return a small histogram with the target marked; heights are square roots of the counts."""
    low, high = limits
    scale = 100 / (high - low)
    tallest = max([*counts, 1]) ** 0.5
    bars = "".join(
        f'<rect x="{(a - low) * scale:.2f}" y="{40 - 38 * count**0.5 / tallest:.2f}" '
        f'width="{max((b - a) * scale - 0.3, 0.2):.2f}" height="{38 * count**0.5 / tallest:.2f}"/>'
        for a, b, count in zip(edges[:-1], edges[1:], counts, strict=True)
    )
    start, end = value if isinstance(value, tuple) else (value, value)
    x = min(max((start - low) * scale, 0), 100)
    width = max(min(max((end - low) * scale, 0), 100) - x, 0.8)
    mark = f'<rect class="cl-target" x="{x - 0.4:.2f}" y="0" width="{width:.2f}" height="40"/>'
    title = f"Training crystals between {low:.3g} and {high:.3g}; the target is marked"
    return (
        f'<svg viewBox="0 0 100 40" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title>{bars}{mark}</svg>'
    )
