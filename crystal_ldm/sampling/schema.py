"""The one schema of sampling's settings: what each field is, its bounds, unit and help, once.

A group of settings is a `Settings` subclass whose fields are made by `option`. Checks and their
sentences, the form, notebooks' parameters, the command line's help, the code that the form shows
and the table in the documentation are all derived from `settings.options()`.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from crystal_ldm.config.numbers import Whole, plain_number, sentence, short
from crystal_ldm.errors import RequestError, suggest

Level = Literal["basic", "advanced"]
MOST = 10_000_000
"""Crystals that are asked for at a time."""
_COUNT: TypeAdapter[int] = TypeAdapter(Annotated[Whole, Field(ge=1, le=MOST)])


def option(
    default: Any,
    help: str,
    *,
    unit: str = "",
    level: Level = "advanced",
    low: float | None = None,
    high: float | None = None,
    keyword: str = "",
    choices: tuple[str, ...] = (),
) -> Any:
    """Return a field of a `Settings` class.

    Args:
        default: its value where nobody gives one.
        help: one line.
        unit: of a number; empty where it has none.
        level: `basic` fields are always in view, `advanced` ones on demand.
        low, high: bounds of a number, both included.
        keyword: argument of `LDMModule.sample`; empty: the field's own name.
        choices: names that are allowed, where there are few.
    """
    extra: dict[str, Any] = {"unit": unit, "level": level, "choices": list(choices)}
    return Field(
        default, title=keyword or None, description=help, ge=low, le=high, json_schema_extra=extra
    )


@dataclass(frozen=True)
class Option:
    """A field as forms, command lines and tables need it.

    Attributes:
        path: its name from outside: the keyword of `LDMModule.sample`, with dots inside a group
            (`sampling_steps`, `elements.temperature`, `filters.min_distance.limit`).
        group: the class of settings that has it.
        field: its name there.
        type: `number`, `whole`, `flag`, `text`, or `data` for what is made of several values.
        default: None where it has to be given.
        low, high: bounds, both included; None: no bound.
        unit, help, level, choices: see `option`.
        optional: whether None is a value.
    """

    path: str
    group: type[Settings]
    field: str
    type: str
    default: Any
    low: float | None
    high: float | None
    unit: str
    help: str
    level: str
    choices: tuple[str, ...]
    optional: bool

    @property
    def keyword(self) -> str:
        """The argument of `LDMModule.sample` that it belongs to."""
        return self.path.split(".")[0]


class Settings(BaseModel):
    """A group of settings: frozen, and every value checked when it is made.

    Raises:
        RequestError: for an unknown name, or a value of another kind or out of bounds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def __init__(self, *values: Any, **named: Any) -> None:
        names = list(type(self).model_fields)
        by_place = dict(zip(names, values, strict=False))
        if len(values) > len(names) or by_place.keys() & named.keys():
            raise RequestError(
                f"{type(self).__name__} takes {', '.join(names) or 'nothing'}, each once."
            )
        try:
            super().__init__(**by_place, **named)
        except ValidationError as error:
            raise RequestError(sentence(type(self), error)) from None

    @field_validator("*", mode="before")
    @classmethod
    def _of_python(cls, value: Any, info: ValidationInfo) -> Any:
        """Take numbers and truth values of numpy and torch, any list where a tuple is meant, and
        the fields of a group of settings."""
        annotation: Any = cls.model_fields[str(info.field_name)].annotation
        is_group = isinstance(annotation, type) and issubclass(annotation, Settings)
        if is_group and isinstance(value, Mapping):
            return annotation.from_mapping(value)
        kinds = (annotation, *typing.get_args(annotation))
        if any(typing.get_origin(kind) is tuple for kind in kinds):
            value = value.tolist() if hasattr(value, "tolist") else value
            if isinstance(value, Iterable) and not isinstance(value, str | Mapping | Set):
                return tuple(value)
        return plain_number(value)

    @field_validator("*")
    @classmethod
    def _among_choices(cls, value: Any, info: ValidationInfo) -> Any:
        field = next(one for one in cls.options() if one.field == info.field_name)
        if field.choices and value not in field.choices:
            raise ValueError(
                f"{field.path} must be one of {', '.join(field.choices)}, not {short(value)}."
                f"{suggest(value, field.choices)}"
            )
        return value

    @classmethod
    def from_mapping(cls, fields: Mapping[Any, Any]) -> Self:
        """Return the settings with these fields."""
        return cls(**{str(name): value for name, value in fields.items()})

    @classmethod
    def options(cls, prefix: str = "") -> Iterator[Option]:
        """Yield what each field is; `prefix` stands before the names inside a nested group."""
        for name, field in cls.model_fields.items():
            extra = dict(field.json_schema_extra or {})  # type: ignore[arg-type]
            bounds = {type(m).__name__: m for m in field.metadata}
            low, high = bounds.get("Ge"), bounds.get("Le")
            own = prefix + name if prefix else field.title or name
            yield Option(
                path=own,
                group=cls,
                field=name,
                type=kind_of(field),
                default=None if field.default is PydanticUndefined else field.default,
                low=getattr(low, "ge", None),
                high=getattr(high, "le", None),
                unit=str(extra.get("unit", "")),
                help=field.description or "",
                level=str(extra.get("level", "advanced")),
                choices=tuple(extra.get("choices", ())),  # type: ignore[arg-type]
                optional=type(None) in typing.get_args(field.annotation),
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON data."""
        return self.model_dump(mode="json")

    def changed(self, **values: Any) -> Self:
        """Return the settings with some values exchanged, checked as new ones are."""
        return type(self)(**{n: getattr(self, n) for n in type(self).model_fields} | values)


def whole_number(name: str, value: Any) -> int:
    """Return an argument that is a whole number from 1 to 10 million.

    Raises:
        RequestError: it is none.
    """
    try:
        return _COUNT.validate_python(value)
    except ValidationError:
        raise RequestError(
            f"{name} must be a whole number from 1 to {MOST}, not {short(value)}."
        ) from None


def kind_of(field: FieldInfo) -> str:
    """Return in a word what a field takes; see `Option`."""
    kinds = {float: "number", int: "whole", bool: "flag", str: "text", type(None): "none"}
    annotation = field.annotation
    parts = (
        typing.get_args(annotation)
        if typing.get_origin(annotation) in (typing.Union, types.UnionType)
        else (annotation,)
    )
    names = {kinds.get(part, "data") for part in parts} - {"none"}
    return names.pop() if len(names) == 1 else "data"
