"""The description of a sweep, and the jobs that it means.

```yaml
run_dir: runs/gaps            # optional; default: runs/ and the name of this file
notebook: 04_sample           # one notebook ...
parameters: {formula: SrTiO3, num_samples: 16}
steps:                        # ... or, instead of the two lines above, a chain of notebooks
  - notebook: 03_ldm
    name: train               # optional; default: the notebook's name
    parameters: {experiment: perov_5/ldm_null}
  - notebook: 04_sample
    parameters: {ldm_ckpt: "${train}"}   # ${name}: that step's run directory
grid:                         # optional; every combination is one job
  cfg_scale: [1, 2, 3]        # a parameter that one step alone has, or step.parameter
  04_sample.seed: [0, 1]
workers: 2                    # jobs at a time; default 1
threads: 1                    # of each job; default: cores / workers
timeout_minutes: 60           # of each job; default: none
dask: {cluster: local}        # optional engine, see `crystal_ldm.parallel.cluster`
```

Steps that a grid does not touch, and that come before those it touches, are run once for all.
A job's directory is named by a hash of all that it depends on, so a changed grid never repeats
or overwrites a finished job.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from crystal_ldm.config.numbers import Number, Whole
from crystal_ldm.config.yaml_data import FileKeys, read_yaml
from crystal_ldm.errors import ConfigError, suggest
from crystal_ldm.files import resolve_path
from crystal_ldm.workflow.declared_parameters import (
    Parameter,
    check_parameters,
    permitted_parameters,
)
from crystal_ldm.workflow.notebooks import find_notebook

MAX_JOBS = 10_000

_REFERENCE = re.compile(r"\$\{([^}]*)\}")


class StepKeys(FileKeys):
    """What a sweep's file says of one step."""

    notebook: str
    name: str | None = None
    parameters: dict[str, Any] = Field({})


class SweepKeys(FileKeys):
    """What a sweep's file says; see the module's first lines."""

    run_dir: str | None = None
    notebook: str | None = None
    parameters: dict[str, Any] = Field({})
    steps: list[dict[str, Any]] = Field([])
    grid: dict[str, Any] = Field({})
    workers: Whole = Field(1, ge=1)
    threads: Whole | None = Field(None, ge=1)
    timeout_minutes: Number | None = Field(None, gt=0)
    dask: dict[str, Any] | None = None


@dataclass(frozen=True)
class Step:
    """One notebook of the chain."""

    name: str
    notebook: Path
    parameters: dict[str, Any]
    known: dict[str, Parameter]


@dataclass(frozen=True)
class Job:
    """One execution of a notebook.

    Attributes:
        name: of its directory.
        directory: holds the executed notebook, its report, its artefacts, log and status.
        notebook: the file to execute.
        parameters: all of them, with `run_dir`.
        needs: names of the jobs that must be finished before.
    """

    name: str
    directory: Path
    notebook: Path
    parameters: dict[str, Any]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sweep:
    """A checked description and its jobs, each after those that it needs."""

    directory: Path
    jobs: list[Job]
    keys: SweepKeys


def read_sweep(source: Path | str | dict[str, Any]) -> Sweep:
    """Read and check a sweep from a YAML file or from a mapping with the same keys.

    Raises:
        ConfigError: an unknown key (with a suggestion), a wrong type, a reference to a step that
            does not come before.
        RequestError: an unknown parameter, with a suggestion.
        RunError: there is no such notebook.
    """
    if isinstance(source, dict):
        content, where, stem = source, "the sweep", "sweep"
    else:
        content, where = read_yaml(source, written=True), f"'{source}'"
        stem = Path(source).stem
    if not isinstance(content, dict):
        raise ConfigError(f"{where} should be a mapping with the key 'notebook' or 'steps'.")
    keys = SweepKeys.read({**content, "run_dir": _as_text(content.get("run_dir"))}, where)
    steps = list(_steps(keys, where))
    grid = _grid(keys.grid, steps, where)
    directory = resolve_path(keys.run_dir or f"runs/{stem}")
    return Sweep(directory, _jobs(steps, grid, directory, where), keys)


def _steps(keys: SweepKeys, where: str) -> Iterator[Step]:
    if bool(keys.notebook) == bool(keys.steps):
        raise ConfigError(f"{where} needs either 'notebook' or 'steps'.")
    if keys.steps and "parameters" in keys.model_fields_set:
        raise ConfigError(f"{where}: with 'steps', each step has its own 'parameters'.")
    raw = keys.steps or [{"notebook": keys.notebook, "parameters": keys.parameters}]
    in_grid = [key.rpartition(".")[2] for key in keys.grid]
    names: list[str] = []
    for number, step in enumerate(raw, 1):
        place = f"{where}, step {number}"
        own = StepKeys.read(step, place)
        notebook = find_notebook(own.notebook)
        name = own.name or notebook.stem
        if not re.fullmatch(r"[\w-]+", name) or name in names:
            raise ConfigError(
                f"{place}: the name '{name}' should be letters, digits, - and _, and used once."
            )
        names.append(name)
        permitted = permitted_parameters(notebook, [*own.parameters, *in_grid])
        known = {parameter.name: parameter for parameter in permitted}
        parameters = {
            key: _meant(value, _checked_parameter(key, known, name, place))
            for key, value in own.parameters.items()
        }
        yield Step(name, notebook, parameters, known)


