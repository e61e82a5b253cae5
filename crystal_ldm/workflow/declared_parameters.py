"""Which parameters a notebook permits: those of its parameters cell, and the settings of sampling.

Each option of the one schema of sampling is a parameter of a notebook that has `preset`. One that
belongs to a group has the group's name before it: `elements.temperature` is the parameter
`elements_temperature`, `filters.min_distance.limit` is `filters_min_distance_limit`.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_ldm.errors import RequestError, RunError, suggest
from crystal_ldm.workflow.notebooks import read_notebook
from crystal_ldm.workflow.parameters import as_flag, as_integer, as_number, as_text, as_value

if TYPE_CHECKING:  # the settings of sampling take seconds to load
    from crystal_ldm.sampling import Option

INJECTED = "# Parameters"
"""papermill's first line of the cell that it adds."""

_KINDS = {"str": "text", "int": "whole number", "float": "number", "bool": "flag"}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a notebook.

    Attributes:
        name: of the variable.
        kind: `text`, `whole number`, `number` or `flag`; `value` where several are possible.
        default: as Python source.
        help: the comment on its line.
        choices: the texts that it may be; empty: any.
    """

    name: str
    kind: str
    default: str = "None"
    help: str = ""
    choices: tuple[str, ...] = ()


def notebook_parameters(path: Path | str) -> list[Parameter]:
    """Return the parameters of a notebook, in the order of its cell with the tag `parameters`.

    The type is the annotation's (`scale: float | dict = 2.0`), else the default's.

    Raises:
        RunError: the notebook cannot be read or has no such cell.
    """
    for cell in read_notebook(path)["cells"]:
        if "parameters" in cell.get("metadata", {}).get("tags", ()):
            try:
                return read_parameters("".join(cell["source"]))
            except (SyntaxError, tokenize.TokenError) as error:
                raise RunError(
                    f"The parameters cell of '{path}' is not Python: {error}."
                ) from error
    raise RunError(f"'{path}' has no cell with the tag 'parameters'.")


def permitted_parameters(path: Path | str, wanted: Iterable[str] | None = None) -> list[Parameter]:
    """Return a notebook's parameters and, if one is `preset`, every other setting of sampling.

    Args:
        wanted: names; if the notebook's own cell has them all, the settings of sampling, which take
            seconds to load, are left out.

    Raises:
        RunError: the notebook cannot be read or has no such cell.
    """
    own = notebook_parameters(path)
    names = {parameter.name for parameter in own}
    if "preset" not in names or (wanted is not None and names.issuperset(wanted)):
        return own
    settings = {parameter.name: parameter for parameter in sampling_parameters()}
    # A parameter that is None says nothing of its type; the schema does.
    own = [replace(one, kind=settings[one.name].kind, choices=settings[one.name].choices)
           if one.name in settings else one for one in own]  # fmt: skip
    return [*own, *(one for name, one in settings.items() if name not in names)]


def read_parameters(source: str) -> list[Parameter]:
    """Return the parameters that the source of a cell assigns, the last one of each name."""
    body = ast.parse(source).body
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    parameters: dict[str, Parameter] = {}
    for statement in body:
        text = comments.get(statement.end_lineno or 0, "")
        value = getattr(statement, "value", None)
        default = "" if value is None else ast.unparse(value)
        annotation = getattr(statement, "annotation", None)
        literal = type(getattr(value, "value", None)).__name__
        kind = _KINDS.get(ast.unparse(annotation) if annotation else literal, "value")
        for name in _assigned(statement):
            parameters[name] = Parameter(name, kind, default, text)
    return list(parameters.values())


def injected_names(namespace: Mapping[str, Any]) -> list[str]:
    """Return the names of the parameters that papermill gave a notebook with these `globals()`."""
    cells = [str(cell) for cell in namespace.get("In", ()) if str(cell).startswith(INJECTED)]
    return [n for cell in cells for part in ast.parse(cell).body for n in _assigned(part)]


def check_parameters(
    wanted: Iterable[str], permitted: Iterable[str], who: str = "The notebook"
) -> None:
    """Refuse a parameter that the notebook does not have; papermill itself only warns.

    Raises:
        RequestError: with the name that was probably meant.
    """
    names = list(permitted)
    for name in wanted:
        if name not in names:
            raise RequestError(
                f"{who} has no parameter '{name}'.{suggest(name, names)} "
                f"It has: {', '.join(names)}."
            )


@cache
def sampling_parameters() -> dict[Parameter, Option]:
    """Return the parameter of each option of sampling, in the schema's order."""
    from crystal_ldm.sampling import options

    return {_parameter(one): one for one in options()}


def sampling_keywords(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords of `LDMModule.sample` that a notebook's variables stand for.

    Args:
        namespace: the notebook's `globals()`, of which the names of sampling's parameters are
            taken; None and empty text count as not given.

    Raises:
        RequestError: for a value that cannot be read or that its setting does not take, or a group
            that is given both as a whole and by its parts.
    """
    from crystal_ldm.sampling import SamplingSettings

    values: dict[str, Any] = {}
    read = {"number": as_number, "whole number": as_integer, "flag": as_flag, "text": as_text}
    for parameter, one in sampling_parameters().items():
        value = namespace.get(parameter.name)
        if value is None or value == "":
            continue
        value = read.get(parameter.kind, as_value)(value, parameter.name)
        keyword, _, inner = one.path.partition(".")
        if inner and keyword in values:
            raise RequestError(f"Give {keyword} or {parameter.name}, not both.")
        if inner or value is not None:
            values[one.path] = tuple(value) if isinstance(value, list) and not inner else value
    keywords = keywords_of(values)
    if any(path.startswith("start.") for path in values):
        keywords["start"] = _start(keywords["start"], keywords)
    SamplingSettings.make(keywords)
    return keywords


def keywords_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return keywords of `LDMModule.sample` for options of sampling by path; all else is left out,
    and the order is the schema's."""
    from crystal_ldm.sampling import options

    keywords: dict[str, Any] = {}
    for path in (one.path for one in options() if one.path in values):
        *parents, last = path.split(".")
        place = keywords
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = values[path]
    return keywords


def _assigned(statement: ast.stmt) -> list[str]:
    """Return the plain names that a statement assigns to."""
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    targets = [statement.target] if isinstance(statement, ast.AnnAssign) else targets
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _parameter(one: Option) -> Parameter:
    kind = {"whole": "whole number", "data": "value"}.get(one.type, one.type)
    kind = "value" if one.optional else kind
    unit = f" ({one.unit})" if one.unit else ""
    bounds = "" if one.low is None or one.high is None else f", {one.low:g} to {one.high:g}"
    text = f"{one.help}{bounds}{unit}"
    # Defaults are those of the preset, which is the only one that has its own here.
    default = repr(one.default) if one.path == "preset" else ""
    return Parameter(one.path.replace(".", "_"), kind, default, text, one.choices)


def _start(kinds: Mapping[str, Any], keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Return the one start that is meant, with what is not given as the preset has it."""
    from crystal_ldm.sampling import SamplingSettings

    kinds = {kind: fields for kind, fields in kinds.items() if fields is not False}
    if len(kinds) != 1:
        names = ", ".join(f"start_{kind}" for kind in kinds) or "none"
        raise RequestError(f"The denoising has one start, and {names} are given: keep one of them.")
    ((kind, fields),) = kinds.items()
    base = SamplingSettings.make({"preset": keywords.get("preset")}).start
    before = base.to_dict() if base.kind == kind else {}
    return {**before, "name": kind, **(fields if isinstance(fields, dict) else {})}
