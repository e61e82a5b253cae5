"""How to sample: a preset, six ideas, and what is given by keyword on top."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Self

from pydantic import field_validator

from crystal_ldm.config.numbers import Whole, plain_number, short
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.symmetry.space_groups import SPACE_GROUP
from crystal_ldm.errors import RequestError, suggest
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.sampling.compute import Compute
from crystal_ldm.sampling.elements import Elements
from crystal_ldm.sampling.filters import Filter, HasSpaceGroup
from crystal_ldm.sampling.guidance import Guidance
from crystal_ldm.sampling.presets import DEFAULT_PRESET, get_preset, presets
from crystal_ldm.sampling.schema import Option, Settings, option
from crystal_ldm.sampling.solver import Solver
from crystal_ldm.sampling.starts import Noise, Start

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
        names = [*_keywords(), *_OWN]
        for name in keywords:
            if name not in names:
                raise RequestError(
                    f"Sampling has no setting '{name}'.{suggest(name, names)} "
                    f"The settings are {', '.join(names)}."
                )
        preset = get_preset(keywords.get("preset", DEFAULT_PRESET))
        base = cls.from_dict({"preset": preset.name, **preset.settings})
        values: dict[str, Any] = {n: keywords[n] for n in _OWN if n in keywords}
        for name, group in _FLAT.items():
            fields = {o.field: keywords[o.path] for o in group.options() if o.path in keywords}
            values[name] = getattr(base, name).changed(**fields)
        if isinstance(values.get("elements"), Mapping):
            values["elements"] = Elements.from_mapping(
                {**base.elements.to_dict(), **values["elements"]}
            )
        if isinstance(values.get("filters"), Mapping) and "name" not in values["filters"]:
            values["filters"] = _changed_filters(base.filters, values["filters"])
        return base.changed(**values)

    @field_validator("start", mode="before")
    @classmethod
    def _start(cls, value: Any) -> Start:
        return Start.make(value)

    @field_validator("filters", mode="before")
    @classmethod
    def _filters(cls, value: Any) -> tuple[Filter, ...]:
        if isinstance(value, Filter | str | Mapping):
            value = [value]
        if not isinstance(plain_number(value), Iterable):
            raise ValueError(f"filters must be a list of filters, not {short(value)}.")
        return tuple(Filter.make(one) for one in value)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the settings that `to_dict` describes; what is missing has its default, but
        `elements` without `charge_balanced` are of a recipe that is older than that.

        Raises:
            RequestError: for an unknown name, or a value that is none.
        """
        values = dict(data)
        if isinstance(values.get("elements"), Mapping):  # stored before charges were in balance
            values["elements"] = {"charge_balanced": False, **values["elements"]}
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON data, which `from_dict` reads."""
        filters = [one.to_dict() for one in self.filters]
        return {**super().to_dict(), "start": self.start.to_dict(), "filters": filters}

    def keywords(self) -> dict[str, Any]:
        """Return all settings as keywords of `LDMModule.sample`, but for batch size and device."""
        flat = {
            keyword: getattr(getattr(self, group), field)
            for keyword, (group, field) in _keywords().items()
            if keyword not in ("batch_size", "device")
        }
        return flat | {name: getattr(self, name) for name in _OWN}

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
        about_training_set = self.elements.about_training_set
        if about_training_set and not self._draws_elements(ldm, request):
            if "elements" in asked:
                names = ", ".join(f"elements.{name}" for name in about_training_set)
                raise RequestError(
                    f"{names} cannot be had here: leave it out. It is for atoms that a request "
                    "leaves open (`?`), and for models that have a composition model and their "
                    "training crystals."
                )
            values["elements"] = self.elements.changed(
                new_formula=False, max_distance_to_known=None
            )
        return self.changed(**values), notes

    def _draws_elements(self, ldm: LDMModule, request: CrystalBatch | None) -> bool:
        """Whether a composition model draws elements, as the training set may have them."""
        if ldm.composition_model is None or ldm.training_crystals.empty:
            return False
        is_open = request is None or bool(((request.atomic_numbers == 0) & request.mask).any())
        return is_open and self.start.draws_elements


_OWN = ("preset", "start", "elements", "filters", "attempts", "seed", "offset", "trajectory")
"""Fields that are keywords themselves."""


def _keywords() -> dict[str, tuple[str, str]]:
    """Return group and field of each keyword of a flat group."""
    return {one.path: (name, one.field) for name, group in _FLAT.items() for one in group.options()}


def _changed_filters(before: tuple[Filter, ...], changes: Mapping[Any, Any]) -> list[Filter]:
    """Return filters of which some are changed, added or left out, by name; see `make`."""
    kept = {one.kind: one for one in before}
    for name, fields in changes.items():
        kind = Filter.of(name)
        if fields is None or fields is False:
            kept.pop(name, None)
        else:
            kept[name] = kind.make({name: fields})
    return list(kept.values())


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
    for name in _OWN[1:]:
        if getattr(settings, name) != getattr(base, name):
            keywords[name] = getattr(settings, name)
    return keywords
