"""`crystal-ldm`: notebooks, sweeps, large requests, JupyterLab, models and data from a shell."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from crystal_ldm import __version__
from crystal_ldm.errors import CrystalLDMError
from crystal_ldm.files.run_contents import CIFS, RECIPE, TABLE
from crystal_ldm.workflow.run_command import NotebookCommands

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


@main.group(cls=NotebookCommands, name="run")
def run() -> None:
    """Execute a notebook: `crystal-ldm run 04_sample --formula InF --num-samples 16`.

    Each notebook has its parameters as options: `crystal-ldm run 04_sample --help`. The path of
    a notebook of your own is as good as a name.
    """


@main.command()
@click.argument("file")
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
    error = sweep_failed(run_sweep(file, workers=workers, progress=_print))
    if error is not None:
        raise error


@main.command()
@click.argument("request")
@click.option("--workers", type=click.IntRange(1), help="Processes, or workers of a cluster.")
def sample(request: str, workers: int | None) -> None:
    """Make one large request with several workers.

    REQUEST is YAML: `python -m pydoc crystal_ldm.runs.split.request_file` describes its keys.
    """
    from crystal_ldm.runs.split.request_file import run_request

    print(run_request(request, workers=workers))


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[FOLDER] [OPTIONS]")
def lab(words: tuple[str, ...]) -> None:
    """Open JupyterLab at notebook 04_sample, with FOLDER as the root of its file browser.

    FOLDER is the clone by default, without a clone the current folder. Where it has no notebooks
    they are copied there; existing files stay as they are. OPTIONS are JupyterLab's, such as
    --port 9999 or --no-browser.
    """
    from crystal_ldm.workflow.lab import open_lab

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
    for name, known in CSV_DATASETS.items():
        print(f"{name}: {known.about.description}. {known.about.licence}. Name its data_dir.")
    print("Your own: the path of a folder, csv, extxyz, ASE database or json.gz list.")


@main.command()
@click.argument("notebook", type=click.Path(exists=True, path_type=Path))
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--name", default="", help="Of the files, instead of the notebook's.")
def report(notebook: Path, run_dir: Path, name: str) -> None:
    """Put an executed NOTEBOOK and its HTML report into RUN_DIR."""
    from crystal_ldm.workflow.html import put_report

    put_report(notebook, run_dir / f"{name or notebook.stem}.ipynb")


@main.command()
@click.argument("run_dir")
def show(run_dir: str) -> None:
    """Say what a run directory holds."""
    from crystal_ldm.files import read_run, read_status, resolve_path

    path = resolve_path(run_dir)
    run, status = read_run(path), read_status(path)
    state = f"{status.get('state', 'unknown')} {status.get('message', '')}".rstrip()
    print(f"{run['notebook']}: {state}")
    cifs = len(list((path / CIFS).glob("[!.]*.cif")))
    if cifs:
        print(f"  crystals {path / CIFS} ({cifs} CIF files)")
    files = {
        "table": TABLE,
        "recipe": RECIPE,
        "notebook": f"{run['notebook']}.ipynb",
        "report": f"{run['notebook']}.html",
    }
    for name, file in files.items():
        if (path / file).exists():
            print(f"  {name:9}{path / file}")


def _print(line: str) -> None:
    print(line, flush=True)
