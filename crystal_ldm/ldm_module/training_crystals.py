"""`TrainingCrystals`: a model's memory of its training set."""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crystal_ldm.crystals import MAX_Z, CrystalBatch
from crystal_ldm.crystals.lattice import lattice_to_log
from crystal_ldm.crystals.packing import pack, unpack
from crystal_ldm.crystals.prototype_search import PrototypeSearch
from crystal_ldm.crystals.symmetry.space_groups import space_groups_of
from crystal_ldm.ldm_module.prototype_ranking import PrototypeRanking

NO_TRAINING_CRYSTALS = (
    "this model has no training crystals with it (its file is older than that, or it was not "
    "trained)"
)
_ENERGIES = ("formation_energy_per_atom", "e_above_hull")
GROUP_TOLERANCE = 0.1  # Å, as the Materials Project has it
_SAME_COORDS = 0.04
_SAME_CELL = 0.08  # strain: GGA cells of two databases differ by less


class TrainingCrystals(nn.Module):
    """The crystals of all trainings of a model, packed (`packing`) into one buffer of its file.

    Attributes:
        packed: uint8 (L,).
        packed_groups: uint8 (K,), the space groups of the crystals, 0 for none, as compressed
            bytes; empty: they are looked for where they are needed.
        complete: whether all crystals that the model was trained on are among them: not so for a
            file that was written before they were kept.
    """

    packed: Tensor
    packed_groups: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("packed", torch.zeros(0, dtype=torch.uint8))
        self.register_buffer("packed_groups", torch.zeros(0, dtype=torch.uint8))
        self.complete = True

    def add(self, crystals: CrystalBatch) -> None:
        """Remember the crystals of a further training.

        Of a training's crystals with the same atoms those of low energy come first, where the data
        set has energies, and before those of earlier trainings. A crystal that an earlier data set
        had nearly alike (relaxed otherwise) is kept as the later one has it.
        """
        if not self.complete:
            return
        new = CrystalBatch(
            crystals.atomic_numbers, crystals.num_atoms, crystals.frac_coords, crystals.lattices
        ).to("cpu")[_by_energy(crystals)]
        if not self.empty:
            rows = torch.tensor(unlike(self.crystals, new), dtype=torch.long)
            new = CrystalBatch.cat([new, self.crystals[rows]])
        keys = _atoms(new)
        self._keep(pack(new[sorted(range(len(new)), key=lambda row: keys[row])]))  # packs better

    @property
    def empty(self) -> bool:
        """Whether there are none: an untrained model, or a file that was written without."""
        return len(self.packed) == 0

    @property
    def hash(self) -> str:
        """A short hash of the crystals."""
        return hashlib.sha256(self.packed.cpu().numpy().tobytes()).hexdigest()[:16]

    @cached_property
    def crystals(self) -> CrystalBatch:
        """The crystals, in canonical form; coordinates are rounded to 1/240."""
        with torch.inference_mode(False):  # they outlive the sampling that asks for them first
            return CrystalBatch.from_cells([]) if self.empty else unpack(self.packed)

    def rows_of(self, atomic_numbers: Tensor) -> list[list[int]]:
        """Return for each cell (B, N; 0: padded) the `crystals` with its reduced formula."""
        return [self._rows.get(key, []) for key in _compositions(atomic_numbers)]

    def space_group(self, row: int) -> int | None:
        """Return the space group of one of the `crystals`, which spglib finds within 0.1 Å."""
        if row not in self._groups:
            crystal = self.crystals[torch.tensor([row])]
            (self._groups[row],) = space_groups_of(crystal, GROUP_TOLERANCE)
        return self._groups[row]

    def with_space_group(self, group: int, num_atoms: int) -> list[int]:
        """Return the `crystals` of a space group that have so many atoms in their cell."""
        rows = (self.crystals.num_atoms == num_atoms).nonzero().flatten().tolist()
        return [row for row in rows if self.space_group(row) == group]

    @cached_property
    def _groups(self) -> dict[int, int | None]:
        try:
            kept = lzma.decompress(self.packed_groups.cpu().numpy().tobytes())
        except lzma.LZMAError:  # there are none
            return {}
        return {row: group or None for row, group in enumerate(kept)}

    @cached_property
    def search(self) -> PrototypeSearch:
        """The search for prototypes among the crystals."""
        return PrototypeSearch(self.crystals)

    @cached_property
    def ranking(self) -> PrototypeRanking:
        """The order in which prototypes of a formula are likely to be right."""
        return PrototypeRanking(self.search, self.space_group)

    @cached_property
    def _rows(self) -> Mapping[bytes, list[int]]:
        rows: dict[bytes, list[int]] = {}
        for row, key in enumerate(_compositions(self.crystals.atomic_numbers)):
            rows.setdefault(key, []).append(row)
        return rows

    def _keep(self, packed: Tensor) -> None:
        self.packed = packed.to(self.packed.device)
        self.packed_groups = torch.zeros(0, dtype=torch.uint8, device=packed.device)
        for name in ("crystals", "search", "ranking", "_rows", "_groups"):
            self.__dict__.pop(name, None)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Write no buffer where crystals are missing: an empty one would pass for all of them."""
        if self.complete:
            super()._save_to_state_dict(destination, prefix, keep_vars)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        """Take a buffer of any length, and none from a file that was written without."""
        packed = state_dict.get(f"{prefix}packed")
        self.complete = packed is not None
        self._keep(torch.zeros(0, dtype=torch.uint8) if packed is None else packed)
        groups = state_dict.get(f"{prefix}packed_groups")
        if groups is not None:
            self.packed_groups = groups.to(self.packed.device)
        try:
            _ = self.crystals
        except ValueError as error:
            errors = rest[-1]  # of torch's load_state_dict
            errors.append(f"{prefix}packed: {error}")


def _by_energy(crystals: CrystalBatch) -> np.ndarray:
    for name in _ENERGIES:
        energies = crystals.conditions.get(name)
        if isinstance(energies, Tensor) and energies.ndim == 1:
            return np.argsort(energies.cpu().numpy(), kind="stable")  # nan last
    return np.arange(len(crystals))


def unlike(earlier: CrystalBatch, later: CrystalBatch) -> list[int]:
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


def _compositions(atomic_numbers: Tensor) -> list[bytes]:
    """Return for each cell (B, N; 0: padded) a key of its reduced formula."""
    numbers = atomic_numbers.cpu()
    counts = torch.zeros(len(numbers), MAX_Z + 1, dtype=torch.uint8)
    counts.scatter_add_(1, numbers, torch.ones_like(numbers, dtype=torch.uint8))
    counts[:, 0] = 0
    divisors = np.gcd.reduce(counts.numpy(), axis=1)
    reduced = counts.numpy() // np.maximum(divisors, 1)[:, None]
    return [row.tobytes() for row in reduced]


def _atoms(crystals: CrystalBatch) -> list[bytes]:
    """Return for each crystal a key of its list of atomic numbers."""
    sizes = crystals.num_atoms.tolist()
    return [bytes(row[:n]) for row, n in zip(crystals.atomic_numbers.tolist(), sizes, strict=True)]
