"""YAML as data that means what a person sees: `NO` is nitrogen monoxide, `1e-4` a number."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from crystal_ldm.config.numbers import sentence
from crystal_ldm.errors import ConfigError

MAX_BYTES = 2**20


class _Loader(yaml.SafeLoader):
    """YAML 1.2's few plain words; no aliases (a small file cannot grow huge), no double keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for number, key in enumerate(keys):
            if not isinstance(key, str):
                problem = f"the key {key!r} is not text: put quotes around it"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
            if key in keys[:number]:
                problem = f"the key '{key}' stands there twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|None|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan",
        "-+0123456789.",
    ),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first)
    )


def _construct_float(loader: _Loader, node: yaml.ScalarNode) -> float:
    text = str(loader.construct_scalar(node))
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))


class WrittenInt(int):
    """A whole number that knows how it was `written`: `007`."""

    written: str


class WrittenFloat(float):
    """A number that knows how it was `written`: `1.50`."""

    written: str


class _WrittenLoader(_Loader):
    """Numbers that are still there as text, for where text turns out to be meant."""


def _construct_written(loader: _Loader, node: yaml.ScalarNode) -> Any:
    kind, value = WrittenFloat, float(_construct_float(loader, node))
    if node.tag.endswith(":int"):
        kind, value = WrittenInt, int(node.value)  # type: ignore[assignment]
    number = kind(value)
    number.written = node.value
    return number


for _tag in ("int", "float"):
    _WrittenLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _construct_written)


def read_yaml(path: Path | str, written: bool = False) -> Any:
    """Return the content of a YAML file as plain data.

    Args:
        written: whether numbers keep how they were written.

    Raises:
        ConfigError: it cannot be read, is too large, is not YAML, has a key twice, an alias, or a
            number that is not finite.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ConfigError(f"'{path}' cannot be read ({error}).") from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"'{path}' is larger than {MAX_BYTES // 2**20} MiB.")
    return parse_yaml(data, f"'{path}'", written)


def parse_yaml(data: bytes | str, name: str = "the text", written: bool = False) -> Any:
    """Return YAML text as plain data; see `read_yaml`."""
    try:
        value = (_WrittenLoader if written else _Loader)(data).get_single_data()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{name} is not YAML that can be read: {reason[:300]}.") from error
    _check(value, name)
    return value


def spaced(value: str) -> str:
    """Return a mapping with a blank behind its plain keys: `{a:1}` is meant as `{a: 1}`."""
    return re.sub(r"([{,]\s*[\w-]+):(?=[^\s/])", r"\1: ", value)


def _check(value: Any, name: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{name} has a number that is not finite.")
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _check(item, name)
    elif not isinstance(value, str | int | float | type(None)):
        raise ConfigError(f"{name} has a value of type {type(value).__name__}: only plain data.")


class FileKeys(BaseModel):
    """Base of the models of files: a field for each key; what a file leaves out has a default."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @classmethod
    def read(cls, content: Mapping[str, Any], where: str) -> Self:
        """Return the checked content of a file.

        Raises:
            ConfigError: a key that there is not (with a suggestion), or one of another type or
                out of bounds.
        """
        try:
            return cls.model_validate(dict(content))
        except ValidationError as error:
            raise ConfigError(f"{where}: {sentence(cls, error, 'key')}") from None
