"""A request for many crystals as a YAML file, for `crystal-ldm sample`.

```yaml
run_dir: runs/large              # optional; default: runs/ and the name of this file
ldm_ckpt: ""                     # optional, as in notebook 04_sample; default: the shipped model
formula: [SrTiO3, BaTiO3]        # or num_atoms: [5, 10], or neither: de novo
formula_units: 1                 # optional; default: as the preset says
conditions: {band_gap: 2.0}      # optional; a list of two numbers is a range
required: []                     # optional, for open atoms; so are allowed and forbidden
num_samples: 50000               # crystals for each row
sampling: {cfg_scale: 2.0, seed: 0}   # optional, see `LDMModule.sample`
symprec: 0.1                     # optional, as in notebook 04_sample; so is p1_cif
workers: 8                       # optional; default: one for each core
piece_size: 256                  # optional: crystals that a worker makes at a time
dask: {cluster: local}           # optional engine, see `crystal_ldm.parallel.cluster`
```
A request that was stopped goes on when it is run again.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from pydantic import Field

from crystal_ldm.config.numbers import Number, Whole
from crystal_ldm.config.yaml_data import FileKeys, read_yaml
from crystal_ldm.errors import ConfigError
from crystal_ldm.parallel import Workers
from crystal_ldm.parallel.cluster import dask_client
from crystal_ldm.runs.generate import make_request
from crystal_ldm.runs.split_request import sample_in_parallel

_Elements = str | list[Any] | None


class RequestFile(FileKeys):
    """What a request file says; see the module's first lines."""

    num_samples: Whole
    run_dir: str | None = None
    ldm_ckpt: str = ""
    formula: str | list[Any] = ""
    formula_units: Whole | str | list[Any] | dict[Any, Any] | None = None
    num_atoms: Whole | list[Any] | None = None
    conditions: dict[str, Any] = Field({})
    required: _Elements = None
    allowed: _Elements = None
    forbidden: _Elements = None
    sampling: dict[str, Any] = Field({})
    symprec: Number = 0.1
    p1_cif: bool = False
    workers: Whole | None = Field(None, ge=1)
    piece_size: Whole | None = None
    dask: dict[str, Any] | None = None


_REQUEST = {
    "formula", "formula_units", "num_atoms", "conditions", "required", "allowed", "forbidden",
}  # fmt: skip
_OPTIONS = {"ldm_ckpt", "symprec", "p1_cif", "piece_size"}


def run_request(
    source: Path | str | dict[str, Any],
    *,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Make the crystals that a YAML file (or a mapping with its keys) asks for.

    Args:
        source: see the module's first lines.
        workers: instead of the file's own number.
        progress: whether to print a line for each piece.

    Returns:
        The run directory.

    Raises:
        ConfigError: an unknown key, a wrong type, or a cluster that cannot be used.
        FormulaError, RequestError: for what cannot be read or made.
        RunError: see `crystal_ldm.runs.split_request.sample_in_parallel`.
    """
    content: Any
    if isinstance(source, dict):
        content, where, stem = source, "the request", "request"
    else:
        content, where, stem = read_yaml(source), f"'{source}'", Path(source).stem
    if not isinstance(content, dict):
        raise ConfigError(f"{where} should be a mapping with the key 'num_samples'.")
    file = RequestFile.read(content, where)
    number = workers if workers is not None else file.workers
    asked = file.model_dump(include=_REQUEST, exclude_unset=True)
    targets = file.conditions.items()
    asked["conditions"] = {n: tuple(v) if isinstance(v, list) else v for n, v in targets}
    request = make_request(**asked, sampling=file.sampling)
    with dask_client(file.dask, number or 1) if file.dask else nullcontext() as client:
        return sample_in_parallel(
            request,
            file.num_samples,
            f"runs/{stem}" if file.run_dir is None else file.run_dir,
            workers=Workers(number, client=client),
            progress=progress,
            **file.model_dump(include=_OPTIONS, exclude_unset=True),
            **file.sampling,
        )
