"""Notebooks as jobs: one, a chain, or a grid of parameters, from Python or the shell.

```
crystal-ldm run 04_sample --formula InF       # one notebook
crystal-ldm sweep sweep.yaml                  # a grid of notebooks
crystal-ldm sample request.yaml               # many crystals by several workers
```
The keys of `sweep.yaml` are described in `crystal_ldm.workflow.spec`, those of `request.yaml` in
`crystal_ldm.runs.request_file`. What scales out to a cluster:

| work | how |
|---|---|
| a grid of notebooks | key `dask` of the sweep, or `run_sweep(..., client=client)` |
| one large request | `sample_in_parallel(..., workers=Workers(client=client))` |
| its evaluation | `crystal_ldm.evaluate.evaluate(run_dir, ..., workers=Workers(client=client))` |
| training | Lightning: `crystal_ldm.training.fit(..., devices=4, num_nodes=2, strategy="ddp")` |

A client is that of a running scheduler or comes from `crystal_ldm.parallel.cluster.dask_client`.
Names are resolved on first use: a notebook that only reads its parameters loads nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crystal_ldm.runs.split_request import sample_in_parallel as sample_in_parallel
    from crystal_ldm.workflow.declared_parameters import sampling_keywords as sampling_keywords
    from crystal_ldm.workflow.kernel import start_notebook as start_notebook
    from crystal_ldm.workflow.report import save_report as save_report
    from crystal_ldm.workflow.spec import read_sweep as read_sweep
    from crystal_ldm.workflow.sweep import run_notebook as run_notebook
    from crystal_ldm.workflow.sweep import run_sweep as run_sweep

_HOMES = {
    "read_sweep": "workflow.spec",
    "run_notebook": "workflow.sweep",
    "run_sweep": "workflow.sweep",
    "sample_in_parallel": "runs.split_request",
    "sampling_keywords": "workflow.declared_parameters",
    "save_report": "workflow.report",
    "start_notebook": "workflow.kernel",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"crystal_ldm.{_HOMES[name]}"), name)
