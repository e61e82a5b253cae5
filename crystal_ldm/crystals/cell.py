"""`Cell`, the one value for one crystal: exact arrays, hashable, quick to pickle."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystal_ldm.crystals.elements import MAX_Z
from crystal_ldm.errors import DataError

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Composition, Structure

FormulaKey = tuple[tuple[int, int], ...]
"""Reduced composition as sorted (atomic number, count) pairs."""

NOT_PERIODIC = "It is not periodic in all three directions."
FLAT_A3 = 1e-3
"""A cell of less volume than this, Å³, is flat."""


@dataclass(frozen=True, eq=False)
class Cell:
    """An ordered crystal; nothing is rounded. Two are equal if all their numbers are.

    It unpacks into its three arrays, which are not to be written to.

    Attributes:
        lattice: row vectors in Å, float64 (3, 3).
        frac_coords: fractional coordinates, float64 (n, 3).
        numbers: atomic numbers, int64 (n,).
    """

    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    numbers: NDArray[np.int64]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return iter((self.lattice, self.frac_coords, self.numbers))

    def __len__(self) -> int:
        return len(self.numbers)

    @cached_property
    def content(self) -> tuple[bytes, bytes, bytes]:
        """Atomic numbers (a byte each), coordinates and lattice as bytes."""
        arrays = self.numbers.astype(np.uint8), self.frac_coords, self.lattice
        return arrays[0].tobytes(), arrays[1].tobytes(), arrays[2].tobytes()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cell) and self.content == other.content

    def __hash__(self) -> int:
        return hash(self.content)

    def __reduce__(self) -> tuple[type[Cell], tuple[NDArray[Any], ...]]:
        return Cell, tuple(self)

    @property
    def volume(self) -> float:
        """Volume of the cell, Å³."""
        return float(abs(np.linalg.det(self.lattice)))

    @property
    def formula_key(self) -> FormulaKey:
        """Reduced composition: equal for two crystals if and only if their reduced formulas are."""
        return formula_key(self.content[0])

    @property
    def formula(self) -> str:
        """Reduced formula as pymatgen writes it."""
        return formula_of(self.formula_key)

    @classmethod
    def from_arrays(cls, numbers: ArrayLike, frac_coords: ArrayLike, lattice: ArrayLike) -> Cell:
        """Make a cell of arrays.

        Raises:
            DataError: if a number is not finite, an atomic number is not 1 to 118, or the arrays do
                not belong together.
        """
        z = np.asarray(numbers)
        coords = np.ascontiguousarray(frac_coords, dtype=np.float64)
        matrix = np.ascontiguousarray(lattice, dtype=np.float64)
        if z.size == 0:
            raise DataError("The structure has no atoms.")
        if z.ndim != 1 or matrix.shape != (3, 3) or coords.shape != (len(z), 3):
            raise DataError("Lattice, coordinates and elements do not belong together.")
        if z.min() < 1 or z.max() > MAX_Z:
            raise DataError(
                f"It holds a species that is not a chemical element (atomic numbers are 1 to "
                f"{MAX_Z})."
            )
        if not np.isfinite(coords).all():
            raise DataError("Its coordinates are not finite numbers.")
        if not np.isfinite(matrix).all():
            raise DataError("Its cell is not of finite numbers.")
        return cls(matrix, coords, z.astype(np.int64))

    @classmethod
    def from_structure(cls, structure: Structure) -> Cell:
        """Take a pymatgen structure; oxidation states and site properties are left out.

        Raises:
            DataError: if it is empty, disordered, has a dummy species, or is not finite.
        """
        if not all(structure.lattice.pbc):
            raise DataError(NOT_PERIODIC)
        if not structure.is_ordered:
            raise DataError(
                f"{structure.composition.reduced_formula} is disordered (sites with partial "
                "occupancy); make an ordered approximant first."
            )
        numbers = []
        for site in structure:
            z = getattr(site.specie, "Z", None)
            if not isinstance(z, int) or not 1 <= z <= MAX_Z:
                raise DataError(f"'{site.specie}' is not a chemical element.")
            numbers.append(z)
        return cls.from_arrays(numbers, structure.frac_coords, structure.lattice.matrix)

    def to_structure(self) -> Structure:
        """Return the pymatgen structure."""
        from pymatgen.core import Lattice, Structure

        return Structure(Lattice(self.lattice), self.numbers.tolist(), self.frac_coords)

    def to_atoms(self) -> Atoms:
        """Return the ASE atoms."""
        from ase import Atoms

        lattice, coords, numbers = self
        return Atoms(numbers=numbers, cell=lattice, scaled_positions=coords, pbc=True)

    def checked(self) -> Cell:
        """Return the same crystal with coordinates in [0, 1).

        Raises:
            DataError: if the cell is flat.
        """
        if self.volume < FLAT_A3:
            raise DataError("The cell has no volume.")
        return Cell(self.lattice, self.frac_coords % 1.0, self.numbers)


@lru_cache(maxsize=65536)
def formula_key(numbers: bytes) -> FormulaKey:
    """Return the reduced composition of atomic numbers."""
    counts = Counter(numbers)
    divisor = math.gcd(*counts.values())
    return tuple(sorted((z, count // divisor) for z, count in counts.items()))


@lru_cache(maxsize=65536)
def formula_of(key: FormulaKey) -> str:
    """Return the reduced formula of a key, as pymatgen writes it."""
    return composition_of(key).reduced_formula


def composition_of(key: FormulaKey) -> Composition:
    """Return the pymatgen composition of a key."""
    from pymatgen.core import Composition, Element

    return Composition({Element.from_Z(z): count for z, count in key})
