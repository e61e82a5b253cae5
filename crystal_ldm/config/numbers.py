"""Numbers and sentences of checked settings: what counts as a number, and what an error says.

`Number` and `Whole` are annotations for pydantic models, the ones below them for classes that a
configuration builds. A number of numpy, pandas or torch counts
as one everywhere; True, text and what is not finite do not. `sentence` says in the words of this
project what pydantic found wrong.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, ValidationError
from pydantic_core import PydanticCustomError

from crystal_ldm.errors import no_such, suggest


def plain_number(value: Any) -> Any:
    """Return a single number of numpy, pandas or torch as Python's own, and all else as it is."""
    if isinstance(value, bool | int | float | str) or not hasattr(value, "item"):
        return value
    return value.item() if getattr(value, "ndim", 0) == 0 else value


def _number(value: Any) -> float:
    plain = plain_number(value)
    if isinstance(plain, bool) or not isinstance(plain, int | float) or not math.isfinite(plain):
        raise PydanticCustomError("number", "a number")
    return float(plain)


def _whole(value: Any) -> int:
    plain = plain_number(value)
    if isinstance(plain, float) and plain.is_integer():
        plain = int(plain)  # YAML reads 1e6 as a float, pandas a column with a gap
    if isinstance(plain, bool) or not isinstance(plain, int):
        raise PydanticCustomError("number", "a whole number")
    return plain


Number = Annotated[float, BeforeValidator(_number)]
"""A finite number; bounds by `Field(ge=, gt=, le=, lt=)`."""
Whole = Annotated[int, BeforeValidator(_whole)]
"""A whole number; 2.0 is one."""
Count = Annotated[int, Field(ge=1)]
"""How many there are of something that there has to be."""
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
"""A part that is not the whole."""
Probability = Annotated[float, Field(ge=0, le=1)]


def sentence(model: type[BaseModel], error: ValidationError, noun: str = "field") -> str:
    """Return in one sentence what is wrong with the first wrong value of a pydantic model.

    Args:
        noun: what a reader calls the model's fields: "key", "threshold".
    """
    first = error.errors()[0]
    names = [field.alias or name for name, field in model.model_fields.items()]
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        group = f"{model.__name__}: " if noun == "field" else ""
        return f"{group}{no_such(noun, name, names)}"
    if first["type"] == "missing":
        return f"The {noun} '{name}' is missing."
    if first["type"] in ("value_error", "assertion_error"):
        return str(first["ctx"]["error"])
    field = model.model_fields[name]
    extra: Any = field.json_schema_extra or {}
    wanted = describe_type(field.annotation, field.metadata, extra.get("unit", ""))
    value = first["input"]
    hint = suggest(value, literals(field.annotation)) if isinstance(value, str) else ""
    return f"{field.title or name} must be {wanted}, not {short(value)}.{hint}"


def describe_type(annotation: Any, metadata: Sequence[Any] = (), unit: str = "") -> str:
    """Return in words what an annotation allows, e.g. "a whole number from 1 to 100 or None"."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return describe_type(inner[0], [*inner[1:], *metadata], unit)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(describe_type(part, metadata, unit) for part in inner))
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, inner))}" if len(inner) > 1 else repr(*inner)
    if origin in (tuple, list, Sequence) and inner:
        length = f" of {len(inner)}" if origin is tuple and ... not in inner else ""
        return f"a list{length}, each item {describe_type(inner[0], metadata, unit)}"
    words = {
        float: "a number",
        int: "a whole number",
        bool: "true or false",
        str: "text",
        Path: "text",
        dict: "a mapping",
        Mapping: "a mapping",
        list: "a list",
        type(None): "None",
    }
    word = words.get(origin or annotation)
    if word is None:
        name = str(getattr(annotation, "__name__", annotation))
        return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"
    if annotation not in (float, int):
        return word
    return f"{word}{_bounds(metadata)}{' ' if unit else ''}{unit}"


def short(value: Any) -> str:
    """Return a value for a sentence: its text in one line, cut after 60 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def _bounds(metadata: Sequence[Any]) -> str:
    limits: dict[str, Any] = {}
    each = [part for item in metadata for part in getattr(item, "metadata", [item])]  # of a Field
    for item in each:  # annotated_types' Ge, Gt, Le, Lt and Interval
        limits |= {k: getattr(item, k) for k in ("ge", "gt", "le", "lt") if hasattr(item, k)}
    if "ge" in limits and "le" in limits:
        return f" from {limits['ge']} to {limits['le']}"
    words = {"ge": "of at least", "gt": "above", "le": "of at most", "lt": "below"}
    parts = [f"{words[key]} {value}" for key, value in limits.items() if value is not None]
    return f" {' and '.join(parts)}" if parts else ""


def literals(annotation: Any) -> list[str]:
    """Return the texts of each Literal in an annotation."""
    inner = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return [text for text in inner if isinstance(text, str)]
    return [text for part in inner for text in literals(part)]
