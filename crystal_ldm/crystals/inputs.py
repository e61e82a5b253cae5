"""Crystals to be evaluated, in order, each usable or with a reason: read from whatever holds them.

Nothing is dropped: an entry that cannot be used keeps its place.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.batch import CrystalBatch
from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.ids import told_apart
from crystal_ldm.crystals.readers.content import existing
from crystal_ldm.crystals.readers.csv_files import table_files
from crystal_ldm.crystals.readers.entries import (
    Entry,
    LabelValue,
    Source,
    read_payload,
    summarised,
)
from crystal_ldm.crystals.readers.objects import cell_of, is_atoms, is_structure
from crystal_ldm.crystals.readers.sources import open_source
from crystal_ldm.crystals.readers.tables import read_table
from crystal_ldm.errors import CrystalLDMError, DataError, EvaluationError, describe_error
from crystal_ldm.files.run_directory import TABLE


@dataclass
class CrystalSet:
    """Crystals in order, each usable or with a reason.

    Attributes:
        crystals: one for each entry; None where it cannot be used.
        ids: one for each entry, all different.
        errors: why an entry cannot be used; None where it can.
        rows: row of the request that a generated crystal belongs to (its position if unknown).
        numbers: its number within the row.
        labels: known properties by name, (n,) float with nan for unknown.
        notes: sentences on what was changed while reading.
    """

    crystals: list[Cell | None]
    ids: list[str]
    errors: list[str | None]
    rows: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    labels: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.rows:
            self.rows = list(range(len(self.crystals)))
        if not self.numbers:
            self.numbers = [0] * len(self.crystals)
        self.ids, renamed = told_apart(self.ids, "#")
        self.notes += renamed

    def __len__(self) -> int:
        return len(self.crystals)

    def select(self, positions: Sequence[int]) -> CrystalSet:
        """Return the entries at some positions."""
        return CrystalSet(
            [self.crystals[i] for i in positions],
            [self.ids[i] for i in positions],
            [self.errors[i] for i in positions],
            [self.rows[i] for i in positions],
            [self.numbers[i] for i in positions],
            {name: values[list(positions)] for name, values in self.labels.items()},
        )

    @classmethod
    def cat(cls, sets: Sequence[CrystalSet]) -> CrystalSet:
        """Join sets; the position in the result becomes the row."""
        return cls(
            [crystal for part in sets for crystal in part.crystals],
            [name for part in sets for name in part.ids],
            [error for part in sets for error in part.errors],
        )


def from_objects(objects: Sequence[Any]) -> CrystalSet:
    """Take a list of crystals (see `objects.cell_of`), whole cells as they are.

    One that cannot be used keeps its place, with the reason.
    """
    crystals, errors, notes = read_each(cell_of, objects)
    ids = [str(i) for i in range(len(crystals))]
    return CrystalSet(crystals, ids, errors, notes=notes)


def read_each(
    read: Callable[[Any], tuple[Cell, Sequence[str]]], items: Iterable[Any]
) -> tuple[list[Cell | None], list[str | None], list[str]]:
    """Return a cell for each item, None where there is none, the reasons, and notes of all."""
    crystals: list[Cell | None] = []
    errors: list[str | None] = []
    notes: list[str] = []
    for item in items:
        cell, reason = None, None
        try:
            cell, changed = read(item)
            cell.checked()  # on flat ones spglib and StructureMatcher may hang
            notes += changed
        except CrystalLDMError as error:
            reason = str(error)
        except Exception as error:  # whatever a strange object provokes
            reason = describe_error(error)
        crystals.append(None if reason else cell)
        errors.append(reason)
    return crystals, errors, summarised(notes)


def from_source(source: Source) -> CrystalSet:
    """Parse all entries of a source; one that cannot be used keeps its place, with the reason."""

    def read(entry: Entry) -> tuple[Cell, Sequence[str]]:
        cell, changed = read_payload(entry.payload)
        return cell, (*entry.notes, *changed)

    crystals, errors, notes = read_each(read, source.entries)
    names = dict.fromkeys(name for entry in source.entries for name in entry.labels)
    labels = {name: _numbers([e.labels.get(name) for e in source.entries]) for name in names}
    ids = [entry.id for entry in source.entries]
    result = CrystalSet(crystals, ids, errors, notes=[*source.notes, *notes])
    result.labels = {name: values for name, values in labels.items() if values is not None}
    return result


def _numbers(values: Sequence[LabelValue]) -> NDArray[np.float64] | None:
    """Return a label as numbers; None for text."""
    if any(isinstance(value, str) for value in values):
        return None
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


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
            crystals.ids, _ = told_apart([f"{row}-{number}" for row, number in pairs], "#")
    elif isinstance(source, CrystalBatch):
        crystals = _from_batch(source)
    elif hasattr(source, "batch") and hasattr(source, "label_names"):  # CrystalDataset
        crystals = _from_batch(source.batch(np.arange(len(source))))
        crystals.ids = [str(name) for name in source.ids]
        crystals.labels = {
            name: np.asarray(source.labels[name], dtype=np.float64)
            for name in source.label_names
            if np.asarray(source.labels[name]).dtype.kind == "f"
        }
    elif is_structure(source) or is_atoms(source):
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


def read_with_warnings(*sources: Any, allow_empty: bool = False) -> list[CrystalSet]:
    """Read crystals (see `read_crystals`) for a result that has no place for their notes.

    Each note is a warning at the caller's caller; whoever read a set before has its notes already.
    """
    sets = [read_crystals(source, allow_empty=allow_empty) for source in sources]
    new = [one for one, source in zip(sets, sources, strict=True) if one is not source]
    for note in dict.fromkeys(note for one in new for note in one.notes):
        warnings.warn(note, stacklevel=3)
    return sets


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
    columns = read_table(tables[0], [])
    if not {"id", "row", "number"} <= set(columns):
        return
    rows = zip(columns["id"], columns["row"], columns["number"], strict=True)
    known = {i: (int(r), int(n)) for i, r, n in rows if r.isdecimal() and n.isdecimal()}
    if all(name in known for name in crystals.ids):
        crystals.rows = [known[name][0] for name in crystals.ids]
        crystals.numbers = [known[name][1] for name in crystals.ids]
    else:
        crystals.notes.append(f"'{TABLE}' names other ids than the crystals; it was not used.")


def _from_batch(batch: CrystalBatch) -> CrystalSet:
    if batch.frac_coords is None or batch.lattices is None:
        raise EvaluationError("The batch is a request: it has no coordinates to evaluate.")
    rows = zip(
        batch.atomic_numbers.cpu().numpy(),
        batch.frac_coords.cpu().double().numpy(),
        batch.num_atoms.tolist(),
        batch.lattices.cpu().double().numpy(),
        strict=True,
    )
    crystals, errors, _ = read_each(
        lambda row: (Cell.from_arrays(row[0][: row[2]], row[1][: row[2]], row[3]), ()), rows
    )
    ids = batch.ids if batch.ids is not None else [str(i) for i in range(len(crystals))]
    return CrystalSet(crystals, list(ids), errors)
