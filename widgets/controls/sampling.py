"""How to sample: a preset, and below it every field of the schema.

Nothing here names a field, a filter or a start: one that is added in its own file is in the form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Panel, Quiet
from crystal_ldm.widgets.controls.guidance import GuidanceControls
from crystal_ldm.widgets.controls.option import GroupControls, in_words
from crystal_ldm.widgets.export.code import source_of
from crystal_ldm.widgets.layout import caption, column, fold, heading, labelled, row, show_if

from crystal_ldm.errors import CrystalLDMError, RequestError
from crystal_ldm.sampling import (
    Option,
    SamplingSettings,
    Settings,
    keyword_call,
    options,
    presets,
)

ELSEWHERE = ("preset", "seed", "trajectory")
"""Fields with a place of their own in the form or the workbench."""


class KindControls:
    """Settings of which there are several kinds: one start, or several filters in order.

    `KindControls("filters", options, many=True)`.
    """

    def __init__(
        self, keyword: str, kinds: Mapping[type[Settings], list[Option]], *, many: bool
    ) -> None:
        self._keyword, self._many = keyword, many
        self.groups: dict[str, GroupControls] = {}
        self.used: dict[str, ipw.Checkbox] = {}
        self._kinds: dict[str, ipw.Box] = {}
        for kind, fields in kinds.items():
            name = kind.kind  # type: ignore[attr-defined]
            group = self.groups[name] = GroupControls(kind, [one for one in fields if one.field])
            box = self.used[name] = ipw.Checkbox(description=in_words(name), indent=False)
            text = caption(kind.summary())  # type: ignore[attr-defined]
            head = [box.add_class("cl-check")] if many else []
            self._kinds[name] = column(*head, text, group.widget, css="cl-kind")
        self._order = list(self.groups)
        names = [(in_words(name), name) for name in self.groups]
        self.choice = ipw.Dropdown(options=names).add_class("cl-fill")
        head = [heading(in_words(keyword)) if many else labelled(in_words(keyword), self.choice)]
        self.widget = column(*head, *self._kinds.values(), css="cl-kinds")

    @property
    def _chosen(self) -> list[str]:
        if not self._many:
            return [self.choice.value]
        return [name for name in self._order if self.used[name].value]

    def keywords(self) -> dict[str, Any]:
        """Return the settings as a keyword of `LDMModule.sample`.

        Raises:
            CrystalLDMError: a field is wrong, which is said below the fields, too.
        """
        chosen = self._chosen
        for name, group in self.groups.items():
            show_if(name in chosen, group.widget if self._many else self._kinds[name])
        settings = [self.groups[name].read() for name in chosen]
        return {self._keyword: settings if self._many else settings[0]}

    def show(self, settings: Sequence[Any]) -> None:
        """Show settings; further ones that are turned on come behind them."""
        names = [one.kind for one in settings]
        self._order = [*names, *(name for name in self.groups if name not in names)]
        for name, box in self.used.items():
            box.value = name in names
        for one in settings:
            self.groups[one.kind].show(one)
            self.choice.value = one.kind


class SamplingControls(Panel):
    """A preset and all settings: `SamplingControls({"composition": "Composition"})`.

    `choose` is what stands first in a form, `guidance` and `advanced` what is folded away.

    Traits:
        preset: its name; another one sets all fields to what it says.
        settings: what all fields say; None while one of them is wrong. Read-only but for `show`.
        problem: what is wrong, one sentence; empty if nothing is. Read-only.
    """

    preset = tl.Unicode()
    settings = tl.Any(None, allow_none=True, read_only=True)
    problem = tl.Unicode("", read_only=True)

    def __init__(self, conditions: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._presets = presets()
        self.preset = next(iter(self._presets))
        self._quiet = Quiet()
        self.scales = GuidanceControls(conditions or {})
        self._make_groups()
        self._make_chooser()
        guidance = next(group for group in self.groups if "scale" in self.groups[group].fields)
        rest = [family.widget for family in self.families.values()]
        for group, controls in self.groups.items():
            if group is not guidance:
                title = "Attempts" if group is SamplingSettings else in_words(group.__name__)
                rest += [heading(title), controls.widget]
        self.guidance = fold("Guidance", self.groups[guidance].widget)
        self.advanced = fold("Advanced", column(*rest, css="cl-advanced"))
        self.widget = column(self.choose, self.guidance, self.advanced)
        for control in self._fields.values():
            control.observe(self._collect, "value")
        self.observe(self._on_preset, "preset")
        self.reset()

    def _make_groups(self) -> None:
        """Make a control for each field, in groups; starts and filters are families of groups."""
        listed = [one for one in options() if one.path not in ELSEWHERE]
        whole = {one.path: one for one in listed}
        families = {one.keyword for one in listed if one.path != one.keyword} & whole.keys()
        flat: dict[type[Settings], list[Option]] = {}
        nested: dict[str, dict[type[Settings], list[Option]]] = {}
        for one in listed:
            if one.keyword not in families:
                flat.setdefault(one.group, []).append(one)
            elif one.path not in families and not getattr(one.group, "takes_crystals", False):
                nested.setdefault(one.keyword, {}).setdefault(one.group, []).append(one)
        special = {"cfg_scale": self.scales}
        self.groups = {kind: GroupControls(kind, some, special) for kind, some in flat.items()}
        self.families = {
            name: KindControls(name, kinds, many=isinstance(whole[name].default, tuple))
            for name, kinds in nested.items()
        }
        self._fields: dict[str, Any] = {}
        for kind, some in flat.items():
            self._fields |= {one.path: self.groups[kind].fields[one.field] for one in some}
        for name, family in self.families.items():
            self._fields[name] = family.choice
            for kind_name, group in family.groups.items():
                place = f"{name}.{kind_name}"
                self._fields[place] = family.used[kind_name]
                self._fields |= {f"{place}.{field}": one for field, one in group.fields.items()}

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
        return self._fields[path]

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
        with self._quiet:
            self.preset = settings.preset
            parts = [settings, *(getattr(settings, name) for name in type(settings).model_fields)]
            for kind, group in self.groups.items():
                group.show(next(part for part in parts if isinstance(part, kind)))
            for name, family in self.families.items():
                value = getattr(settings, name)
                family.show(value if isinstance(value, tuple) else (value,))
        self._collect()

    def reset(self) -> None:
        """Set all fields to what the preset says."""
        self.show(SamplingSettings.make({"preset": self.preset}))

    def _on_preset(self, _: Any) -> None:
        if not self._quiet:
            self.reset()

    def _collect(self, _: Any = None) -> None:
        if self._quiet:
            return
        keywords: dict[str, Any] = {"preset": self.preset}
        problem = ""
        parts: list[Any] = [*self.groups.values(), *self.families.values()]
        for part in parts:
            try:
                keywords |= part.keywords()
            except CrystalLDMError as error:
                problem = problem or str(error)
        self.set_trait("problem", problem)
        self.set_trait("settings", None if problem else SamplingSettings.make(keywords))
        if self.settings is not None:
            self._sentence.value = self._presets[self.preset].sentence
            changed = {n: v for n, v in keyword_call(self.settings).items() if n != "preset"}
            text = ", ".join(f"{name}={source_of(value)}" for name, value in changed.items())
            self._changed.value = f"Changed: {text}"
            show_if(bool(changed), self._differs)
