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
`crystal_ldm.runs.split.request_file`.

Pieces depend on the request and `piece_size` alone, and each is made by one thread: the files are
the same for any number of workers. A piece is made in `pieces/NAME.part`, where a killed worker's
successor goes on, and becomes `pieces/NAME` when it is whole. When all are there, they are joined
into the run directory that notebook 04_sample would have written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import astuple
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_ldm.errors import RequestError, RunError
from crystal_ldm.files import DirectoryLock, open_run
from crystal_ldm.files.atomic import atomic_write_json, make_folder, write_error
from crystal_ldm.parallel import AnyWorkers, open_executor
from crystal_ldm.runs.split.pieces import (
    PIECES,
    Piece,
    join_pieces,
    piece_folders,
    split_request,
    without_finished,
)

if TYPE_CHECKING:
    from crystal_ldm.crystals import CrystalBatch
    from crystal_ldm.ldm_module import LDMModule

REQUEST = "request.json"
PIECE_SIZE = 256
PIECE_TIMEOUT_S = 3600.0
_ROUNDS = 3  # how often a piece is tried whose worker died
_NOTEBOOK = "04_sample"


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
    dies costs at most one batch of its piece.

    Args:
        request: see `LDMModule.sample`; None: de novo.
        num_samples: crystals for each row of the request.
        run_dir: the run directory; empty: a new one under `runs/`.
        ldm_ckpt: the model, see `crystal_ldm.pretrained.load_model`; workers load it themselves.
        workers: local processes; None: one for each core.
        client: a Dask client to use instead; its workers must see the same directories.
        piece_size: most crystals in a piece.
        symprec, p1_cif: see `crystal_ldm.runs.generate.generate`.
        progress: whether to print a line for each piece.
        options: see `LDMModule.sample`, without `callback`, `wanted` and `trajectory`.

    Returns:
        The run directory, with CIFs, `table.csv` and `crystals.extxyz`.

    Raises:
        RequestError: for what the model was not trained for.
        CheckpointError: if there is no such model.
        RunError: if the directory holds another run, is in use or cannot be written, or a piece
            failed again and again.
    """
    from crystal_ldm.pretrained import load_model
    from crystal_ldm.runs.writer import ResultWriter
    from crystal_ldm.sampling import SamplingSettings

    size: Any = piece_size  # it may come from a file
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise RequestError(f"piece_size must be a whole number of at least 1, not {size!r}.")
    if options.get("trajectory"):
        raise RequestError("A request that is split over workers keeps no trajectory.")
    how = SamplingSettings.make(options).to_dict()
    ldm = load_model(ldm_ckpt)
    ldm.iter_sample(request, num_samples, **options)  # checks all of it and computes nothing
    content = {
        "model_hash": ldm.model_hash,
        "known_hash": ldm.known.hash,
        "request": None if request is None else request.to_request(),
        "num_samples": num_samples,
        "sampling": {n: v for n, v in how.items() if n not in ("batch_size", "trajectory")},
        "symprec": symprec,
        "p1_cif": p1_cif,
    }
    rows = 1 if request is None else len(request)
    with open_run(run_dir, _NOTEBOOK, content) as run:
        done = ResultWriter(run.path, symprec, p1_cif).done
        pieces = split_request(rows, num_samples, how["offset"], piece_size)
        pieces = without_finished(run.path, pieces, done)
        task = {**content, "ldm_ckpt": str(ldm_ckpt), "sampling": how, "done": sorted(done)}
        make_folder(run.path / PIECES)
        atomic_write_json(run.path / PIECES / REQUEST, task)
        missing = [p for p in pieces if not piece_folders(run.path, p)[0].is_dir()]
        tell = partial(print, flush=True) if progress else _nothing
        tell(f"{len(pieces)} pieces, {len(missing)} to make; {run.path}")
        for count, piece in enumerate(_make_all(run.path, missing, workers), 1):
            run.progress(count, len(missing), f"piece {piece.name}")
            tell(f"[{count}/{len(missing)}] {piece.name}")
        join_pieces(run.path, pieces)
    return run.path


def make_piece(run_dir: str, place: tuple[int, int, int, int]) -> None:
    """Make one piece (its fields are `place`) of the request in `run_dir`; called in a worker.

    Raises:
        RunError: if the model is another one by now, or the directory cannot be written.
    """
    from crystal_ldm.runs.writer import ResultWriter

    folder, piece = Path(run_dir) / PIECES, Piece(*place)
    whole, part = piece_folders(Path(run_dir), piece)
    ldm, request, task = _load((folder / REQUEST).read_text(encoding="utf-8"))
    # A scheduler that has lost sight of a worker starts its piece a second time elsewhere.
    with DirectoryLock(folder, f".{piece.name}.lock"):
        if whole.is_dir():
            return
        make_folder(part)
        writer = ResultWriter(part, task["symprec"], task["p1_cif"])
        done = writer.done | {(row, number) for row, number in task["done"]}
        batches = ldm.iter_sample(
            request,
            task["num_samples"],
            wanted=lambda row, number: piece.holds(row, number) and (row, number) not in done,
            **task["sampling"],
        )
        for result in batches:
            writer.write(result)
        try:
            part.rename(whole)
        except OSError as error:
            raise write_error(whole, error) from error


@lru_cache(maxsize=1)
def _load(text: str) -> tuple[LDMModule, CrystalBatch | None, dict[str, Any]]:
    """Return model, request and description, loaded once in each worker."""
    from crystal_ldm.crystals import CrystalBatch
    from crystal_ldm.pretrained import load_model

    task = json.loads(text)
    ldm = load_model(task["ldm_ckpt"])
    if (ldm.model_hash, ldm.known.hash) != (task["model_hash"], task["known_hash"]):
        raise RunError(
            f"The model '{ldm.source}' of this worker is not the one that the request was made "
            "for: its weights or training crystals differ. Install the same version everywhere, or "
            "name another run_dir."
        )
    request = task["request"]
    return ldm, None if request is None else CrystalBatch.from_request(request), task


def _make_all(path: Path, pieces: list[Piece], workers: AnyWorkers) -> Iterator[Piece]:
    """Yield each piece when it is made; those whose worker died are tried again."""
    left = pieces
    with open_executor(workers) as executor:
        for _ in range(_ROUNDS):
            failed: list[tuple[Piece, str]] = []
            function, places = partial(make_piece, str(path)), map(astuple, left)
            for outcome in executor.imap(function, places, timeout=PIECE_TIMEOUT_S, chunk=1):
                if outcome.error is None:
                    yield left[outcome.index]
                else:
                    failed.append((left[outcome.index], outcome.error))
            if not failed:
                return
            left = [piece for piece, _ in failed]
    raise RunError(
        f"{len(left)} of {len(pieces)} pieces could not be made ({failed[0][1][:200]}). "
        "Finished ones are kept: run it again to go on."
    )


def _nothing(_: str) -> None:
    """Say nothing."""
