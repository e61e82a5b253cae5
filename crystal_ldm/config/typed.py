"""Objects from configurations: every key and type is checked against the class before it is built.

A mapping with `_target_` names the class, by a name in `TARGETS` and nothing else; the other keys
are its arguments. A mapping without `_target_`, where the argument's annotation is a dataclass, is
that dataclass.
"""

from __future__ import annotations

import builtins
import collections.abc
import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

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
    "CategoryCondition": "crystal_ldm.ldm_module.condition.CategoryCondition",
    "CompositionPrior": "crystal_ldm.ldm_module.composition_model.CompositionPrior",
    "ElementSetCondition": "crystal_ldm.ldm_module.condition.ElementSetCondition",
}
"""The only classes that `_target_` may name: short name -> where it is."""

_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_SEQUENCES = (list, set, frozenset, collections.abc.Sequence, collections.abc.Iterable)
_MAPPINGS = (dict, collections.abc.Mapping)
_EMPTY = inspect.Parameter.empty


def instantiate(config: Mapping[str, Any], where: str = "the configuration", **extra: Any) -> Any:
    """Build the object that `config` describes, with the objects nested in it.

    Args:
        config: has `_target_`.
        where: named in errors.
        extra: further arguments of the outermost class, as they are.

    Raises:
        ConfigError: a class that is not listed, an unknown or missing key (with a suggestion), or
            a value of the wrong type.
    """
    return _Reader(where, build=True).object(dict(config), "", extra)


def check(config: Any, where: str = "the configuration", schema: type | None = None) -> None:
    """Check every `_target_` in `config` (and the whole of it against `schema`), building nothing.

    Arguments that are only known at run time may be missing.

    Raises:
        ConfigError: as `instantiate`.
    """
    _Reader(where, build=False).value(config, schema if schema is not None else Any, "")


def target_class(name: Any, where: str = "the configuration") -> Callable[..., Any]:
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
    found: Callable[..., Any] = getattr(import_module(module), attribute)
    return found


