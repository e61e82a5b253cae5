"""Every setting of sampling as an argument of a command line, from the schema."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import yaml

from crystal_ldm.sampling.schema import Option
from crystal_ldm.sampling.settings import options

LEFT_OUT = ("filters", "start")
"""What is made of several values; each of those has an argument of its own."""


def add_arguments(parser: Any) -> None:
    """Add an argument for each setting to an `argparse` parser or group.

    `--sampling-steps 10`, `--elements.temperature 0.5`, `--start.prototype.strength 0.3`,
    `--filters.not_in_training`. What is not given stays out of the result.
    """
    for one in options():
        if one.path in LEFT_OUT:
            continue
        unit = f", {one.unit}" if one.unit else ""
        default = "" if one.default is None else f" (default: {one.default})"
        name = "--" + one.path.replace("_", "-")
        more: dict[str, Any] = {"dest": one.path, "default": argparse.SUPPRESS}
        if one.type == "flag":
            more |= {"nargs": "?", "const": True, "type": yaml.safe_load, "metavar": "true|false"}
        else:
            more |= {"type": str if one.type == "text" else _value, "metavar": _metavar(one)}
        parser.add_argument(name, help=f"{one.help}{unit}{default}".replace("%", "%%"), **more)


def keywords_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return keywords of `LDMModule.sample` for settings by path; all else is left out."""
    keywords: dict[str, Any] = {}
    for path in (one.path for one in options() if one.path in values):
        *parents, last = path.split(".")
        place = keywords
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = values[path]
    return keywords


def _value(text: str) -> Any:
    value = yaml.safe_load(text)
    return tuple(value) if isinstance(value, list) else value


def _metavar(one: Option) -> str:
    if one.choices:
        return "{" + ",".join(one.choices) + "}"
    return {"number": "NUMBER", "whole": "WHOLE", "text": "NAME"}.get(one.type, "YAML")
