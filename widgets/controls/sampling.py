"""How to sample: a preset, and below it every field of the schema.

Nothing here names a field, a filter or a start: one that is added in its own file is in the form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import traitlets as tl
from crystal_ldm.widgets.base import (
    Panel,
    Quiet,
    button,
    caption,
    column,
    fold,
    heading,
    labelled,
    row,
    show_if,
)
from crystal_ldm.widgets.controls.guidance import GuidanceControls
from crystal_ldm.widgets.controls.option import GroupControls

from crystal_ldm.errors import RequestError

if TYPE_CHECKING:
    from crystal_ldm.sampling import Option, SamplingSettings, Settings

ELSEWHERE = ("preset", "seed", "trajectory")
"""Fields with a place of their own in the form or the workbench."""


class KindControls(Panel):
    """Settings of which there are several kinds: one start, or several filters in order.

    `KindControls("Filters", options, many=True)`.

    Traits:
        value: tuple of settings; a single one in it unless `many`.
        problem: what is wrong, one sentence; empty if nothing is. Read-only.
    """

    value: tl.TraitType[Any, Any] = tl.Tuple()
    problem = tl.Unicode("", read_only=True)

    def __init__(
        self, title: str, kinds: Mapping[type[Settings], list[Option]], *, many: bool
    ) -> None:
        super().__init__()
        self.many = many
        self._order: list[str] = []
        self.groups = {
            kind.kind: GroupControls(kind, [o for o in options if o.field])  # type: ignore[attr-defined]
            for kind, options in kinds.items()
        }
        names = {kind.kind: kind for kind in kinds}  # type: ignore[attr-defined]
        self.used: dict[str, ipw.Checkbox] = {}
        kind_names = [(_words(name), name) for name in names]
        self.choice = ipw.Dropdown(options=kind_names).add_class("cl-fill")
        parts: list[ipw.DOMWidget] = [] if many else [labelled(title, self.choice)]
        for name, group in self.groups.items():
            box = ipw.Checkbox(description=_words(name), indent=False)
            self.used[name] = box.add_class("cl-check")
            head = [self.used[name]] if many else []
            text = caption(names[name].summary())  # type: ignore[attr-defined]
            parts.append(column(*head, text, group.widget, css="cl-kind"))
            group.observe(self._collect, ["value", "problem"])
            self.used[name].observe(self._collect, "value")
        self._kinds = dict(zip(self.groups, parts[-len(self.groups) :], strict=True))
        self.choice.observe(self._collect, "value")
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
        problems = [group.problem for group in groups if group.problem]
        self.set_trait("problem", problems[0] if problems else "")
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
        from crystal_ldm.sampling import SamplingSettings, options, presets

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
            name: KindControls(_words(name), kinds, many=isinstance(families[name].default, tuple))
            for name, kinds in nested.items()
        }
        self._flat = flat
        for part in (*self.groups.values(), *self.families.values()):
            part.observe(self._collect, ["value", "problem"])
        self._make_chooser()
        guidance = next(
            g for g, fields in flat.items() if any(o.path == "cfg_scale" for o in fields)
        )
        rest: list[ipw.DOMWidget] = []
        for name, family in self.families.items():
            rest += [*([heading(_words(name))] if family.many else []), family.widget]
        for group, controls in self.groups.items():
            if group is not guidance:
                title = "Attempts" if group is SamplingSettings else _words(group.__name__)
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
        self._back = button("As the preset", self.reset, css="cl-small",
                            tip="Set all fields to what the preset says")  # fmt: skip
        self._differs = row(self._changed, self._back)
        self.choose = column(labelled("Aim", menu), self._sentence, self._differs, css="cl-preset")

    def field(self, path: str) -> Any:
        """Return the control of a field, with a trait `value`: `field("min_distance.limit")`.

        Args:
            path: its name in `crystal_ldm.sampling.options()`; the name of a filter alone, with
                its family before it (`filters.min_distance`), is the box that turns it on.
        """
        keyword, *rest = path.split(".")
        family = self.families.get(keyword)
        if family is not None and not rest:
            return family.choice
        if family is not None:
            return family.groups[rest[0]].fields[rest[1]] if rest[1:] else family.used[rest[0]]
        for group, fields in self._flat.items():
            for one in fields:
                if one.path == path:
                    return self.groups[group].fields[one.field]
        raise KeyError(path)

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
            for group, fields in self._flat.items():
                self.groups[group].value = _group_of(settings, group, [o.field for o in fields])
            for name, family in self.families.items():
                value = getattr(settings, name)
                family.value = value if isinstance(value, tuple) else (value,)
        self._collect()

    def reset(self) -> None:
        """Set all fields to what the preset says."""
        from crystal_ldm.sampling import SamplingSettings

        self.show(SamplingSettings.make({"preset": self.preset}))

    def use_for(self, conditions: Iterable[str]) -> None:
        """Enable the guidance scales of the conditions that a request gives."""
        self.scales.active = list(conditions)

    def _on_preset(self, _: Any) -> None:
        if not self._quiet:
            self.reset()

    def _collect(self, _: Any = None) -> None:
        from crystal_ldm.sampling import SamplingSettings

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
            value = self.groups[group].value
            keywords |= _keywords_of(value, fields)
        for name, family in self.families.items():
            keywords[name] = list(family.value) if family.many else family.value[0]
        self.set_trait("settings", SamplingSettings.make(keywords))
        self._say()

    def _say(self) -> None:
        from crystal_ldm.widgets.export.code import source_of

        from crystal_ldm.sampling import keyword_call

        preset = self._presets[self.preset]
        self._sentence.value = preset.sentence
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


def _group_of(settings: SamplingSettings, group: type[Settings], fields: list[str]) -> Settings:
    """Return the group of that class in settings."""
    if isinstance(settings, group):
        return group(**{name: getattr(settings, name) for name in fields})
    values = (getattr(settings, name) for name in type(settings).model_fields)
    return next(value for value in values if isinstance(value, group))


def _words(name: str) -> str:
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]
