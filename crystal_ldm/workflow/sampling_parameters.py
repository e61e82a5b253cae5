"""The settings of sampling as parameters of a notebook: each option of the one schema is one.

An option that belongs to a group has the group's name before it: `elements.temperature` is the
parameter `elements_temperature`, `filters.min_distance.limit` is `filters_min_distance_limit`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from crystal_ldm.errors import RequestError
from crystal_ldm.sampling import Option, SamplingSettings, options
from crystal_ldm.workflow import parameters as given
from crystal_ldm.workflow.declared import Parameter

_KINDS = {"whole": "whole number", "data": "value"}
_READ = {
    "number": given.as_number,
    "whole number": given.as_integer,
    "flag": given.as_flag,
    "text": given.as_text,
    "value": given.as_value,
}


@cache
def sampling_parameters() -> dict[Parameter, Option]:
    """Return the parameter of each option of sampling, in the schema's order."""
    return {_parameter(one): one for one in options()}


def sampling_keywords(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords of `LDMModule.sample` that a notebook's variables stand for.

    Args:
        namespace: the notebook's `globals()`, of which the names of sampling's parameters are
            taken; None and empty text count as not given.

    Raises:
        RequestError: for a value that cannot be read, an unknown preset, or a group that is given
            both as a whole and by its parts.
    """
    keywords: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {}
    for parameter, one in sampling_parameters().items():
        value = namespace.get(parameter.name)
        if value is None or value == "":
            continue
        value = _READ[parameter.kind](value, parameter.name)
        keyword, _, inner = one.path.partition(".")
        if inner:
            parts.setdefault(keyword, {})[inner] = value
        elif value is not None:
            keywords[keyword] = tuple(value) if isinstance(value, list) else value
    for keyword, values in parts.items():
        if keyword in keywords:
            first = f"{keyword}.{next(iter(values))}".replace(".", "_")
            raise RequestError(f"Give {keyword} or {first}, not both.")
    preset = {"preset": keywords["preset"]} if "preset" in keywords else {}
    if "elements" in parts:
        keywords["elements"] = parts["elements"]
    if "start" in parts:
        keywords["start"] = _start(parts["start"], SamplingSettings.make(preset))
    if "filters" in parts:
        keywords["filters"] = _filters(parts["filters"], SamplingSettings.make(preset))
    return keywords


def _parameter(one: Option) -> Parameter:
    kind = "value" if one.optional else _KINDS.get(one.type, one.type)
    unit = f" ({one.unit})" if one.unit else ""
    bounds = "" if one.low is None or one.high is None else f", {one.low:g} to {one.high:g}"
    text = f"{one.help}{bounds}{unit}"
    # Defaults are those of the preset, which is the only one that has its own here.
    default = repr(one.default) if one.path == "preset" else ""
    return Parameter(one.path.replace(".", "_"), kind, default, text, one.choices)


def _by_kind(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `kind.field: value` as `kind: {field: value}`; `kind: flag` stays."""
    kinds: dict[str, Any] = {}
    for path, value in values.items():
        kind, _, field = path.partition(".")
        if field:
            kinds.setdefault(kind, {})[field] = value
        else:
            kinds[kind] = value
    return kinds


def _start(values: Mapping[str, Any], base: SamplingSettings) -> dict[str, Any]:
    kinds = {kind: fields for kind, fields in _by_kind(values).items() if fields is not False}
    if len(kinds) != 1:
        names = ", ".join(f"start_{kind}" for kind in kinds) or "none"
        raise RequestError(f"The denoising has one start, and {names} are given: keep one of them.")
    ((kind, fields),) = kinds.items()
    before = base.start.to_dict() if base.start.kind == kind else {}
    return {**before, "name": kind, **(fields if isinstance(fields, dict) else {})}


def _filters(values: Mapping[str, Any], base: SamplingSettings) -> dict[str, Any]:
    """Return what the preset's filters are changed by: a kind's fields, or whether it is one."""
    before = {one.kind: {n: v for n, v in one.to_dict().items() if n != "name"}
              for one in base.filters}  # fmt: skip
    kinds = _by_kind(values).items()
    return {
        kind: before.get(kind, {}) | fields if isinstance(fields, dict) else fields
        for kind, fields in kinds
    }
