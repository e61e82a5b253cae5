"""One large request, made in pieces by several processes: the crystals that one process makes.

```python
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.workflow import sample_in_parallel
from crystal_ldm.parallel import Workers
from crystal_ldm.parallel.cluster import dask_client

request = CrystalBatch.from_formulas(["SrTiO3", "BaTiO3"], band_gap=[2.0, None])
sample_in_parallel(request, 50_000, "runs/large", workers=8, cfg_scale=2.0)

cluster = {"cluster": "slurm", "options": {"queue": "cpu", "cores": 1, "memory": "4GB"}}
with dask_client(cluster, workers=100) as client:  # the same on a cluster
    sample_in_parallel(request, 50_000, "runs/large", workers=Workers(client=client), cfg_scale=2.0)
```
From the shell: `crystal-ldm sample request.yaml`, see
`crystal_ldm.runs.request_file`.

Workers make pieces of the request and hand the crystals back as the texts of their files; this
process alone writes them, a piece at a time, and a piece whose worker dies is made again. In the
end the files are in the order of the request: the same for any number of workers.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_ldm.errors import RequestError, RunError
from crystal_ldm.parallel import AnyWorkers, open_executor
from crystal_ldm.runs.crystal_files import CrystalText, crystal_texts
from crystal_ldm.runs.sample_run import SampleRun
from crystal_ldm.sampling.schema import whole_number

if TYPE_CHECKING:
    from crystal_ldm.crystals import CrystalBatch
    from crystal_ldm.sampling.denoising import Order

PIECE_SIZE = 128
PIECE_TIMEOUT_S = 3600.0


def sample_in_parallel(
    request: CrystalBatch | None,
    num_samples: int,
    run_dir: Path | str = "",
    *,
    ldm_ckpt: Path | str = "",
    workers: AnyWorkers = None,
    piece_size: int = PIECE_SIZE,
    symprec: float = 0.1,
    p1_cif: bool = False,
    progress: bool = True,
    **options: Any,
) -> Path:
    """Make the crystals of `LDMModule.sample` with several processes and write them to a run.

    What an earlier call, or notebook 04_sample, has finished there is not made again; a worker that
    dies costs at most the piece that it was making.

    Args:
        request: see `LDMModule.sample`; None: de novo.
        num_samples: crystals for each row of the request.
        run_dir: the run directory; empty: a new one under `runs/`.
        ldm_ckpt: the model, see `crystal_ldm.pretrained.load_model`; workers load it themselves.
        workers: see `open_executor`; workers of a Dask client must see the same directories.
        piece_size: crystals in a piece, which is made by one worker and written at once.
        symprec, p1_cif: see `SampleRun.open`.
        progress: whether to print a line for each piece.
        options: see `LDMModule.sample`, without `callback`, `wanted` and `trajectory`.

    Returns:
        The run directory, with CIFs, `table.csv` and `crystals.extxyz`.

    Raises:
        RequestError: for what the model was not trained for.
        CheckpointError: if there is no such model.
        RunError: if the directory holds another run, is in use or cannot be written, or a piece
            could not be made.
    """
    from crystal_ldm.pretrained import load_model
    from crystal_ldm.sampling.sample import place_order

    size = whole_number("piece_size", piece_size)
    if options.get("trajectory"):
        raise RequestError("A request that is split over workers keeps no trajectory.")
    writing: dict[str, Any] = {"symprec": symprec, "p1_cif": p1_cif}
    ldm = load_model(ldm_ckpt)
    order = place_order(ldm, request, num_samples, options)
    with SampleRun.open(run_dir, order, **writing) as run:
        missing = [place for place in order.plan.places() if run.missing(*place)]
        pieces = [missing[i : i + size] for i in range(0, len(missing), size)]
        tell = partial(print, flush=True) if progress else lambda line: None
        pieces_in_words = f", in {len(pieces)} pieces" if len(pieces) > 1 else ""
        tell(f"{len(missing) or 'no'} crystals are left to make{pieces_in_words}; {run.path}")
        model = str(ldm_ckpt), ldm.training_crystals.hash
        make = partial(make_piece, model, json.dumps(order.recipe), writing)
        failed: list[str] = []
        with open_executor(workers) as executor:
            for outcome in executor.imap(make, pieces, timeout=PIECE_TIMEOUT_S, chunk=1):
                if outcome.error is not None:
                    failed.append(outcome.error)
                    continue
                run.files.write(outcome.value)
                run.progress()
                tell(f"{len(run.files.done)} of {run.total} crystals")
        if failed:
            raise RunError(
                f"{len(failed)} of {len(pieces)} pieces could not be made ({failed[0][:200]}). "
                "Finished ones are kept: run it again to go on."
            )
        run.files.sort()
    return run.path


def make_piece(
    model: tuple[str, str], recipe: str, writing: dict[str, Any], places: list[tuple[int, int]]
) -> list[CrystalText]:
    """Return the crystals of some (row, number) of a request; called in a worker.

    Args:
        model: checkpoint, and hash of the training crystals.
        recipe: of the request, as JSON.
        writing: how, see `crystal_texts`.

    Raises:
        RunError: if the model is another one here.
    """
    from crystal_ldm.sampling.sample import iter_sample

    order = _load(*model, recipe)
    results = iter_sample(order, wanted=places)
    return [text for result in results for text in crystal_texts(result, order.recipe, **writing)]


@lru_cache(maxsize=1)
def _load(ldm_ckpt: str, known_hash: str, text: str) -> Order:
    """Return the request; loaded once in each worker."""
    from crystal_ldm.pretrained import load_model
    from crystal_ldm.recipe import order_of_recipe

    ldm, recipe = load_model(ldm_ckpt), json.loads(text)
    if (ldm.model_hash, ldm.training_crystals.hash) != (recipe["model_hash"], known_hash):
        raise RunError(
            f"The model '{ldm.source}' of this worker is not the one that the request was made "
            "for: its weights or training crystals differ. Install the same version everywhere, or "
            "name another run_dir."
        )
    order = order_of_recipe(recipe, ldm)
    batch_size = recipe["sampling"]["compute"]["batch_size"]
    compute = order.settings.compute.changed(batch_size=batch_size)
    return replace(order, settings=order.settings.changed(compute=compute), recipe=recipe)
