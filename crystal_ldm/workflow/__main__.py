"""`python -m crystal_ldm.workflow`: sweeps, large requests, reports, notebooks without outputs."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from crystal_ldm.errors import CrystalLDMError
from crystal_ldm.files import read_run, read_status, resolve_path
from crystal_ldm.files.atomic import atomic_path
from crystal_ldm.workflow.html import export_html
from crystal_ldm.workflow.notebooks import strip, unstripped
from crystal_ldm.workflow.spec import read_sweep
from crystal_ldm.workflow.sweep import run_sweep, sweep_failed

COMMANDS = ("run", "sample", "report", "show", "strip", "stripped")


def main(words: list[str]) -> int:
    """Run one command; returns the exit code."""
    parser = _parser()
    if words and words[0] not in COMMANDS and not words[0].startswith("-"):
        words = ["run", *words]
    given = parser.parse_args(words)
    try:
        return int(given.command(given))
    except CrystalLDMError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; run it again to continue", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m crystal_ldm.workflow", description=__doc__)
    commands = parser.add_subparsers(required=True)

    run = commands.add_parser(
        "run", help="run a sweep, or what is left of it ('run' may be left out)"
    )
    run.add_argument("sweep", help="YAML file, described in crystal_ldm.workflow.spec")
    run.add_argument("--workers", type=int, help="jobs at a time")
    run.add_argument("--dry-run", action="store_true", help="list the jobs and run none")
    run.set_defaults(command=_run)

    sample = commands.add_parser("sample", help="make one large request with several workers")
    sample.add_argument("request", help="YAML file, see crystal_ldm.runs.split.request_file")
    sample.add_argument("--workers", type=int, help="processes, or workers of a Dask cluster")
    sample.set_defaults(command=_sample)

    report = commands.add_parser("report", help="put an executed notebook and its HTML into a run")
    report.add_argument("notebook", type=Path)
    report.add_argument("run_dir", type=Path)
    report.add_argument("--name", default="", help="of the files; default: the notebook's")
    report.set_defaults(command=_report)

    show = commands.add_parser("show", help="say what a run directory holds")
    show.add_argument("run_dir")
    show.set_defaults(command=_show)

    for name, command, text in (
        ("strip", _strip, "take the outputs out of the notebooks in a folder"),
        ("stripped", _stripped, "fail if a notebook in a folder has outputs"),
    ):
        one = commands.add_parser(name, help=text)
        one.add_argument("folder", type=Path)
        one.set_defaults(command=command)
    return parser


def _run(given: argparse.Namespace) -> int:
    if given.dry_run:
        for job in read_sweep(given.sweep).jobs:
            print(job.name, *(f"(needs {name})" for name in job.needs[-1:]))
        return 0
    result = run_sweep(given.sweep, workers=given.workers, progress=_print)
    error = sweep_failed(result)
    if error is not None:
        print(error, file=sys.stderr)
    return 0 if error is None else 1


def _sample(given: argparse.Namespace) -> int:
    from crystal_ldm.runs.split.request_file import run_request

    print(run_request(given.request, workers=given.workers))
    return 0


def _report(given: argparse.Namespace) -> int:
    copy = given.run_dir / f"{given.name or given.notebook.stem}.ipynb"
    with atomic_path(copy) as part:
        shutil.copyfile(given.notebook, part)
    export_html(copy, copy.with_suffix(".html"))
    return 0


def _show(given: argparse.Namespace) -> int:
    path = resolve_path(given.run_dir)
    run, status = read_run(path), read_status(path)
    print(
        f"{run['notebook']}: {status.get('state', 'unknown')} {status.get('message', '')}".rstrip()
    )
    cifs = len(list(path.glob("cif/[!.]*.cif")))
    lines = {
        "crystals": f"{path / 'cif'} ({cifs} CIF files)" if cifs else "",
        "table": path / "table.csv",
        "recipe": path / "recipe.json",
        "notebook": path / f"{run['notebook']}.ipynb",
        "report": path / f"{run['notebook']}.html",
    }
    for name, value in lines.items():
        if (isinstance(value, Path) and value.exists()) or (isinstance(value, str) and value):
            print(f"  {name:9}{value}")
    return 0


def _strip(given: argparse.Namespace) -> int:
    for path in strip(given.folder):
        print(f"stripped {path}")
    return 0


def _stripped(given: argparse.Namespace) -> int:
    found = list(unstripped(given.folder))
    for path in found:
        print(
            f"{path} has outputs or metadata: python -m crystal_ldm.workflow strip {given.folder}",
            file=sys.stderr,
        )
    return 1 if found else 0


def _print(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
