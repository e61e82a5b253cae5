"""`crystal-ldm run NOTEBOOK`: a notebook's parameters as options with types and help."""

from __future__ import annotations

import sys
from typing import Any

import click

from crystal_ldm.errors import CrystalLDMError
from crystal_ldm.workflow.declared import Parameter, notebook_parameters, permitted_parameters
from crystal_ldm.workflow.notebooks import find_notebook, notebook_names

# A `value` may be a number, a list or a mapping; like text it goes to the notebook as it is
# typed, which reads it: what is meant as text is never taken for a number.
_TYPES: dict[str, click.ParamType] = {
    "text": click.STRING,
    "value": click.STRING,
    "whole number": click.INT,
    "number": click.FLOAT,
}


class NotebookCommands(click.Group):
    """A command for each notebook, made from its parameters cell."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names of the notebooks that have parameters."""
        return [name for name in notebook_names() if _has_parameters(name)]

    def get_command(self, context: click.Context, name: str) -> click.Command:
        """Return the command that executes a notebook."""
        path = find_notebook(name)
        options = [_option(parameter) for parameter in notebook_parameters(path)]
        return _NotebookCommand(
            name,
            params=[*options],
            callback=lambda **given: _run(name, given),
            help=f"Execute {path}.",
            short_help=_heading(path),
        )


class _NotebookCommand(click.Command):
    """A command that loads what else a notebook permits only for its help, or if it is used."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        known = {name for option in self.params for name in (*option.opts, *option.secondary_opts)}
        words = {word.partition("=")[0] for word in args if word.startswith("--")}
        if not words <= known or "-h" in args:
            parameters = permitted_parameters(find_notebook(self.name or ""))
            self.params = [_option(parameter) for parameter in parameters]
        return super().parse_args(context, args)


def _has_parameters(name: str) -> bool:
    try:
        return bool(notebook_parameters(find_notebook(name)))
    except CrystalLDMError:
        return False


def _option(parameter: Parameter) -> click.Option:
    option = f"--{parameter.name.replace('_', '-')}"
    text = parameter.help
    if parameter.default not in ("", "''", "None"):
        text += f" [default: {parameter.default}]"
    if parameter.kind == "flag":
        names = [f"{option}/--no-{option[2:]}", parameter.name]
        return click.Option(names, default=None, help=text, show_default=False)
    kind: click.ParamType = _TYPES[parameter.kind]
    metavar: str | None = parameter.kind.split()[-1].upper()
    if parameter.choices:
        kind, metavar = click.Choice(parameter.choices), None
    return click.Option(
        [option, parameter.name], type=kind, metavar=metavar, help=text, show_default=False
    )


def _run(name: str, given: dict[str, Any]) -> None:
    from crystal_ldm.workflow.execution import log_outputs, run_once

    log_outputs()
    notebook, message = run_once(name, {k: v for k, v in given.items() if v is not None})
    if message:
        print(f"{message}\nThe notebook with the error: {notebook}", file=sys.stderr)
        sys.exit(1)
    print(f"notebook and report: {notebook.parent}")


def _heading(path: Any) -> str:
    from crystal_ldm.workflow.notebooks import read_notebook

    first = "".join(read_notebook(path)["cells"][0].get("source", "")).splitlines()
    return first[0].lstrip("# ") if first else ""
