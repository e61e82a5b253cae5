"""Values checked by pydantic against the annotations of ordinary classes."""

from __future__ import annotations

import builtins
import collections.abc
import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from pydantic import InstanceOf, StrictBool, StrictStr, TypeAdapter, ValidationError

from crystal_ldm.config.numbers import Number, Whole, short
from crystal_ldm.errors import suggest

_SCALARS = {int: Whole, float: Number, str: StrictStr, bool: StrictBool}
_LISTS = (list, collections.abc.Sequence, collections.abc.Iterable)
_WORDS = {
    "string_type": "text",
    "bool_type": "true or false",
    "none_required": "null",
    "dict_type": "a mapping of keys to values",
    "path_type": "text",
}


class Mismatch(Exception):
    """A value is not what an annotation allows; `place` is where in it ("[1]", ".depth")."""

    def __init__(self, place: str, wanted: str, value: Any, hint: str = "") -> None:
        is_plain = isinstance(value, str | int | float | list | tuple | dict | type(None))
        shown = short(value) if is_plain else type(value).__name__
        super().__init__(f"should be {wanted} and is {shown}.{hint}")
        self.place = place


def checked(value: Any, annotation: Any) -> Any:
    """Return `value` as `annotation` wants it; 1e6 is a whole number, as YAML reads it.

    Raises:
        Mismatch: it is something else.
    """
    try:
        return _adapter(annotation).validate_python(value)
    except ValidationError as error:
        raise _mismatch(value, error) from None


def annotations_of(target: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of a class's arguments, as far as they can be told."""
    function = target.__init__ if inspect.isclass(target) else target
    function = inspect.unwrap(function)
    names = _Names({**getattr(function, "__globals__", {})})
    if inspect.isclass(target):  # a dataclass's __init__ is made elsewhere
        names |= vars(import_module(target.__module__))
    try:
        return typing.get_type_hints(function, None, names, include_extras=True)
    except TypeError:  # `Unknown[int]` of a name for type checkers only
        return {}


def dataclass_of(annotation: Any) -> Any:
    """Return the dataclass that an annotation allows, or None."""
    options = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    return next((o for o in options if inspect.isclass(o) and dataclasses.is_dataclass(o)), None)


class _Names(dict[str, Any]):
    """Names for annotations; one that exists for type checkers only means anything at all."""

    def __missing__(self, name: str) -> Any:
        return getattr(builtins, name, Any)


@lru_cache(maxsize=512)
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(_for_pydantic(annotation))


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _for_pydantic(annotation: Any) -> Any:
    """Return an annotation with every number as a number, and classes not looked into."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    kind: Any = origin or annotation
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    if annotation is None or kind in (Any, type(None), Path, typing.Literal):
        return annotation
    if origin is Annotated:
        return _for_pydantic(inner[0])
    if _is_union(annotation):
        return typing.Union[tuple(map(_for_pydantic, inner))]  # noqa: UP007
    if kind in _LISTS:
        return list[_for_pydantic(inner[0])] if inner else list  # type: ignore[misc]
    if kind in (set, frozenset):
        return kind[_for_pydantic(inner[0])] if inner else kind
    if kind is tuple:
        parts = tuple(p if p is ... else _for_pydantic(p) for p in inner)
        return tuple[parts] if parts else tuple  # type: ignore[valid-type]
    if kind in (dict, collections.abc.Mapping):
        return dict[tuple(map(_for_pydantic, inner))] if inner else dict  # type: ignore[misc]
    if inspect.isclass(kind) and not getattr(kind, "_is_protocol", False):
        return Annotated[kind, InstanceOf()]
    return Any


def _mismatch(value: Any, error: ValidationError) -> Mismatch:
    """Return the error that lies deepest in the value; of several there, what any of them wants."""
    found = []
    for each in error.errors():
        place, part, steps = "", value, 0
        for step in each["loc"]:  # other items name the branch of a union
            if isinstance(part, list | tuple) and isinstance(step, int) and step < len(part):
                place, part, steps = f"{place}[{step}]", part[step], steps + 1
            elif isinstance(part, dict) and step in part:
                place, part, steps = f"{place}.{step}", part[step], steps + 1
        found.append((steps, place, part, each))
    deepest = max(steps for steps, *_ in found)
    _, place, part, _ = next(entry for entry in found if entry[0] == deepest)
    same = [each for steps, where, _, each in found if steps == deepest and where == place]
    wanted = " or ".join(dict.fromkeys(_wanted(each) for each in same))
    choices = [c for each in same for c in re.findall(r"'([^']*)'", _context(each, "expected"))]
    hint = suggest(part, choices) if isinstance(part, str) else ""
    return Mismatch(place, wanted, part, hint)


def _context(error: Any, key: str) -> Any:
    return error.get("ctx", {}).get(key, "")


def _wanted(error: Any) -> str:
    kind = error["type"]
    if kind == "number":
        return str(error["msg"])
    if kind == "literal_error":
        return f"one of {str(_context(error, 'expected')).replace(' or ', ', ')}"
    if kind == "is_instance_of":
        return f"a {_context(error, 'class')}"
    if kind in ("too_long", "too_short"):
        return f"a list of {_context(error, 'max_length') or _context(error, 'min_length')}"
    if kind == "missing":  # an item of a list of a certain length
        return "a longer list"
    return _WORDS.get(kind, "a list")
