"""`crystal-ldm`: notebooks, sweeps, requests, recipes, JupyterLab, models, data from a shell."""

from __future__ import annotations

import os
import sys
from difflib import get_close_matches
from functools import partial
from typing import Any

import click

from crystal_ldm import __version__
from crystal_ldm.errors import CrystalLDMError
from crystal_ldm.files.run_directory import CIFS, RECIPE, TABLE
from crystal_ldm.workflow.declared_parameters import (
    Parameter,
    notebook_parameters,
    permitted_parameters,
)
from crystal_ldm.workflow.notebooks import find_notebook, notebook_names, read_notebook
from crystal_ldm.workflow.report import heading

# All else, a list or a mapping too, goes to the notebook as it is typed, which reads it: what is
# meant as text is never taken for a number.
_TYPES: dict[str, click.ParamType] = {"whole number": click.INT, "number": click.FLOAT}


class NotebookCommands(click.Group):
    """A command for each notebook, made from its parameters cell."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names of the notebooks that have parameters."""
        return [name for name in notebook_names() if _has_parameters(name)]

    def get_command(self, context: click.Context, name: str) -> click.Command:
        """Return the command that executes a notebook."""
        path = find_notebook(name)
        title = heading(read_notebook(path))
        return _NotebookCommand(
            name,
            params=[_option(parameter) for parameter in notebook_parameters(path)],
            callback=lambda **values: _run(name, values),
            help=f"{title or name}: execute {path}.",
            short_help=title,
        )


class _NotebookCommand(click.Command):
    """A command that loads what else a notebook permits only for its help, or if it is used:
    sampling's settings need PyTorch, which takes seconds."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        known = {name for option in self.params for name in (*option.opts, *option.secondary_opts)}
        words = {word.partition("=")[0] for word in args if word.startswith("--")}
        if not words <= known or "-h" in args:
            permitted = permitted_parameters(find_notebook(self.name or ""))
            self.params = [_option(parameter) for parameter in permitted]
        try:
            return super().parse_args(context, args)
        except click.NoSuchOption as error:
            word, names = error.option_name, [name for one in self.params for name in one.opts]
            if "--conditions" in names and not get_close_matches(word, names, cutoff=0.75):
                condition = word.lstrip("-").replace("-", "_")
                hint = f"A condition of the model goes into --conditions '{{{condition}: ...}}'."
                raise click.NoSuchOption(word, f"{error.message} {hint}", ctx=context) from None
            raise


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
    kind = _TYPES.get(parameter.kind, click.STRING)
    metavar: str | None = parameter.kind.split()[-1].upper()
    if parameter.choices:
        kind, metavar = click.Choice(parameter.choices), None
    names = [option, parameter.name]
    return click.Option(names, type=kind, metavar=metavar, help=text, show_default=False)


def _run(name: str, values: dict[str, Any]) -> None:
    from crystal_ldm.workflow.execution import log_outputs, run_once

    log_outputs()
    notebook, message = run_once(name, {k: v for k, v in values.items() if v is not None})
    if message:
        print(f"{message}\nThe notebook with the error: {notebook}", file=sys.stderr)
        sys.exit(1)
    print(f"notebook and report: {notebook.parent}")


_WORDS = {"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 100}


class _OneSentence(click.Group):
    """A group whose commands end with one sentence where a user can help, not a traceback."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except CrystalLDMError as error:
            print(error, file=sys.stderr)
            context.exit(1)
        except KeyboardInterrupt:
            print("stopped; run it again to continue", file=sys.stderr)
            context.exit(130)


@click.group(cls=_OneSentence, context_settings=_WORDS)
@click.version_option(__version__, prog_name="crystal-ldm")
def main() -> None:
    """Crystals from a latent diffusion model, conditioned on composition and properties."""


def _file(context: click.Context, parameter: click.Parameter, path: str) -> str:
    """Return the path of a file to read: of the current folder, else of the clone."""
    from crystal_ldm.files import resolve_path

    return path if os.path.exists(path) else str(resolve_path(path))


@main.group(
    cls=NotebookCommands,
    name="run",
    short_help="Execute a notebook, such as 04_sample.",
    subcommand_metavar="NOTEBOOK [PARAMETERS]...",
)
def run() -> None:
    """Execute a notebook: `crystal-ldm run 04_sample --formula InF --num-samples 16`.

    Each notebook has its parameters as options: `crystal-ldm run 04_sample --help`. The path of
    a notebook of your own is as good as a name.
    """


