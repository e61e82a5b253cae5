"""`TrainingCrystals`: a model's memory of its training part."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.lattice import lattice_to_log
from crystal_ldm.ldm_module.known.packing import pack, unpack
from crystal_ldm.ldm_module.known.templates import TemplateSearch

_ENERGIES = ("formation_energy_per_atom", "e_above_hull")
_SAME_COORDS = 0.04
_SAME_CELL = 0.08  # strain: GGA cells of two databases differ by less


class TrainingCrystals(nn.Module):
    """The crystals of all trainings of a model, packed (`packing`) into one buffer of its file.

    Attributes:
        packed: uint8 (L,).
        complete: whether all crystals that the model was trained on are among them: not so for a
            file that was written before they were kept.
    """

    packed: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("packed", torch.zeros(0, dtype=torch.uint8))
        self.complete = True

    def add(self, crystals: CrystalBatch) -> None:
        """Remember the crystals of a further training.

        Of one formula those of low energy come first, where the data set has energies. A crystal
        that an earlier data set had nearly alike (relaxed otherwise) is kept as the later one has
        it.
        """
        if not self.complete:
            return
        new = CrystalBatch(
            crystals.atomic_numbers, crystals.num_atoms, crystals.frac_coords, crystals.lattices
        ).to("cpu")[_by_energy(crystals)]
        if len(self.packed):
            rows = torch.tensor(_unlike(self.crystals, new), dtype=torch.long)
            new = CrystalBatch.cat([new, self.crystals[rows]])
        keys = _atoms(new)
        self._keep(pack(new[sorted(range(len(new)), key=lambda row: keys[row])]))  # packs better

    @cached_property
    def crystals(self) -> CrystalBatch:
        """The crystals, in canonical form; coordinates are rounded to 1/240."""
        return unpack(self.packed)

    @cached_property
    def formulas(self) -> frozenset[str]:
        """Reduced formulas of all crystals of training; empty: not known."""
        return frozenset(self.rows_by_formula)

    @cached_property
    def rows_by_formula(self) -> Mapping[str, list[int]]:
        """Rows of `crystals` by reduced formula."""
        rows: dict[str, list[int]] = {}
        for row, formula in enumerate(self.crystals.formulas if len(self.packed) else ()):
            rows.setdefault(formula, []).append(row)
        return rows

    @cached_property
    def search(self) -> TemplateSearch:
        """The search for templates among the crystals."""
        return TemplateSearch(self.crystals)

    def _keep(self, packed: Tensor) -> None:
        self.packed = packed.to(self.packed.device)
        for name in ("crystals", "formulas", "rows_by_formula", "search"):
            self.__dict__.pop(name, None)

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *_: Any, **__: Any
    ) -> None:
        """Take a buffer of any length, and none from a file that was written without."""
        packed = state_dict.get(f"{prefix}packed")
        self.complete = packed is not None
        self._keep(torch.zeros(0, dtype=torch.uint8) if packed is None else packed)


def _by_energy(crystals: CrystalBatch) -> np.ndarray:
    for name in _ENERGIES:
        energies = crystals.conditions.get(name)
        if isinstance(energies, Tensor) and energies.ndim == 1:
            return np.argsort(energies.cpu().numpy(), kind="stable")  # nan last
    return np.arange(len(crystals))


def _unlike(earlier: CrystalBatch, later: CrystalBatch) -> list[int]:
    """Return the rows of `earlier` that no crystal of `later` resembles, both canonical."""
    assert earlier.lattices is not None and later.lattices is not None
    assert earlier.frac_coords is not None and later.frac_coords is not None
    same: dict[bytes, list[int]] = {}
    for row, key in enumerate(_atoms(later)):
        same.setdefault(key, []).append(row)
    cells, new_cells = lattice_to_log(earlier.lattices), lattice_to_log(later.lattices)
    unlike = []
    for row, key in enumerate(_atoms(earlier)):
        rows, size = same.get(key, []), len(key)
        if not rows:
            unlike.append(row)
            continue
        shift = (later.frac_coords[rows, :size] - earlier.frac_coords[row, :size] + 0.5) % 1 - 0.5
        near = (shift.abs() < _SAME_COORDS).all(dim=2).all(dim=1)
        if not bool((near & ((new_cells[rows] - cells[row]).abs() < _SAME_CELL).all(dim=1)).any()):
            unlike.append(row)
    return unlike


def _atoms(crystals: CrystalBatch) -> list[bytes]:
    """Return for each crystal a key of its list of atomic numbers."""
    sizes = crystals.num_atoms.tolist()
    return [bytes(row[:n]) for row, n in zip(crystals.atomic_numbers.tolist(), sizes, strict=True)]
