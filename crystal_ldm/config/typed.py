"""Objects from configurations: every key and type is checked against the class before it is built.

A mapping with `_target_` names the class, by a name in `TARGETS` and nothing else; the other keys
are its arguments. A mapping without `_target_`, where the argument's annotation is a dataclass, is
that dataclass.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, cast

from crystal_ldm.config.annotations import Mismatch, annotations_of, checked, dataclass_of
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
    reader = _Reader(where, build=False)
    if schema is None:
        reader.inside(config, "")
    elif isinstance(config, Mapping):
        reader.call(schema, config, "", {})
    else:
        raise ConfigError(f"{where} should be a mapping of keys to values and is {config!r:.60}.")


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
    return cast(Callable[..., Any], getattr(import_module(module), attribute))


class _Reader:
    """Walks through one configuration; `build` tells whether objects are made on the way."""

    def __init__(self, where: str, build: bool) -> None:
        self.where = where
        self.build = build

    def object(self, config: Mapping[str, Any], path: str, extra: Mapping[str, Any]) -> Any:
        if "_target_" not in config:
            raise ConfigError(f"{self._at(path)} needs _target_, the name of a class.")
        target = target_class(config["_target_"], self._at(path))
        arguments = {key: value for key, value in config.items() if key != "_target_"}
        return self.call(target, arguments, path, extra)

    def call(
        self,
        target: Callable[..., Any],
        arguments: Mapping[str, Any],
        path: str,
        extra: Mapping[str, Any],
    ) -> Any:
        """Check the arguments of a class and build its object."""
        parameters = {
            name: parameter
            for name, parameter in inspect.signature(target).parameters.items()
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY)
        }
        anything = [n for n, p in parameters.items() if p.kind is p.VAR_KEYWORD]
        for name in anything:
            del parameters[name]
        name_of = getattr(target, "__name__", "it")
        annotations = annotations_of(target)
        values: dict[str, Any] = {}
        for key, value in arguments.items():
            inner = f"{path}.{key}" if path else str(key)
            if key not in parameters and not anything:
                options = ", ".join(parameters) or "none"
                raise ConfigError(
                    f"{self._at(inner)}: {name_of} has no such key."
                    f"{suggest(str(key), parameters)} Its keys: {options}."
                )
            values[key] = self._value(value, annotations.get(key, Any), inner)
        values.update(extra)
        if not self.build:
            return object.__new__(cast(type, target))  # of the right class, and nothing more
        missing = [n for n, p in parameters.items() if p.default is p.empty and n not in values]
        if missing:
            raise ConfigError(f"{self._at(path)}: {name_of} needs {', '.join(missing)}.")
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

    def _value(self, value: Any, annotation: Any, path: str) -> Any:
        """Return an argument as its annotation wants it.

        Raises:
            ConfigError: it is something else.
        """
        kind = dataclass_of(annotation)
        if kind is not None and isinstance(value, dict) and "_target_" not in value:
            value = self.call(kind, value, path, {})
        try:
            return checked(self.inside(value, path), annotation)
        except Mismatch as error:
            raise ConfigError(f"{self._at(path + error.place)} {error}") from None

    def _at(self, path: str) -> str:
        return f"{self.where}: '{path}'" if path else self.where
