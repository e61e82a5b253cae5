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

Pieces depend on the request and `piece_size` alone, and each is made by one thread: the files are
the same for any number of workers. A piece is made in `pieces/NAME.part`, where a killed worker's
successor goes on, and becomes `pieces/NAME` when it is whole. When all are there, they are joined
into the run directory that notebook 04_sample would have written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_ldm.errors import RequestError, RunError
from crystal_ldm.files import DirectoryLock
from crystal_ldm.files.run_directory import PIECES, TABLE
from crystal_ldm.files.writing import atomic_write_json, make_folder, write_error
from crystal_ldm.parallel import AnyWorkers, open_executor
from crystal_ldm.runs.crystal_files import CrystalFiles
from crystal_ldm.runs.sample_run import SampleRun
from crystal_ldm.runs.table import places_of, read_table

if TYPE_CHECKING:
    from crystal_ldm.crystals import CrystalBatch
    from crystal_ldm.sampling.sample import Order


@dataclass(frozen=True)
class Piece:
    """The crystals of some rows of a request and some numbers in each of them."""

    first_row: int
    rows: int
    first_number: int
    numbers: int

    @property
    def name(self) -> str:
        """Name of its directory."""
        return f"{self.first_row:06d}-{self.first_number:09d}"

    def places(self) -> Iterator[tuple[int, int]]:
        """Yield (row, number) of each crystal of the piece."""
        rows = range(self.first_row, self.first_row + self.rows)
        return product(rows, range(self.first_number, self.first_number + self.numbers))


def split_request(rows: int, num_samples: int, offset: int, size: int) -> list[Piece]:
    """Return pieces of about `size` crystals that together are the whole request.

    Args:
        offset: number of the first crystal of each row.
    """
    if num_samples >= size:
        starts = range(offset, offset + num_samples, size)
        end = offset + num_samples
        return [Piece(r, 1, n, min(size, end - n)) for r in range(rows) for n in starts]
    step = max(1, size // num_samples)
    return [Piece(r, min(step, rows - r), offset, num_samples) for r in range(0, rows, step)]


def piece_folders(run_dir: Path, piece: Piece) -> tuple[Path, Path]:
    """Return the directories of a finished piece and of one in the making."""
    folder = run_dir / PIECES
    return folder / piece.name, folder / f"{piece.name}.part"


REQUEST = "request.json"
PIECE_SIZE = 256
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
    dies costs at most one batch of its piece.

    Args:
        request: see `LDMModule.sample`; None: de novo.
        num_samples: crystals for each row of the request.
        run_dir: the run directory; empty: a new one under `runs/`.
        ldm_ckpt: the model, see `crystal_ldm.pretrained.load_model`; workers load it themselves.
        workers: see `open_executor`; workers of a Dask client must see the same directories.
        piece_size: most crystals in a piece.
        symprec, p1_cif: see `SampleRun.open`.
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

    size: Any = piece_size  # it may come from a file
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise RequestError(f"piece_size must be a whole number of at least 1, not {size!r}.")
    if options.get("trajectory"):
        raise RequestError("A request that is split over workers keeps no trajectory.")
    writing: dict[str, Any] = {"symprec": symprec, "p1_cif": p1_cif}
    ldm = load_model(ldm_ckpt)
    with SampleRun.open(run_dir, ldm, request, num_samples, settings=options, **writing) as run:
        plan, done = run.order.plan, run.files.done
        rows = 1 if plan.request is None else len(plan.request)
        pieces = split_request(rows, plan.num_samples, plan.offset, piece_size)
        missing = [p for p in pieces if any(place not in done for place in p.places())]
        task = {
            "ldm_ckpt": str(ldm_ckpt),
            "known_hash": ldm.training_crystals.hash,
            "recipe": run.order.recipe,
            "done": len(done),  # so that a worker reads the table of a continued run again
            **writing,
        }
        make_folder(run.path / PIECES)
        atomic_write_json(run.path / PIECES / REQUEST, task)
        tell = partial(print, flush=True) if progress else lambda line: None
        tell(f"{len(pieces)} pieces, {len(missing)} to make; {run.path}")
        for count, piece in enumerate(_make_all(run.path, missing, workers), 1):
            run.progress(f"{count} of {len(missing)} pieces")
            tell(f"[{count}/{len(missing)}] {piece.name}")
        run.take_pieces()
    return run.path


def make_piece(run_dir: str, place: tuple[int, int, int, int]) -> None:
    """Make one piece (its fields are `place`) of the request in `run_dir`; called in a worker.

    Raises:
        RunError: if the model is another one by now, or the directory cannot be written.
    """
    from crystal_ldm.sampling.sample import iter_sample

    folder, piece = Path(run_dir) / PIECES, Piece(*place)
    whole, part = piece_folders(Path(run_dir), piece)
    order, done, writing = _load(run_dir, (folder / REQUEST).read_text(encoding="utf-8"))
    # A scheduler that has lost sight of a worker starts its piece a second time elsewhere.
    with DirectoryLock(folder, f".{piece.name}.lock"):
        if whole.is_dir():
            return
        files = CrystalFiles(make_folder(part), order.recipe, **writing)
        missing = [p for p in piece.places() if p not in done and p not in files.done]
        for result in iter_sample(order, wanted=missing):
            files.add(result)
        try:
            part.rename(whole)
        except OSError as error:
            raise write_error(whole, error) from error


@lru_cache(maxsize=1)
def _load(run_dir: str, text: str) -> tuple[Order, set[tuple[int, int]], dict[str, Any]]:
    """Return the request, what is done of it, and how to write; loaded once in each worker."""
    from crystal_ldm.pretrained import load_model
    from crystal_ldm.recipe import order_of_recipe

    task = json.loads(text)
    ldm, recipe = load_model(task["ldm_ckpt"]), task["recipe"]
    if (ldm.model_hash, ldm.training_crystals.hash) != (recipe["model_hash"], task["known_hash"]):
        raise RunError(
            f"The model '{ldm.source}' of this worker is not the one that the request was made "
            "for: its weights or training crystals differ. Install the same version everywhere, or "
            "name another run_dir."
        )
    writing = {name: task[name] for name in ("symprec", "p1_cif")}
    order = order_of_recipe(recipe, ldm)
    asked = recipe["sampling"]["compute"]
    compute = order.settings.compute.changed(batch_size=asked["batch_size"])
    settings = order.settings.changed(compute=compute)
    table = Path(run_dir) / TABLE  # nothing is added to it before the last piece is made
    done = places_of(read_table(table)[1]) if table.is_file() else set()
    return replace(order, settings=settings, recipe=recipe), done, writing


def _make_all(path: Path, pieces: list[Piece], workers: AnyWorkers) -> Iterator[Piece]:
    """Yield each piece when it is made."""
    failed: list[str] = []
    with open_executor(workers) as executor:
        function, places = partial(make_piece, str(path)), map(astuple, pieces)
        for outcome in executor.imap(function, places, timeout=PIECE_TIMEOUT_S, chunk=1):
            if outcome.error is None:
                yield pieces[outcome.index]
            else:
                failed.append(outcome.error)
    if failed:
        raise RunError(
            f"{len(failed)} of {len(pieces)} pieces could not be made ({failed[0][:200]}). "
            "Finished ones are kept: run it again to go on."
        )