def _as_text(value: Any) -> Any:
    """Return a number as it was written, where text is meant; all else as it is."""
    return getattr(value, "written", value)


def _meant(value: Any, parameter: Parameter) -> Any:
    return _as_text(value) if parameter.kind == "text" else value


def _checked_parameter(key: str, known: dict[str, Parameter], step: str, where: str) -> Parameter:
    if key == "run_dir":
        raise ConfigError(f"{where}: run_dir of a job is chosen by the sweep; set the sweep's own.")
    check_parameters([key], known, f"{where}: {step}")
    return known[key]


def _grid(raw: dict[str, Any], steps: list[Step], where: str) -> list[tuple[str, str, list[Any]]]:
    """Return (step, parameter, values) of each axis."""
    axes = []
    by_name = {step.name: step for step in steps}
    for key, values in raw.items():
        name, dot, parameter = key.rpartition(".")
        if not dot:
            having = [step.name for step in steps if key in step.known] or [steps[-1].name]
            if len(having) > 1:
                raise ConfigError(
                    f"{where}: {' and '.join(having)} all have '{key}': write {having[0]}.{key}."
                )
            name = having[0]
        if name not in by_name:
            raise ConfigError(f"{where}: there is no step '{name}'.{suggest(name, by_name)}")
        one = _checked_parameter(parameter, by_name[name].known, name, f"{where}, grid")
        if not isinstance(values, list) or not values:
            raise ConfigError(f"{where}: '{key}' in the grid should be a list of values.")
        axes.append((name, parameter, [_meant(value, one) for value in values]))
    if math.prod(len(values) for _, _, values in axes) > MAX_JOBS:
        raise ConfigError(f"{where}: the grid has more than {MAX_JOBS} points.")
    return axes


def _jobs(
    steps: list[Step], grid: list[tuple[str, str, list[Any]]], directory: Path, where: str
) -> list[Job]:
    jobs: dict[str, Job] = {}
    for point in itertools.product(*(values for _, _, values in grid)):
        before: dict[str, Job] = {}
        for step in steps:
            chosen = {
                parameter: value
                for (name, parameter, _), value in zip(grid, point, strict=True)
                if name == step.name
            }
            job_of = partial(_job_of, before=before, where=f"{where}, {step.name}")
            parameters = _replaced({**step.parameters, **chosen}, job_of)
            name = _job_name(step, parameters, chosen, list(before.values()))
            job = Job(
                name=name,
                directory=directory / name,
                notebook=step.notebook,
                parameters={
                    **_replaced(parameters, lambda job: str(directory / job)),
                    "run_dir": str(directory / name),
                },
                needs=tuple(job.name for job in before.values()),
            )
            jobs[name] = before[step.name] = job
    return list(jobs.values())


def _replaced(value: Any, replace: Callable[[str], str]) -> Any:
    """Return plain data with each `${name}` in its texts as `replace(name)`."""
    if isinstance(value, dict):
        return {key: _replaced(item, replace) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, replace) for item in value]
    if isinstance(value, str):
        return _REFERENCE.sub(lambda match: replace(match[1]), value)
    return value


def _job_of(step: str, before: dict[str, Job], where: str) -> str:
    """Return `${name of the job}` of a step that comes before."""
    if step not in before:
        raise ConfigError(
            f"{where}: ${{{step}}} is not a step that comes before.{suggest(step, before)}"
        )
    return f"${{{before[step].name}}}"


def _job_name(
    step: Step, parameters: dict[str, Any], chosen: dict[str, Any], before: list[Job]
) -> str:
    """Return `step-labels-hash`; the hash covers all that the job depends on but where it lies."""
    content = [step.notebook.stem, step.name, parameters, [job.name for job in before]]
    digest = hashlib.sha256(_json(content, step.name, sort_keys=True).encode()).hexdigest()[:10]
    label = "-".join(f"{key}_{value}" for key, value in chosen.items())
    label = re.sub(r"[^\w.+-]+", "_", label, flags=re.ASCII).strip("_")[:60]
    return "-".join(part for part in (step.name, label, digest) if part)


def single_job(notebook: str, parameters: dict[str, Any], directory: Path) -> Job:
    """Return the job that executes one notebook in `directory`.

    Raises:
        ConfigError: a parameter that is not plain data.
        RequestError: an unknown parameter.
        RunError: there is no such notebook.
    """
    path = find_notebook(notebook)
    known = {parameter.name: parameter for parameter in permitted_parameters(path, parameters)}
    for key in parameters:
        _checked_parameter(key, known, path.stem, path.stem)
    plain = json.loads(_json(parameters, path.stem))
    return Job(directory.name, directory, path, {**plain, "run_dir": str(directory)})


def _json(content: Any, step: str, sort_keys: bool = False) -> str:
    try:
        return json.dumps(content, sort_keys=sort_keys, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"The parameters of {step} are not plain data ({error}).") from error
