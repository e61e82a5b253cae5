"""How to sample: a preset, and below it every field of the schema.

Nothing here names a field, a filter or a start: one that is added in its own file is in the form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import Field, Panel, Quiet
from crystal_ldm.widgets.controls.guidance import GuidanceControls
from crystal_ldm.widgets.controls.option import GroupControls, in_words
from crystal_ldm.widgets.export.code import source_of
from crystal_ldm.widgets.layout import caption, column, fold, heading, labelled, row, show_if

from crystal_ldm.errors import RequestError
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


class KindControls(Field):
    """Settings of which there are several kinds: one start, or several filters in order.

    `KindControls("Filters", options, many=True)`.

    Traits:
        value: tuple of settings; a single one in it unless `many`.
    """

    value: tl.TraitType[Any, Any] = tl.Tuple()

    def __init__(
        self, title: str, kinds: Mapping[type[Settings], list[Option]], *, many: bool
    ) -> None:
        super().__init__()
        self.many = many
        self._order: list[str] = []
        named = {kind.kind: kind for kind in kinds}  # type: ignore[attr-defined]
        self.groups = {
            name: GroupControls(kind, [one for one in kinds[kind] if one.field])
            for name, kind in named.items()
        }
        self.used = {
            name: ipw.Checkbox(description=in_words(name), indent=False).add_class("cl-check")
            for name in named
        }
        kind_names = [(in_words(name), name) for name in named]
        self.choice = ipw.Dropdown(options=kind_names).add_class("cl-fill")
        self._kinds: dict[str, ipw.Box] = {}
        for name, group in self.groups.items():
            head = [self.used[name]] if many else []
            text = caption(named[name].summary())  # type: ignore[attr-defined]
            self._kinds[name] = column(*head, text, group.widget, css="cl-kind")
            group.observe(self._collect, ["value", "problem"])
            self.used[name].observe(self._collect, "value")
        self.choice.observe(self._collect, "value")
        parts = [*([] if many else [labelled(title, self.choice)]), *self._kinds.values()]
        self.widget = column(*parts, css="cl-kinds")
        self._quiet = Quiet()
        self.observe(self._spread, "value")
        self._collect()

    def _chosen(self) -> list[str]:
        if not self.many:
            return [self.choice.value]
        chosen = [name for name in self._order if self.used[name].value]
        return chosen + [n for n, box in self.used.items() if box.value and n not in chosen]

    def _collect(self, _: Any = None) -> None:
        if self._quiet:
            return
        self._order = self._chosen()
        groups = [self.groups[name] for name in self._order]
        self.set_trait("problem", next((one.problem for one in groups if one.problem), ""))
        with self._quiet:
            self.value = tuple(group.value for group in groups if group.value is not None)
        self._show()

    def _spread(self, change: Any) -> None:
        if self._quiet:
            return
        with self._quiet:
            self._order = [one.kind for one in change.new]
            for name, box in self.used.items():
                box.value = name in self._order
            for one in change.new:
                self.groups[one.kind].value = one
            if not self.many and change.new:
                self.choice.value = self._order[0]
        self.set_trait("problem", "")
        self._show()

    def _show(self) -> None:
        for name, group in self.groups.items():
            used = name in self._order
            show_if(used, group.widget)
            if not self.many:
                show_if(used, self._kinds[name])


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
        listed = [one for one in options() if one.path not in ELSEWHERE]
        families = {
            o.path: o for o in listed if any(x.path.startswith(f"{o.path}.") for x in listed)
        }
        flat: dict[type[Settings], list[Option]] = {}
        nested: dict[str, dict[type[Settings], list[Option]]] = {}
        for one in listed:
            if one.keyword in families:
                if one.path not in families and not getattr(one.group, "takes_crystals", False):
                    nested.setdefault(one.keyword, {}).setdefault(one.group, []).append(one)
            else:
                flat.setdefault(one.group, []).append(one)
        self.groups: dict[type[Settings], GroupControls] = {
            group: GroupControls(group, fields, {"cfg_scale": self.scales})
            for group, fields in flat.items()
        }
        self.families: dict[str, KindControls] = {
            name: KindControls(
                in_words(name), kinds, many=isinstance(families[name].default, tuple)
            )
            for name, kinds in nested.items()
        }
        self._flat = flat
        self._fields: dict[str, Any] = {
            one.path: self.groups[group].fields[one.field]
            for group, fields in flat.items()
            for one in fields
        }
        for name, family in self.families.items():
            self._fields[name] = family.choice
            for kind, controls in family.groups.items():
                self._fields[f"{name}.{kind}"] = family.used[kind]
                for field, control in controls.fields.items():
                    self._fields[f"{name}.{kind}.{field}"] = control
        for part in (*self.groups.values(), *self.families.values()):
            part.observe(self._collect, ["value", "problem"])
        self._make_chooser()
        guidance = next(
            g for g, fields in flat.items() if any(o.path == "cfg_scale" for o in fields)
        )
        rest: list[ipw.DOMWidget] = []
        for name, family in self.families.items():
            rest += [*([heading(in_words(name))] if family.many else []), family.widget]
        for group, controls in self.groups.items():
            if group is not guidance:
                title = "Attempts" if group is SamplingSettings else in_words(group.__name__)
                rest += [heading(title), controls.widget]
        self.guidance = fold("Guidance", self.groups[guidance].widget)
        self.advanced = fold("Advanced", column(*rest, css="cl-advanced"))
        self.widget = column(self.choose, self.guidance, self.advanced)
        self.observe(self._on_preset, "preset")
        self.reset()

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
            for group, controls in self.groups.items():
                controls.value = next(part for part in parts if isinstance(part, group))
            for name, family in self.families.items():
                value = getattr(settings, name)
                family.value = value if isinstance(value, tuple) else (value,)
        self._collect()

    def reset(self) -> None:
        """Set all fields to what the preset says."""
        self.show(SamplingSettings.make({"preset": self.preset}))

    def use_for(self, conditions: Iterable[str]) -> None:
        """Enable the guidance scales of the conditions that a request gives."""
        self.scales.active = list(conditions)

    def _on_preset(self, _: Any) -> None:
        if not self._quiet:
            self.reset()

    def _collect(self, _: Any = None) -> None:
        if self._quiet:
            return
        parts: list[Any] = [*self.groups.values(), *self.families.values()]
        problem = next((part.problem for part in parts if part.problem), "")
        self.set_trait("problem", problem)
        if problem or any(controls.value is None for controls in self.groups.values()):
            self.set_trait("settings", None)
            return
        keywords: dict[str, Any] = {"preset": self.preset}
        for group, fields in self._flat.items():
            keywords |= _keywords_of(self.groups[group].value, fields)
        for name, family in self.families.items():
            keywords[name] = list(family.value) if family.many else family.value[0]
        self.set_trait("settings", SamplingSettings.make(keywords))
        self._say()

    def _say(self) -> None:
        self._sentence.value = self._presets[self.preset].sentence
        changed = {n: v for n, v in keyword_call(self.settings).items() if n != "preset"}
        text = ", ".join(f"{name}={source_of(value)}" for name, value in changed.items())
        self._changed.value = f"Changed: {text}"
        show_if(bool(changed), self._differs)


def _keywords_of(value: Settings, fields: Iterable[Option]) -> dict[str, Any]:
    """Return a group's fields as keywords of `LDMModule.sample`, which may nest them."""
    found: dict[str, Any] = {}
    for one in fields:
        field = getattr(value, one.field)
        if one.path == one.keyword:
            found[one.keyword] = field
        else:
            found.setdefault(one.keyword, {})[one.field] = field
    return found
