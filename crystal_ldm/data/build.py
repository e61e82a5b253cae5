"""From a source to a data set: clean, split, pad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.ids import told_apart
from crystal_ldm.crystals.readers.entries import LabelValue, Problem, Source, summarised
from crystal_ldm.crystals.readers.report import Rejection, Report
from crystal_ldm.data.cleaning import (
    Filters,
    PartialReading,
    find_duplicates,
    prepare_entries,
)
from crystal_ldm.data.dataset import LABEL_PREFIX, CrystalDataset
from crystal_ldm.data.splits import BY_FORMULA, formula_key, split_by_formula, split_officially
from crystal_ldm.errors import DataError

_COARSE = 0.01
"""Rounding to float32 beyond this share of a label's standard deviation is said."""


@dataclass(frozen=True)
class About:
    """What is said about a data set.

    Attributes:
        name: its name.
        description: one sentence on content and origin.
        licence: the licence of the data.
        official_splits: whether the source's train, val and test files are the parts.
    """

    name: str
    description: str = ""
    licence: str = ""
    official_splits: bool = True


def build_dataset(
    source: Source,
    about: About,
    filters: Filters,
    reading: PartialReading | None = None,
) -> CrystalDataset:
    """Clean the entries of `source` and return them ready to be written.

    Args:
        reading: what is done already, when to stop, and who does the rest.

    Raises:
        DataError: if no entry can be used, or the reading has to stop.
    """
    named = [entry for entry in source.entries if not isinstance(entry.payload, Problem)]
    names, renamed = told_apart([entry.id for entry in named])
    for entry, name in zip(named, names, strict=True):
        entry.id = name
    source.notes += renamed
    kept, rejected = prepare_entries(source.entries, filters, reading)
    batch = CrystalBatch.from_cells([prepared.cell for _, prepared in kept])
    if filters.unique:
        formulas = batch.formulas
        duplicates = find_duplicates(
            [prepared.cell for _, prepared in kept],
            formulas,
            [entry.energy for entry, _ in kept],
            reading,
        )
        for i, j in sorted(duplicates.items()):
            reason = f"It matches {kept[j][0].id} ({formulas[i]}), which is lower in energy."
            rejected.append(Rejection(kept[i][0].id, kept[i][0].where, "duplicate", reason))
        rest = [i for i in range(len(kept)) if i not in duplicates]
        kept, batch = [kept[i] for i in rest], batch[rest]
    count = len(source.entries)
    if not kept:
        reason = f" The first: {rejected[0].id}: {rejected[0].reason}" if rejected else ""
        raise DataError(f"None of the {count} entries of {about.name} can be used.{reason}")

    keys = [formula_key(prepared.cell) for _, prepared in kept]
    ids = [entry.id for entry, _ in kept]
    if about.official_splits:
        split, how = split_officially(keys, ids, [entry.part for entry, _ in kept])
    else:
        split, how = split_by_formula(keys, ids), BY_FORMULA
    labels, categories, lost = _labels([entry.labels for entry, _ in kept])
    distinct, formula_index = np.unique(batch.formulas, return_inverse=True)
    assert batch.frac_coords is not None and batch.lattices is not None
    tensors = {
        "atomic_numbers": batch.atomic_numbers.to(torch.uint8),
        "num_atoms": batch.num_atoms.to(torch.int16),
        # Rounding to float32 can turn 0.99999999 into 1.
        "frac_coords": batch.frac_coords.masked_fill(batch.frac_coords >= 1, 0),
        "lattices": batch.lattices,
        "split": torch.from_numpy(split),
        "formula_index": torch.from_numpy(formula_index.astype(np.int32)),
        **{LABEL_PREFIX + name: values for name, values in labels.items()},
    }
    info: dict[str, Any] = {
        "description": about.description,
        "licence": about.licence,
        "split": how,
        "max_atoms": filters.max_atoms,
    }
    changed = [note for entry, prepared in kept for note in (*entry.notes, *prepared.notes)]
    report = Report(count, len(kept), rejected, [*source.notes, *summarised(changed), *lost])
    return CrystalDataset(about.name, info, tensors, ids, distinct.tolist(), categories, report)


def _labels(
    rows: list[dict[str, LabelValue]],
) -> tuple[dict[str, Tensor], dict[str, list[str | None]], list[str]]:
    """Return numeric labels (n,) float32 and text labels, leaving out those that no entry has, and
    notes on numbers that float32 does not hold."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    numeric: dict[str, Tensor] = {}
    text: dict[str, list[str | None]] = {}
    notes: list[str] = []
    for name in names:
        values = [row.get(name) for row in rows]
        if any(isinstance(v, str) for v in values):
            text[name] = [v if isinstance(v, str) else _as_text(v) for v in values]
            continue
        exact = np.array([np.nan if v is None else float(v) for v in values])
        column = torch.from_numpy(exact).float()
        notes += _lost(name, exact, column.numpy())
        if torch.isfinite(column).any():
            # A value beyond float32 is no label either.
            numeric[name] = torch.where(torch.isfinite(column), column, torch.nan)
    return numeric, text, notes


def _lost(name: str, exact: NDArray[np.float64], held: NDArray[np.float32]) -> list[str]:
    """Return what float32 loses of a label's values (n,), a sentence each."""
    notes = []
    kind = np.finfo(np.float32)
    beyond = int((np.isfinite(exact) & ~np.isfinite(held)).sum())
    if beyond:
        notes.append(
            f"Label '{name}': {_values(beyond)} beyond {kind.max:.2g}, the largest number of "
            f"float32, {'was' if beyond == 1 else 'were'} left empty; choose another unit."
        )
    below = int(((held == 0) & (exact != 0)).sum())
    if below:
        notes.append(
            f"Label '{name}': {_values(below)} below {kind.smallest_subnormal:.2g}, the smallest "
            "number of float32, became 0; choose another unit."
        )
    rest = np.isfinite(held) & (held != 0)
    exact, held = exact[rest], held[rest]
    different, left = len(np.unique(exact)), len(np.unique(held))
    # Of any many numbers some are equal after rounding; here it is large beside their spread.
    if left < different and np.abs(exact - held).max() > _COARSE * exact.std():
        notes.append(
            f"Label '{name}': its {different:,} different values became {left:,}, since float32 "
            "keeps about 7 digits; give energies per atom, or the difference to a reference."
        )
    return notes


def _values(number: int) -> str:
    return f"{number:,} value{'' if number == 1 else 's'}"


def _as_text(value: float | str | None) -> str | None:
    """In tables that are pooled, a column may be numbers in one and text in another."""
    return None if value is None or value != value else f"{value:g}"
