"""Objects from configurations: every key and type is checked against the class before it is built.

A mapping with `_target_` names the class, by a name in `TARGETS` and nothing else; the other keys
are its arguments. A mapping without `_target_`, where the argument's annotation is a dataclass, is
that dataclass. Values are checked by pydantic against the annotations of ordinary classes.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import types
import typing
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import InstanceOf, StrictBool, StrictStr, TypeAdapter, ValidationError

from crystal_ldm.config.numbers import Number, Whole, describe_type, literals, short
from crystal_ldm.errors import ConfigError, suggest

TARGETS: dict[str, str] = {
    "VAEModule": "crystal_ldm.vae_module.VAEModule",
    "Encoder": "crystal_ldm.vae_module.Encoder",
    "Decoder": "crystal_ldm.vae_module.Decoder",
    "Optimizer": "crystal_ldm.nn.optimizer.Optimizer",
    "LDMModule": "crystal_ldm.ldm_module.LDMModule",
    "DiT": "crystal_ldm.ldm_module.denoisers.DiT",
    "GaussianDiffusion": "crystal_ldm.ldm_module.diffusion.GaussianDiffusion",
    "Composition": "crystal_ldm.ldm_module.condition.Composition",
    "ScalarCondition": "crystal_ldm.ldm_module.condition.ScalarCondition",
    "SpaceGroupCondition": "crystal_ldm.ldm_module.condition.SpaceGroupCondition",
    "CategoryCondition": "crystal_ldm.ldm_module.condition.CategoryCondition",
    "CompositionModel": "crystal_ldm.ldm_module.composition_model.CompositionModel",
    "ElementSetCondition": "crystal_ldm.ldm_module.condition.ElementSetCondition",
}
"""The only classes that `_target_` may name: short name -> where it is."""


def instantiate(config: Mapping[str, Any], **extra: Any) -> Any:
    """Build the object that `config` describes, with the objects nested in it.

    Args:
        config: has `_target_`.
        extra: further arguments of the outermost class, as they are.

    Raises:
        ConfigError: a class that is not listed, an unknown or missing key (with a suggestion), or
            a value of the wrong type.
    """
    return _Reader("the configuration", build=True, files={}).object(dict(config), "", extra)


def check(
    config: Any,
    where: str = "the configuration",
    schema: type | None = None,
    files: Mapping[str, str] | None = None,
) -> None:
    """Check every `_target_` in `config` (and the whole of it against `schema`), building nothing.

    Arguments that are only known at run time may be missing. `files` says where keys stand that
    are not of `where` itself.

    Raises:
        ConfigError: as `instantiate`.
    """
    reader = _Reader(where, build=False, files=files or {})
    if schema is None:
        reader.inside(config, "")
    elif isinstance(config, Mapping):
        reader.call(schema, config, "", {})
    else:
        raise ConfigError(f"{where} should be a mapping of keys to values and is {config!r:.60}.")


def target_class(name: Any, where: str = "the configuration") -> type:
    """Return the class that `_target_: name` means.

    Raises:
        ConfigError: it is not one of `TARGETS`.
    """
    listed = {**TARGETS, **{path: path for path in TARGETS.values()}}
    if not isinstance(name, str) or name not in listed:
        raise ConfigError(
            f"{where}: _target_ '{name}' is not one of the listed classes."
            f"{suggest(str(name), listed)} It may be: {', '.join(sorted(TARGETS))}."
        )
    module, _, attribute = listed[name].rpartition(".")
    return cast(type, getattr(import_module(module), attribute))


@dataclasses.dataclass(frozen=True)
class _Reader:
    """Walks through one configuration; `build` tells whether objects are made on the way."""

    where: str
    build: bool
    files: Mapping[str, str]

    def object(self, config: Mapping[str, Any], path: str, extra: Mapping[str, Any]) -> Any:
        if "_target_" not in config:
            raise ConfigError(f"{self._at(path)} needs _target_, the name of a class.")
        target = target_class(config["_target_"], self._at(path))
        arguments = {key: value for key, value in config.items() if key != "_target_"}
        return self.call(target, arguments, path, extra)

    def call(
        self,
        target: type,
        arguments: Mapping[str, Any],
        path: str,
        extra: Mapping[str, Any],
    ) -> Any:
        """Check the arguments of a class and build its object."""
        parameters = inspect.signature(target).parameters
        annotations = typing.get_type_hints(cast(Any, target).__init__, include_extras=True)
        values: dict[str, Any] = {}
        for key, value in arguments.items():
            inner = f"{path}.{key}" if path else str(key)
            if key not in parameters:
                options = ", ".join(parameters) or "none"
                raise ConfigError(
                    f"{self._at(inner)}: {target.__name__} has no such key."
                    f"{suggest(str(key), parameters)} Its keys: {options}."
                )
            annotation = annotations.get(key, Any)
            kind = dataclass_of(annotation)
            if kind is not None and isinstance(value, dict) and "_target_" not in value:
                value = self.call(kind, value, inner, {})
            values[key] = checked(self.inside(value, inner), annotation, self._at(inner))
        values.update(extra)
        if not self.build:
            return object.__new__(target)  # of the right class, and nothing more
        missing = [n for n, p in parameters.items() if p.default is p.empty and n not in values]
        if missing:
            raise ConfigError(f"{self._at(path)}: {target.__name__} needs {', '.join(missing)}.")
        return target(**values)

    def inside(self, value: Any, path: str) -> Any:
        """Return `value` with each mapping in it that has `_target_` as the object it means."""
        if isinstance(value, dict):
            if "_target_" in value:
                return self.object(value, path, {})
            items = value.items()
            return {k: self.inside(v, f"{path}.{k}" if path else str(k)) for k, v in items}
        if isinstance(value, list):
            return [self.inside(item, f"{path}[{i}]") for i, item in enumerate(value)]
        return value

    def _at(self, path: str) -> str:
        where = self.files.get(path.partition("[")[0], self.where)
        return f"{where}: '{path}'" if path else self.where


_SCALARS = {int: Whole, float: Number, str: StrictStr, bool: StrictBool}
_CONTAINERS: dict[Any, Any] = {
    list: list, collections.abc.Sequence: list, tuple: tuple,
    dict: dict, collections.abc.Mapping: dict,
}  # fmt: skip


def checked(value: Any, annotation: Any, where: str) -> Any:
    """Return `value` as `annotation` wants it; 1e6 is a whole number, as YAML reads it.

    Raises:
        ConfigError: it is something else.
    """
    try:
        return _adapter(annotation).validate_python(value)
    except ValidationError:
        is_plain = isinstance(value, str | int | float | list | tuple | dict | type(None))
        shown = short(value) if is_plain else type(value).__name__
        hint = suggest(value, literals(annotation)) if isinstance(value, str) else ""
        wanted = describe_type(annotation)
        raise ConfigError(f"{where} should be {wanted} and is {shown}.{hint}") from None


def check_fields(instance: Any, where: str) -> None:
    """Check the values of a dataclass against its annotations; 1e6 becomes a whole number.

    Raises:
        ConfigError: naming the first wrong one as a key of `where`.
    """
    for name, annotation in typing.get_type_hints(type(instance), include_extras=True).items():
        value = checked(getattr(instance, name), annotation, f"{where}.{name}")
        object.__setattr__(instance, name, value)


def dataclass_of(annotation: Any) -> Any:
    """Return the dataclass that an annotation allows, or None."""
    options = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    return next((o for o in options if inspect.isclass(o) and dataclasses.is_dataclass(o)), None)


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
    if origin is Annotated:
        return Annotated[(_for_pydantic(inner[0]), *inner[1:])]
    if annotation is None or kind in (Any, type(None), Path, typing.Literal):
        return annotation
    parts = tuple(p if p is ... else _for_pydantic(p) for p in inner)
    if _is_union(annotation):
        return typing.Union[parts]  # noqa: UP007
    if kind in _CONTAINERS:
        return _CONTAINERS[kind][parts] if parts else _CONTAINERS[kind]
    return Annotated[kind, InstanceOf()] if inspect.isclass(kind) else Any
