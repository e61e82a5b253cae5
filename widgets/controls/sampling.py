"""How to sample: a preset, and below it every field of the schema.

Nothing here names a field, a filter or a start: one that is added in its own file is in the form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Field
from crystal_ldm.widgets.controls.guidance import GuidanceControls
from crystal_ldm.widgets.controls.option import GroupControls, OptionControl, in_words, unite
from crystal_ldm.widgets.export.code import source_of
from crystal_ldm.widgets.layout import caption, column, fold, heading, labelled, row, show_if

from crystal_ldm.errors import RequestError
from crystal_ldm.sampling import (
    Compute,
    Elements,
    Filter,
    Guidance,
    SamplingSettings,
    Solver,
    Start,
    keyword_call,
    presets,
)

ELSEWHERE = ("preset", "seed", "offset", "trajectory")
"""Fields with a place of their own in the form or the workbench."""


class KindControls(Field):
    """Settings of which there are several kinds: one start, or several filters in order.

    `KindControls("filters", Filter, many=True)`.

    Traits:
        value: the settings, a tuple of them for `many`; None while a field is wrong.
    """

    def __init__(self, keyword: str, family: type[Start] | type[Filter], *, many: bool) -> None:
        super().__init__()
        self._many = many
        kinds = {n: k for n, k in family.kinds().items() if not getattr(k, "takes_crystals", False)}
        names = [(in_words(name), name) for name in kinds]
        self._choice = ipw.Dropdown(options=names).add_class("cl-fill")
        self._used = {n: ipw.Checkbox(description=text, indent=False) for text, n in names}
        self._groups = {n: GroupControls(k, f"{keyword}.{n}.") for n, k in kinds.items()}
        self._order = list(kinds)
        self._kinds: dict[str, ipw.Box] = {}
        self.paths: dict[str, Any] = {keyword: self if many else self._choice}
        for name, kind in kinds.items():
            head = [self._used[name].add_class("cl-check")] if many else []
            parts = (*head, caption(kind.summary()), self._groups[name].widget)
            self._kinds[name] = column(*parts, css="cl-kind")
            self.paths |= {f"{keyword}.{name}": self._used[name], **self._groups[name].paths}
        head = [] if many else [labelled(in_words(keyword), self._choice)]
        self.widget = column(*head, *self._kinds.values())
        parts = (self._choice, *self._used.values(), *self._groups.values())
        unite(self, parts, self._read, self._show)

    def _read(self) -> Any:
        chosen = (
            [n for n in self._order if self._used[n].value] if self._many else [self._choice.value]
        )
        for name, group in self._groups.items():
            show_if(name in chosen, group.widget if self._many else self._kinds[name])
        settings = tuple(self._groups[name].taken for name in chosen)
        return settings if self._many else settings[0]

    def _show(self, value: Any) -> None:
        """Show settings; further ones that are turned on come behind them."""
        shown = {one.kind: one for one in (value if self._many else [value])}
        self._order = [*shown, *(name for name in self._groups if name not in shown)]
        for name, box in self._used.items():
            box.value = name in shown
        for name, one in shown.items():
            self._groups[name].value, self._choice.value = one, name


class SamplingControls(Field):
    """A preset and all settings: `SamplingControls({"composition": "Composition"})`.

    `choose` is what stands first in a form, `guidance` and `advanced` what is folded away.

    Traits:
        preset: its name; another one sets all fields to what it says.
        value: what all fields say, `SamplingSettings`; None while one of them is wrong.
    """

    preset = tl.Unicode()

    def __init__(self, conditions: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._presets = presets()
        self.preset = next(iter(self._presets))
        self.scales = GuidanceControls(conditions or {})
        self._parts: dict[str, Any] = {
            "start": KindControls("start", Start, many=False),
            "guidance": GroupControls(Guidance, special={"scale": self.scales}),
            "filters": KindControls("filters", Filter, many=True),
            "solver": GroupControls(Solver),
            "elements": GroupControls(Elements, "elements."),
            "compute": GroupControls(Compute),
            **{
                one.field: OptionControl(one)
                for one in SamplingSettings.options()
                if one.type != "data" and one.field not in ELSEWHERE
            },
        }
        self._paths = {path: c for part in self._parts.values() for path, c in part.paths.items()}
        self._make_chooser()
        rest = [self._parts["start"].widget]
        for name, part in self._parts.items():
            if name not in ("start", "guidance"):
                rest += [heading(in_words(name)), part.widget]
        self.guidance = fold("Guidance", self._parts["guidance"].widget)
        inside = column(*rest, self.notice.widget, css="cl-advanced")
        self.advanced = fold("Advanced", inside)
        self.widget = column(self.choose, self.guidance, self.advanced)
        self.observe(self._on_preset, "preset")
        self.observe(self._say_changed, "value")
        self.reset()
        unite(self, self._parts.values(), self._read, self._show)

    def refuse(self, problem: str) -> None:
        """Say why what is typed cannot be used, unless a part of the form says so itself."""
        super().refuse(problem)
        if any(part.problem for part in self._parts.values()):
            self.notice.clear()

    def _make_chooser(self) -> None:
        menu = ipw.ToggleButtons(
            options=[(one.title, name) for name, one in self._presets.items()],
            tooltips=[one.sentence for one in self._presets.values()],
        )
        self.linked("preset", menu, "cl-modes cl-presets")
        self._sentence = caption("")
        self._changed = caption("")
        self._back = self.button("As the preset", self.reset, css="cl-small",
                            tip="Set all fields to what the preset says")  # fmt: skip
        self._differs = row(self._changed, self._back)
        self.choose = column(labelled("Aim", menu), self._sentence, self._differs, css="cl-preset")

    def field(self, path: str) -> Any:
        """Return the control of a field, with a trait `value`: `field("min_distance.limit")`.

        Args:
            path: its name in `crystal_ldm.sampling.options()`; the name of a filter alone, with
                its family before it (`filters.min_distance`), is the box that turns it on.
        """
        return self._paths[path]

    @property
    def settings(self) -> SamplingSettings | None:
        """What all fields say; None while one of them is wrong."""
        settings: SamplingSettings | None = self.value
        return settings

    def show(self, settings: SamplingSettings) -> None:
        """Show settings.

        Raises:
            RequestError: if their start needs crystals, which a form of this kind has none of.
        """
        if settings.start.takes_crystals:
            raise RequestError(
                "These settings start from a crystal that was given. Vary and Host make such "
                "crystals, or the code of the recipe."
            )
        self.value = settings

    def reset(self) -> None:
        """Set all fields to what the preset says."""
        self.show(SamplingSettings.make({"preset": self.preset}))

    def _on_preset(self, _: Any) -> None:
        if self.value is None or self.value.preset != self.preset:
            self.reset()

    def _read(self) -> SamplingSettings:
        values = {name: part.taken for name, part in self._parts.items()}
        return SamplingSettings(preset=self.preset, **values)

    def _show(self, settings: SamplingSettings) -> None:
        self.preset = settings.preset
        for name, part in self._parts.items():
            part.value = getattr(settings, name)

    def _say_changed(self, _: Any = None) -> None:
        if self.settings is not None:
            self._sentence.value = self._presets[self.preset].sentence
            changed = {n: v for n, v in keyword_call(self.settings).items() if n != "preset"}
            text = ", ".join(f"{name}={source_of(value)}" for name, value in changed.items())
            self._changed.value = f"Changed: {text}"
            show_if(bool(changed), self._differs)