class _Reader:
    """Walks through one configuration; `build` tells whether objects are made on the way."""

    def __init__(self, where: str, build: bool) -> None:
        self.where = where
        self.build = build

    def object(self, config: dict[str, Any], path: str, extra: Mapping[str, Any]) -> Any:
        if "_target_" not in config:
            raise ConfigError(f"{self._at(path)} needs _target_, the name of a class.")
        target = target_class(config["_target_"], self._at(path))
        arguments = {key: value for key, value in config.items() if key != "_target_"}
        return self._call(target, arguments, path, extra)

    def _call(
        self,
        target: Callable[..., Any],
        arguments: dict[str, Any],
        path: str,
        extra: Mapping[str, Any],
    ) -> Any:
        parameters = {
            name: parameter
            for name, parameter in inspect.signature(target).parameters.items()
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY)
        }
        anything = [n for n, p in parameters.items() if p.kind is p.VAR_KEYWORD]
        for name in anything:
            del parameters[name]
        name_of = getattr(target, "__name__", "it")
        annotations = _annotations(target)
        values: dict[str, Any] = {}
        for key, value in arguments.items():
            inner = f"{path}.{key}" if path else str(key)
            if key not in parameters and not anything:
                options = ", ".join(parameters) or "none"
                raise ConfigError(
                    f"{self._at(inner)}: {name_of} has no such key."
                    f"{suggest(str(key), parameters)} Its keys: {options}."
                )
            values[key] = self.value(value, annotations.get(key, Any), inner)
        values.update(extra)
        missing = [n for n, p in parameters.items() if p.default is _EMPTY and n not in values]
        if not self.build:
            return _Described(target)
        if missing:
            raise ConfigError(f"{self._at(path)}: {name_of} needs {', '.join(missing)}.")
        return target(**values)

    def value(self, value: Any, annotation: Any, path: str) -> Any:
        """Return `value` as `annotation` wants it.

        Raises:
            ConfigError: it is something else.
        """
        if isinstance(value, dict) and "_target_" in value:
            made = self.object(value, path, {})
            self._expect(made, annotation, path)
            return made
        origin = typing.get_origin(annotation)
        if annotation is Any or annotation is _EMPTY or isinstance(annotation, typing.TypeVar):
            return self._inside(value, path)
        if annotation is None or annotation is type(None):
            return self._none(value, path)
        if origin in (typing.Union, types.UnionType):
            return self._one_of(value, typing.get_args(annotation), path)
        if origin is typing.Annotated:
            return self.value(value, typing.get_args(annotation)[0], path)
        if origin is typing.Literal:
            return self._literal(value, typing.get_args(annotation), path)
        if (origin or annotation) is tuple:
            return self._tuple(value, typing.get_args(annotation), path)
        if (origin or annotation) in _SEQUENCES:
            return self._sequence(value, annotation, path)
        if (origin or annotation) in _MAPPINGS:
            return self._mapping(value, typing.get_args(annotation), path)
        if annotation in _NAMES:
            return self._scalar(value, annotation, path)
        if annotation is Path and isinstance(value, str):
            return Path(value)
        if isinstance(value, dict) and dataclasses.is_dataclass(annotation):
            return self._call(typing.cast(Callable[..., Any], annotation), value, path, {})
        if inspect.isclass(origin or annotation):
            self._expect(value, annotation, path)
        return value

    def _at(self, path: str) -> str:
        return f"{self.where}: '{path}'" if path else self.where

    def _wrong(self, value: Any, wanted: str, path: str) -> ConfigError:
        return ConfigError(f"{self._at(path)} should be {wanted} and is {_show(value)}.")

    def _expect(self, value: Any, annotation: Any, path: str) -> None:
        """Refuse an object of another class than the annotation names (as far as it names one)."""
        wanted = _classes(annotation)
        if wanted is None or isinstance(value, wanted):
            return
        if isinstance(value, _Described):
            made = value.target
            if not inspect.isclass(made) or issubclass(made, wanted):
                return
            value = made
        raise self._wrong(value, " or ".join(f"a {kind.__name__}" for kind in wanted), path)

    def _inside(self, value: Any, path: str) -> Any:
        if isinstance(value, dict):
            return {
                k: self.value(v, Any, f"{path}.{k}" if path else str(k)) for k, v in value.items()
            }
        if isinstance(value, list):
            return [self.value(v, Any, f"{path}[{i}]") for i, v in enumerate(value)]
        return value

    def _none(self, value: Any, path: str) -> None:
        if value is not None:
            raise self._wrong(value, "null", path)

    def _one_of(self, value: Any, options: tuple[Any, ...], path: str) -> Any:
        # int before float: 3 stays a whole number where both are allowed.
        errors = []
        for option in options:
            try:
                return self.value(value, option, path)
            except ConfigError as error:
                errors.append(error)
        deepest = [e for e in errors if not str(e).startswith(f"{self._at(path)} should be")]
        if deepest:
            raise deepest[0]
        wanted = [str(e).split(" should be ", 1)[1].rsplit(" and is ", 1)[0] for e in errors]
        raise self._wrong(value, " or ".join(dict.fromkeys(wanted)), path)

    def _literal(self, value: Any, options: tuple[Any, ...], path: str) -> Any:
        for option in options:
            if type(option) is type(value) and option == value:
                return value
        wanted = f"one of {', '.join(map(repr, options))}"
        hint = suggest(str(value), map(str, options))
        raise ConfigError(f"{self._wrong(value, wanted, path)}{hint}")

    def _scalar(self, value: Any, annotation: type, path: str) -> Any:
        if isinstance(value, bool):
            if annotation is bool:
                return value
        elif annotation is float and isinstance(value, int | float):
            return float(value)
        elif annotation is int and isinstance(value, float) and value.is_integer():
            return int(value)  # YAML reads 1e6 as a float
        elif isinstance(value, annotation):
            return value
        raise self._wrong(value, _NAMES[annotation], path)

    def _sequence(self, value: Any, annotation: Any, path: str) -> Any:
        if not isinstance(value, list | tuple):
            raise self._wrong(value, "a list", path)
        inner = (typing.get_args(annotation) or (Any,))[0]
        items = [self.value(item, inner, f"{path}[{i}]") for i, item in enumerate(value)]
        kind = typing.get_origin(annotation) or annotation
        return kind(items) if kind in (set, frozenset) else items

    def _tuple(self, value: Any, inner: tuple[Any, ...], path: str) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise self._wrong(value, "a list", path)
        if not inner:
            inner = (Any, ...)
        if len(inner) == 2 and inner[1] is ...:
            inner = (inner[0],) * len(value)
        if len(inner) != len(value):
            raise self._wrong(value, f"a list of {len(inner)}", path)
        pairs = zip(value, inner, strict=True)
        return tuple(self.value(v, kind, f"{path}[{i}]") for i, (v, kind) in enumerate(pairs))

    def _mapping(self, value: Any, inner: tuple[Any, ...], path: str) -> dict[Any, Any]:
        if not isinstance(value, dict):
            raise self._wrong(value, "a mapping of keys to values", path)
        keys, values = inner or (Any, Any)
        return {
            self.value(k, keys, f"{path}.{k}"): self.value(v, values, f"{path}.{k}")
            for k, v in value.items()
        }


class _Described:
    """Stands for an object that would be built."""

    def __init__(self, target: Callable[..., Any]) -> None:
        self.target = target


class _Names(dict[str, Any]):
    """Names for annotations; one that exists for type checkers only means anything at all."""

    def __missing__(self, name: str) -> Any:
        return getattr(builtins, name, Any)


def _annotations(target: Callable[..., Any]) -> dict[str, Any]:
    function = target.__init__ if inspect.isclass(target) else target
    function = inspect.unwrap(function)
    names = _Names({**getattr(function, "__globals__", {})})
    if inspect.isclass(target):  # a dataclass's __init__ is made elsewhere
        names |= vars(import_module(target.__module__))
    try:
        return typing.get_type_hints(function, None, names, include_extras=True)
    except TypeError:  # `Unknown[int]` of a name for type checkers only
        return {}


def _classes(annotation: Any) -> tuple[type, ...] | None:
    """Return the classes that an annotation allows; None: no restriction that can be told."""
    options = (
        typing.get_args(annotation)
        if typing.get_origin(annotation) in (typing.Union, types.UnionType)
        else (annotation,)
    )
    found = []
    for option in options:
        kind = typing.get_origin(option) or option
        if kind is Any or not inspect.isclass(kind) or getattr(kind, "_is_protocol", False):
            return None
        found.append(kind)
    return tuple(found)


def _show(value: Any) -> str:
    text = value.__name__ if inspect.isclass(value) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
