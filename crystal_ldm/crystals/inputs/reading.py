"""Reading the crystals to be evaluated, from whatever holds them.

Nothing is dropped: an entry that cannot be used keeps its place, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.inputs.crystal_set import (
    CrystalSet,
    from_objects,
    from_source,
    without_repetition,
)
from crystal_ldm.crystals.readers.content import existing
from crystal_ldm.crystals.readers.csv_files import table_files
from crystal_ldm.crystals.readers.sources import open_source
from crystal_ldm.crystals.readers.tables import read_table
from crystal_ldm.errors import DataError, EvaluationError
from crystal_ldm.files.run_directory import TABLE


def read_crystals(source: Any, *, allow_empty: bool = False) -> CrystalSet:
    """Read crystals from any of the forms that the project and its neighbours use.

    Args:
        source: a pymatgen Structure or a sequence of them (None or an ASE Atoms object may be among
            them), a `CrystalBatch`, the result of `LDMModule.sample`, a `CrystalDataset`, a run
            directory of `04_sample`, or any file or folder that `load_dataset` reads.
        allow_empty: do not refuse a set without entries.

    Raises:
        EvaluationError: if the source does not exist, cannot be read, or holds no crystals.
    """
    if isinstance(source, CrystalSet):
        crystals = source
    elif isinstance(source, (str, Path)):
        crystals = _read_path(source)
    elif hasattr(source, "crystals") and hasattr(source, "row"):  # SampleResult
        crystals = _from_batch(source.crystals)
        crystals.rows = [int(row) for row in source.row]
        crystals.numbers = [int(number) for number in source.number]
        if source.crystals.ids is None:
            pairs = zip(crystals.rows, crystals.numbers, strict=True)
            crystals.ids = without_repetition([f"{row}-{number}" for row, number in pairs])
    elif hasattr(source, "atomic_numbers") and hasattr(source, "lattices"):  # CrystalBatch
        crystals = _from_batch(source)
    elif hasattr(source, "batch") and hasattr(source, "label_names"):  # CrystalDataset
        crystals = _from_batch(source.batch(np.arange(len(source))))
        crystals.ids = [str(name) for name in source.ids]
        crystals.labels = {
            name: np.asarray(source.labels[name], dtype=np.float64)
            for name in source.label_names
            if np.asarray(source.labels[name]).dtype.kind == "f"
        }
    elif hasattr(source, "to_structures"):
        crystals = from_objects(source.to_structures())
    elif hasattr(source, "frac_coords") or hasattr(source, "get_scaled_positions"):
        crystals = from_objects([source])
    elif isinstance(source, Iterable) and not isinstance(source, (dict, bytes)):
        crystals = from_objects(list(source))
    else:
        raise EvaluationError(
            f"Crystals cannot be read from an object of type {type(source).__name__}; give a list "
            "of structures, a CrystalBatch, a result of sample, a data set, or a path."
        )
    if len(crystals) == 0 and not allow_empty:
        raise EvaluationError("There are no crystals to evaluate: the set is empty.")
    return crystals


def _read_path(source: str | Path) -> CrystalSet:
    try:
        path = existing(source)
        crystals = from_source(open_source(path).read())
        if path.is_dir():
            _add_rows(crystals, path)
    except DataError as error:
        raise EvaluationError(str(error)) from error
    return crystals


def _add_rows(crystals: CrystalSet, folder: Path) -> None:
    """Take row and number of each crystal from the table of a run directory, by id."""
    tables = table_files(folder)
    if [table.name for table in tables] != [TABLE]:
        return
    table = read_table(tables[0]).frame
    if not {"id", "row", "number"} <= set(table.columns):
        return
    rows = table.to_dict("records")
    whole = (r for r in rows if f"{r['row']}{r['number']}".isdecimal() and r["row"] and r["number"])
    known = {r["id"]: (int(r["row"]), int(r["number"])) for r in whole}
    if all(name in known for name in crystals.ids):
        crystals.rows = [known[name][0] for name in crystals.ids]
        crystals.numbers = [known[name][1] for name in crystals.ids]
    else:
        crystals.notes.append(f"'{TABLE}' names other ids than the crystals; it was not used.")


def _from_batch(batch: Any) -> CrystalSet:
    if batch.frac_coords is None or batch.lattices is None:
        raise EvaluationError("The batch is a request: it has no coordinates to evaluate.")
    numbers = batch.atomic_numbers.cpu().numpy()
    counts = batch.num_atoms.cpu().numpy()
    frac = batch.frac_coords.cpu().double().numpy()
    cells = batch.lattices.cpu().double().numpy()
    crystals: list[Cell | None] = []
    errors: list[str | None] = []
    for z, n, x, cell in zip(numbers, counts, frac, cells, strict=True):
        try:
            crystals.append(Cell.from_arrays(z[:n], x[:n], cell))
            errors.append(None)
        except DataError as error:
            crystals.append(None)
            errors.append(str(error))
    ids = batch.ids if batch.ids is not None else [str(i) for i in range(len(crystals))]
    return CrystalSet(crystals, list(ids), errors)
