"""How to sample: a preset, six ideas, and what is given by keyword on top."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from crystal_ldm.config.numbers import Whole, plain_number, short
from crystal_ldm.crystals.symmetry.space_groups import SPACE_GROUP
from crystal_ldm.errors import RequestError, suggest
from crystal_ldm.sampling.compute import Compute
from crystal_ldm.sampling.elements import Elements
from crystal_ldm.sampling.filters import Filter, HasSpaceGroup
from crystal_ldm.sampling.guidance import Guidance
from crystal_ldm.sampling.presets import DEFAULT_PRESET, get_preset, presets
from crystal_ldm.sampling.schema import Option, Settings, option
from crystal_ldm.sampling.solver import Solver
from crystal_ldm.sampling.starts import Noise, Start

if TYPE_CHECKING:
    from crystal_ldm.crystals import CrystalBatch
    from crystal_ldm.ldm_module import LDMModule

_FLAT: dict[str, type[Settings]] = {"solver": Solver, "guidance": Guidance, "compute": Compute}
"""Groups whose fields are keywords of `LDMModule.sample` themselves."""


class SamplingSettings(Settings):
    """How to sample.

    Attributes:
        preset: what the others were taken from.
        solver, guidance, start, elements, filters, compute: see there.
        attempts, seed, offset, trajectory: see their help.
    """

    preset: str = option(
        DEFAULT_PRESET, "What is wanted; all else may stay as it is", level="basic",
        choices=tuple(presets()),
    )  # fmt: skip
    solver: Solver = option(Solver(), "Solver")
    guidance: Guidance = option(Guidance(), "Guidance")
    start: Start = option(Noise(), "Where the denoising starts", level="basic")
    elements: Elements = option(Elements(), "How open elements are drawn")
    filters: tuple[Filter, ...] = option((), "Tests that each crystal has to pass, in order")
    compute: Compute = option(Compute(), "Compute")
    attempts: Whole = option(
        5, "How often a crystal that fails a filter is made again", low=0, high=1000
    )
    seed: Whole = option(0, "Seed of all random numbers", low=0, high=2**63 - 1, level="basic")
    offset: Whole = option(
        0, "Number of the first crystal of each row, to split a request", low=0, high=2**31
    )
    trajectory: bool = option(False, "Whether to keep the decoded estimate of each step")

    @classmethod
    def make(cls, keywords: Mapping[str, Any]) -> Self:
        """Return a preset's settings with what is given by keyword in their place.

        Args:
            keywords: those of `LDMModule.sample`. `start` and `elements` are objects or what
                describes them; a list of `filters` is all of them, a mapping changes or adds those
                that it names (None or False: without). None: not given.

        Raises:
            RequestError: for an unknown name, or a value that is none.
        """
        keywords = {name: value for name, value in keywords.items() if value is not None}
        names = [*_keywords(), "start", "elements", "filters", *_PLAIN]
        for name in keywords:
            if name not in names:
                raise RequestError(
                    f"Sampling has no setting '{name}'.{suggest(name, names)} "
                    f"The settings are {', '.join(names)}."
                )
        preset = get_preset(keywords.get("preset", DEFAULT_PRESET))
        base = cls.from_dict({"preset": preset.name, **preset.settings})
        values: dict[str, Any] = {n: keywords[n] for n in _PLAIN if n in keywords}
        for group, fields in _groups(keywords).items():
            values[group] = getattr(base, group).changed(**fields)
        if "start" in keywords:
            values["start"] = Start.make(keywords["start"])
        if "elements" in keywords:
            values["elements"] = _elements(keywords["elements"], base.elements)
        if "filters" in keywords:
            values["filters"] = _filters(keywords["filters"], base.filters)
        return base.changed(**values)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the settings that `to_dict` describes; what is missing has its default, but
        `elements` without `charge_balanced` are of a recipe that is older than that.

        Raises:
            RequestError: for an unknown name, or a value that is none.
        """
        groups: dict[str, type[Settings]] = {**_FLAT, "elements": Elements}
        values = dict(data)
        if isinstance(values.get("elements"), Mapping):  # stored before charges were in balance
            values["elements"] = {"charge_balanced": False, **values["elements"]}
        for name, group in groups.items():
            if isinstance(values.get(name), Mapping):
                values[name] = group.from_mapping(values[name])
        if "start" in values:
            values["start"] = Start.make(values["start"])
        if "filters" in values:
            values["filters"] = _filters(list(values["filters"]), ())
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON data, which `from_dict` reads."""
        data = {name: getattr(self, name) for name in type(self).model_fields}
        for name, value in data.items():
            if isinstance(value, Settings):
                data[name] = value.to_dict()
        data["filters"] = [one.to_dict() for one in self.filters]
        return data

    def keywords(self) -> dict[str, Any]:
        """Return all settings as keywords of `LDMModule.sample`, but for batch size and device."""
        flat = {
            keyword: getattr(getattr(self, group), field)
            for keyword, (group, field) in _keywords().items()
            if keyword not in ("batch_size", "device")
        }
        names = ("start", "elements", "filters", *_PLAIN)
        return flat | {name: getattr(self, name) for name in names}

    def uses_training_set(self) -> bool:
        """Whether the crystals depend on those that the model was trained on."""
        return bool(
            self.elements.about_training_set
            or self.start.uses_training_set
            or any(one.uses_training_set for one in self.filters)
        )

    def fitted(
        self, ldm: LDMModule, request: CrystalBatch | None, asked: Collection[str]
    ) -> tuple[Self, list[str]]:
        """Return the settings without what a preset brings and a request or model cannot have.

        Args:
            ldm: the model.
            request: what is asked for.
            asked: the keywords that were given; the rest is the preset's.

        Returns:
            The settings, and a sentence for each thing that was left out.

        Raises:
            RequestError: for what cannot be had and was asked for by keyword.
        """
        values: dict[str, Any] = {}
        notes: list[str] = []

        def without(keyword: str, error: RequestError) -> None:
            if keyword in asked:
                raise error
            notes.append(f"{error} The preset '{self.preset}' goes on without it.")

        try:
            self.start.check(ldm)
        except RequestError as error:
            without("start", error)
            values["start"] = Noise()
        kept = []
        for one in self.filters:
            try:
                one.check(ldm)
                kept.append(one)
            except RequestError as error:
                without("filters", error)
        asked_group = request is not None and SPACE_GROUP in request.conditions
        if asked_group and "filters" not in asked and SPACE_GROUP in ldm.conditions:
            kept.append(HasSpaceGroup())  # a space group that is asked for is met
        values["filters"] = tuple(kept)
        used = self.elements.about_training_set
        refusal = _not_drawn(ldm, request, self.start, used)
        if used and refusal is not None:
            if "elements" in asked:
                raise refusal
            values["elements"] = self.elements.changed(
                new_formula=False, max_distance_to_known=None
            )
        return self.changed(**values), notes


_PLAIN = ("preset", "attempts", "seed", "offset", "trajectory")


def _keywords() -> dict[str, tuple[str, str]]:
    """Return group and field of each keyword of a flat group."""
    return {one.path: (name, one.field) for name, group in _FLAT.items() for one in group.options()}


def _groups(keywords: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    places, groups = _keywords(), dict[str, dict[str, Any]]()
    for name, value in keywords.items():
        if name in places:
            group, field = places[name]
            groups.setdefault(group, {})[field] = value
    return groups


def _elements(value: Any, before: Elements) -> Elements:
    if isinstance(value, Elements):
        return value
    if isinstance(value, Mapping):
        return Elements.from_mapping({**before.to_dict(), **value})
    raise RequestError(f"elements must be Elements(...), not {short(value)}.")


def _filters(value: Any, before: tuple[Filter, ...]) -> tuple[Filter, ...]:
    if isinstance(value, Mapping) and "name" not in value:
        kept = {one.kind: one for one in before}
        for name, fields in value.items():
            kind = Filter.of(name)
            if fields is None or fields is False:
                kept.pop(name, None)
            else:
                kept[name] = kind.make({name: fields})
        return tuple(kept.values())
    if isinstance(value, Filter | str | Mapping | type):
        value = [value]
    if not isinstance(plain_number(value), Iterable):
        raise RequestError(f"filters must be a list of filters, not {short(value)}.")
    return tuple(Filter.make(one) for one in value)


def _not_drawn(
    ldm: LDMModule, request: CrystalBatch | None, start: Start, fields: list[str]
) -> RequestError | None:
    """Return why no elements are drawn that settings could be about; None if they are."""
    if not start.draws_elements:
        why = "the elements of crystals that are given are not drawn anew"
    elif request is not None and not bool(((request.atomic_numbers == 0) & request.mask).any()):
        why = f"{', '.join(request.formulas[:3])} leaves no atom open; write `?` for those that may"
    elif ldm.composition_model is None:
        why = "this model has no composition model: its elements are read off the latents"
    elif ldm.training_crystals.empty:
        why = (
            "this model has no training crystals with it (its file is older than that, or it was "
            "not trained)"
        )
    else:
        return None
    names = ", ".join(f"elements.{name}" for name in fields)
    return RequestError(f"{names} cannot be had here: {why}. Leave it out.")


def options() -> Iterator[Option]:
    """Yield every setting of sampling as forms, command lines and tables need it.

    The fields of solver, guidance and compute bear the names of `LDMModule.sample`'s keywords;
    those of starts, elements and filters have the keyword before a dot.
    """
    plain = {one.field: one for one in SamplingSettings.options()}
    yield plain["preset"]
    yield from Solver.options()
    yield from Guidance.options()
    yield plain["start"]
    yield from Start.family_options("start")
    yield from Elements.options("elements.")
    yield plain["filters"]
    yield from Filter.family_options("filters")
    yield from (plain[name] for name in ("attempts", "seed", "trajectory"))
    yield from Compute.options()


def keyword_call(settings: SamplingSettings) -> dict[str, Any]:
    """Return the keywords of `LDMModule.sample` that say what a preset does not say itself."""
    base = SamplingSettings.make({"preset": settings.preset})
    keywords: dict[str, Any] = {}
    if settings.preset != DEFAULT_PRESET:
        keywords["preset"] = settings.preset
    for keyword, (group, field) in _keywords().items():
        value = getattr(getattr(settings, group), field)
        if value != getattr(getattr(base, group), field):
            keywords[keyword] = plain_number(value)
    for name in ("start", "elements", "filters", *_PLAIN[1:]):
        if getattr(settings, name) != getattr(base, name):
            keywords[name] = getattr(settings, name)
    return keywords