@main.command()
@click.argument("file", callback=_file)
@click.option("--workers", type=click.IntRange(1), help="Jobs at a time, instead of the file's.")
@click.option("--dry-run", is_flag=True, help="List the jobs and run none.")
def sweep(file: str, workers: int | None, dry_run: bool) -> None:
    """Run a grid or chain of notebooks, or what is left of it.

    FILE is YAML: `python -m pydoc crystal_ldm.workflow.spec` describes its keys.
    """
    from crystal_ldm.workflow.spec import read_sweep
    from crystal_ldm.workflow.sweep import run_sweep, sweep_failed

    if dry_run:
        for job in read_sweep(file).jobs:
            print(job.name, *(f"(needs {name})" for name in job.needs[-1:]))
        return
    error = sweep_failed(run_sweep(file, workers=workers, progress=partial(print, flush=True)))
    if error is not None:
        raise error


@main.command()
@click.argument("request", callback=_file)
@click.option("--workers", type=click.IntRange(1), help="Processes, or workers of a cluster.")
def sample(request: str, workers: int | None) -> None:
    """Make one large request with several workers.

    REQUEST is YAML: `python -m pydoc crystal_ldm.runs.request_file` describes its keys.
    """
    from crystal_ldm.runs.request_file import run_request

    print(run_request(request, workers=workers))


@main.command()
@click.argument("file", callback=_file)
@click.option(
    "--run-dir", default="", show_default=False, help="Where they go. [default: new, under runs/]"
)
def again(file: str, run_dir: str) -> None:
    """Make the crystals of a recipe again.

    FILE is the recipe.json of a run, or a CIF of it, for that crystal alone. A relative path is
    taken from the root of the clone, FILE from the current folder if it is there.
    """
    from crystal_ldm.runs.generate import generate_again

    print(generate_again(file, run_dir).path)


@main.command(
    context_settings={"ignore_unknown_options": True},
    options_metavar="",
    short_help="Open JupyterLab at notebook 04_sample.",
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[FOLDER] [OPTIONS]")
def lab(words: tuple[str, ...]) -> None:
    """Open JupyterLab at notebook 04_sample, with FOLDER as the root of its file browser.

    FOLDER is the clone by default, without a clone the current folder. Where it has no notebooks
    they are copied there; existing files stay as they are. OPTIONS are JupyterLab's, such as
    --port 9999 or --no-browser.
    """
    from crystal_ldm.workflow.notebooks import open_lab

    folder = "" if not words or words[0].startswith("-") else words[0]
    sys.exit(open_lab(folder, list(words[1:] if folder else words)))


@main.command()
def models() -> None:
    """List the models that come with the package."""
    from crystal_ldm.pretrained import DEFAULT, available, model_file

    for name in available():
        file = model_file(name)
        note = " (default)" if name == DEFAULT else ""
        print(f"{name}{note}: {file.stat().st_size / 2**20:.0f} MiB, {file.with_suffix('.md')}")


@main.command()
def data() -> None:
    """List the data sets that are known by name."""
    from crystal_ldm.data.oqmd import DESCRIPTION, LICENCE
    from crystal_ldm.data.registry import CSV_DATASETS

    print(f"oqmd_icsd: {DESCRIPTION}. {LICENCE}. Fetched at first use.")
    for name, (about, _) in CSV_DATASETS.items():
        print(f"{name}: {about.description}. {about.licence}. Its files: --data-dir.")
    print("Your own: the path of a folder, csv, extxyz, ASE database or json.gz list.")


@main.command()
@click.argument("run_dir")
def show(run_dir: str) -> None:
    """Say what a run directory holds."""
    from crystal_ldm.files import is_at_work, read_run, read_status, resolve_path

    path = resolve_path(run_dir)
    run, status = read_run(path), read_status(path)
    state = f"{status.get('state', 'unknown')} {status.get('message', '')}".rstrip()
    if status.get("state") == "running" and not is_at_work(path):
        state = "stopped by force; the same call goes on there"
    print(f"{run['notebook']}: {state}")
    cifs = len(list((path / CIFS).glob("[!.]*.cif")))
    if cifs:
        print(f"  crystals {path / CIFS} ({cifs} CIF files)")
    notebook, report = (f"{run['notebook']}.{ending}" for ending in ("ipynb", "html"))
    files = {"table": TABLE, "recipe": RECIPE, "notebook": notebook, "report": report}
    for name, file in files.items():
        if (path / file).exists():
            print(f"  {name:9}{path / file}")
