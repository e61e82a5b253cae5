"""Which parameters a notebook declares: names, types, defaults and help of its parameters cell."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crystal_ldm.errors import RunError
from crystal_ldm.workflow.notebooks import read_notebook
from crystal_ldm.workflow.parameters import assigned

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


def permitted_parameters(path: Path | str) -> list[Parameter]:
    """Return a notebook's parameters and, if one is `preset`, every other setting of sampling.

    Raises:
        RunError: the notebook cannot be read or has no such cell.
    """
    own = notebook_parameters(path)
    names = parameter_names(path)
    if "preset" not in names:
        return own
    from crystal_ldm.workflow.sampling_parameters import sampling_parameters

    settings = {parameter.name: parameter for parameter in sampling_parameters()}
    # A parameter that is None says nothing of its type; the schema does.
    own = [replace(one, kind=settings[one.name].kind, choices=settings[one.name].choices)
           if one.name in settings else one for one in own]  # fmt: skip
    return [*own, *(one for name, one in settings.items() if name not in names)]


def parameter_names(path: Path | str) -> list[str]:
    """Return the names of the parameters in a notebook's cell; see `notebook_parameters`."""
    return [parameter.name for parameter in notebook_parameters(path)]


def permitted_names(path: Path | str, wanted: Iterable[str] = ()) -> list[str]:
    """Return the names in a notebook's cell, and all it permits if one of `wanted` is none of them.

    The settings of sampling take seconds to load, so they are looked at only where they matter.
    """
    own = parameter_names(path)
    if set(wanted) <= set(own):
        return own
    return [parameter.name for parameter in permitted_parameters(path)]


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
        for name in assigned(statement):
            kind = _kind(getattr(statement, "annotation", None), value)
            parameters[name.id] = Parameter(name.id, kind, default, text)
    return list(parameters.values())


def _kind(annotation: Any, default: Any) -> str:
    if annotation is not None:
        return _KINDS.get(ast.unparse(annotation), "value")
    if isinstance(default, ast.Constant):
        return _KINDS.get(type(default.value).__name__, "value")
    return "value"
