"""`CrystalBatch`, the one object that carries crystals through the program."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_ldm.crystals.canonical import canonical_arrays
from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.elements import ElementRules
from crystal_ldm.crystals.ids import names_of
from crystal_ldm.crystals.padding import (
    Values,
    atom_mask,
    chosen_rows,
    join,
    pad,
    reduced_formula,
    take,
    to_device,
)
from crystal_ldm.errors import DataError

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from crystal_ldm.crystals.request import Units


@dataclass
class CrystalBatch:
    """B crystals, or B requests for crystals, padded to the N atoms of the largest.

    Attributes:
        atomic_numbers: (B, N) int64. 0 where padded, and for an atom that a request leaves open.
        num_atoms: (B,) int64, atoms in each cell.
        frac_coords: (B, N, 3), fractional coordinates in [0, 1), 0 where padded; None in a request.
        lattices: (B, 3, 3), lattice vectors as rows, Å; None in a request.
        conditions: labels of crystals or targets of a request, by name. A scalar is a float tensor
            (B,) with NaN where not given; a range is (B, 2), low and high; categories and element
            sets are lists with None where not given.
        ids: names of the crystals, or None.
        element_rules: what open atoms of a request may become, or None.
        formula_units: of each row of a request (`crystals.request.Units`); None: the rows are
            the cells.
    """

    atomic_numbers: Tensor
    num_atoms: Tensor
    frac_coords: Tensor | None = None
    lattices: Tensor | None = None
    conditions: dict[str, Values] = field(default_factory=dict)
    ids: list[str] | None = None
    element_rules: list[ElementRules] | None = None
    formula_units: list[Units] | None = None

    def __len__(self) -> int:
        return len(self.num_atoms)

    @property
    def mask(self) -> Tensor:
        """(B, N) bool, True where there is an atom."""
        return atom_mask(self.num_atoms, self.atomic_numbers.shape[1])

    @property
    def formulas(self) -> list[str]:
        """Reduced formulas, elements by electronegativity; open atoms are written `?`."""
        return [reduced_formula(z) for z in self._numbers()]

    def _numbers(self) -> list[list[int]]:
        sizes = self.num_atoms.tolist()
        return [z[:n] for z, n in zip(self.atomic_numbers.tolist(), sizes, strict=True)]

    def __getitem__(
        self, index: int | slice | Sequence[int] | Tensor | NDArray[Any]
    ) -> CrystalBatch:
        """Return the chosen crystals as a batch of their own, padded to the largest of them.

        Raises:
            DataError: for an index that is not a number, a slice, a list of numbers or a mask.
            IndexError: for a number that the batch does not have.
        """
        rows = chosen_rows(index, len(self))
        width = int(take(self.num_atoms, rows).max()) if len(rows) else 0
        coords = None if self.frac_coords is None else self.frac_coords[:, :width]
        narrow = replace(self, atomic_numbers=self.atomic_numbers[:, :width], frac_coords=coords)
        return narrow._with(lambda values: take(values, rows))

    def _with(self, change: Callable[[Any], Any]) -> CrystalBatch:
        """Return the batch with each of its tensors and lists changed."""
        fields: dict[str, Any] = {
            name: value if value is None else change(value)
            for name, value in vars(self).items()
            if name != "conditions"
        }
        return CrystalBatch(**fields, conditions={n: change(v) for n, v in self.conditions.items()})

    @staticmethod
    def cat(batches: Sequence[CrystalBatch]) -> CrystalBatch:
        """Join batches. Conditions, ids and rules are kept where every batch has them."""
        if not batches:
            raise DataError("There are no crystals to join.")
        width = max(b.atomic_numbers.shape[1] for b in batches)
        shared = [n for n in batches[0].conditions if all(n in b.conditions for b in batches)]
        coords = [pad(b.frac_coords, width) for b in batches if b.frac_coords is not None]
        lattices = [b.lattices for b in batches if b.lattices is not None]
        geometry = len(coords) == len(lattices) == len(batches)
        named = all(b.ids is not None for b in batches)
        ruled = any(b.element_rules is not None for b in batches)
        several = any(b.formula_units is not None for b in batches)
        return CrystalBatch(
            atomic_numbers=torch.cat([pad(b.atomic_numbers, width) for b in batches]),
            num_atoms=torch.cat([b.num_atoms for b in batches]),
            frac_coords=torch.cat(coords) if geometry else None,
            lattices=torch.cat(lattices) if geometry else None,
            conditions={n: join([b.conditions[n] for b in batches]) for n in shared},
            ids=[i for b in batches for i in b.ids or ()] if named else None,
            element_rules=[r for b in batches for r in b.rules()] if ruled else None,
            formula_units=[u for b in batches for u in b.units()] if several else None,
        )

    def to(self, device: torch.device | str) -> CrystalBatch:
        """Return the batch on `device`."""
        return self._with(lambda v: to_device(v, device) if isinstance(v, Tensor) else v)

    def units(self) -> list[Units]:
        """Return the formula units row by row, None where the row is the cell."""
        return self.formula_units or [None] * len(self)

    def rules(self) -> list[ElementRules]:
        """Return the element rules row by row, empty ones where none were given."""
        return self.element_rules or [ElementRules()] * len(self)

    @classmethod
    def from_structures(
        cls,
        structures: Iterable[Any],
        conditions: Mapping[str, Any] | None = None,
        ids: Sequence[str] | None = None,
        canonical: bool = True,
    ) -> CrystalBatch:
        """Make a batch of crystals, in canonical form (see `crystals.canonical`).

        With `canonical=False` cells and atom order stay as they are.

        Args:
            structures: pymatgen Structures, ASE Atoms, dictionaries (`Structure.as_dict()`), or
                paths of files that hold one crystal each.
            conditions: labels by name, a value a crystal or one for all; or a pandas table.
            ids: their names; one that comes again gets a suffix, with a warning.
            canonical: whether to bring them to canonical form.

        What was read otherwise than it is written is said in warnings, each once.

        Raises:
            DataError: if it is no list of crystals, or naming the first that is disordered, empty,
                flat, not periodic or not finite.
        """
        from crystal_ldm.crystals.readers.entries import summarised
        from crystal_ldm.crystals.readers.objects import cell_of, cells_of

        cells: list[Cell] = []
        notes: list[str] = []
        for i, structure in enumerate(cells_of(structures)):
            try:
                read, changed = cell_of(structure)
                cell = read.checked()
                notes += changed
            except DataError as error:
                name = ids[i] if ids is not None and i < len(ids) else i
                raise DataError(f"Structure {name}: {error}") from None
            cells.append(Cell(*canonical_arrays(*cell)) if canonical else cell)
        for note in summarised(notes):
            warnings.warn(note, stacklevel=2)
        return cls.from_cells(cells, conditions, ids)

    @classmethod
    def from_cells(
        cls,
        cells: Sequence[Cell | tuple[NDArray[Any], NDArray[Any], NDArray[Any]]],
        conditions: Mapping[str, Any] | None = None,
        ids: Sequence[str] | None = None,
    ) -> CrystalBatch:
        """Make a batch of cells: (lattice (3, 3) Å, coordinates (n, 3), atomic numbers (n,))."""
        from crystal_ldm.crystals.given_values import labels_of

        sizes = [len(numbers) for _, _, numbers in cells]
        width = max(sizes, default=0)
        numbers = np.zeros((len(cells), width), dtype=np.int64)
        coords = np.zeros((len(cells), width, 3), dtype=np.float32)
        lattices = np.zeros((len(cells), 3, 3), dtype=np.float32)
        for i, (lattice, x, z) in enumerate(cells):
            numbers[i, : len(z)], coords[i, : len(z)], lattices[i] = z, x, lattice
        return cls(
            atomic_numbers=torch.from_numpy(numbers),
            num_atoms=torch.tensor(sizes, dtype=torch.int64),
            frac_coords=torch.from_numpy(coords),
            lattices=torch.from_numpy(lattices),
            conditions=labels_of(conditions, len(cells)),
            ids=None if ids is None else names_of(ids, len(cells)),
        )

    def to_cells(self) -> list[Cell]:
        """Return one `Cell` for each crystal, in order.

        Raises:
            DataError: if the batch holds requests, or a crystal still has an open atom.
        """
        if self.frac_coords is None or self.lattices is None:
            raise DataError("This batch holds requests, not crystals; pass it to LDMModule.sample.")
        cells, lattices = [], self.lattices.cpu().double().numpy()
        coords = self.frac_coords.cpu().double().numpy()
        for i, z in enumerate(self._numbers()):
            if 0 in z:
                raise DataError(f"Crystal {self.ids[i] if self.ids else i} has an open atom.")
            cells.append(Cell.from_arrays(z, coords[i, : len(z)], lattices[i]))
        return cells

    def to_structures(self) -> list[Structure]:
        """Return one pymatgen `Structure` for each of `to_cells`."""
        return [cell.to_structure() for cell in self.to_cells()]

    @classmethod
    def from_formulas(
        cls,
        formulas: Sequence[str | Mapping[str, int]] | Mapping[str, int] | str,
        formula_units: Any = None,
        *,
        required: Any = None,
        allowed: Any = None,
        forbidden: Any = None,
        **conditions: Any,
    ) -> CrystalBatch:
        """Make requests for formulas such as `SrTiO3` or `Sr?O3` (`?`: one open atom).

        Args:
            formulas: one formula a row, as text or as a mapping such as `{"Na": 1, "Cl": 1}`.
            formula_units: formula units in a cell, a value a row or one for all: a number;
                `"likely"`, those of known and similar crystals in turn; the share of the crystals
                for each of several, `{1: 0.3, 2: 0.7}`; None: as the preset says (likely ones with
                `predict`, else 1).
            required, allowed, forbidden: element lists for open atoms, for all rows.
            conditions: targets by name, a value a row or one for all. None: not given; a pair
                (low, high): a range.

        Numbers may be Python's or those of numpy, pandas and torch. What a formula holds that a
        crystal does not (an oxidation state, an isotope) is said in a warning.

        Raises:
            FormulaError: for a formula or an element list that cannot be read.
            RequestError: for a value that cannot be read, or a wrong number of values.
        """
        from crystal_ldm.crystals.request import request_from_formulas

        rules = ElementRules.make(required, allowed, forbidden)
        return request_from_formulas(formulas, formula_units, rules, conditions)

    @classmethod
    def from_num_atoms(
        cls,
        num_atoms: Sequence[int] | int,
        *,
        required: Any = None,
        allowed: Any = None,
        forbidden: Any = None,
        **conditions: Any,
    ) -> CrystalBatch:
        """Make requests for cells of so many atoms with all elements left open.

        Arguments and errors are those of `from_formulas`.
        """
        from crystal_ldm.crystals.request import request_from_num_atoms

        rules = ElementRules.make(required, allowed, forbidden)
        return request_from_num_atoms(num_atoms, rules, conditions)

    def to_request(self) -> dict[str, Any]:
        """Return the request as plain JSON data, read back by `from_request`."""
        from crystal_ldm.crystals.request import request_to_dict

        return request_to_dict(self)

    @classmethod
    def from_request(cls, data: Mapping[str, Any]) -> CrystalBatch:
        """Make the batch that `to_request` described.

        Raises:
            RequestError: if the data is not such a description.
        """
        from crystal_ldm.crystals.request import request_from_dict

        return request_from_dict(data)
