"""A crystal as three byte strings: quick to pickle, hashable, exact."""

from __future__ import annotations

import math
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.errors import EvaluationError

if TYPE_CHECKING:
    from pymatgen.core import Structure

FormulaKey = tuple[tuple[int, int], ...]
"""Reduced composition as sorted (atomic number, count) pairs."""


class PackedCrystal(NamedTuple):
    """An ordered crystal; nothing is rounded.

    Attributes:
        numbers: atomic numbers, uint8, N.
        frac: fractional coordinates, float64, N x 3.
        cell: row vectors of the lattice in Å, float64, 3 x 3.
    """

    numbers: bytes
    frac: bytes
    cell: bytes

    @property
    def atomic_numbers(self) -> NDArray[np.uint8]:
        """Atomic numbers, (N,)."""
        return np.frombuffer(self.numbers, dtype=np.uint8)

    @property
    def frac_coords(self) -> NDArray[np.float64]:
        """Fractional coordinates, (N, 3)."""
        return np.frombuffer(self.frac, dtype=np.float64).reshape(-1, 3)

    @property
    def lattice(self) -> NDArray[np.float64]:
        """Row vectors in Å, (3, 3)."""
        return np.frombuffer(self.cell, dtype=np.float64).reshape(3, 3)

    @property
    def volume(self) -> float:
        """Volume of the cell, Å³."""
        return float(abs(np.linalg.det(self.lattice)))

    @property
    def formula_key(self) -> FormulaKey:
        """Reduced composition: equal for two crystals if and only if their reduced formulas are."""
        return _formula_key(self.numbers)

    @property
    def formula(self) -> str:
        """Reduced formula as pymatgen writes it."""
        return formula_of(self.formula_key)

    @classmethod
    def from_arrays(cls, numbers: Any, frac_coords: Any, lattice: Any) -> PackedCrystal:
        """Pack arrays.

        Raises:
            EvaluationError: if a number is not finite, or an atomic number is not 1 to 118.
        """
        z = np.asarray(numbers)
        frac = np.ascontiguousarray(frac_coords, dtype=np.float64)
        cell = np.ascontiguousarray(lattice, dtype=np.float64)
        if len(z) == 0:
            raise EvaluationError("it has no atoms")
        if z.min() < 1 or z.max() > 118:
            raise EvaluationError("it has atomic numbers outside 1 to 118")
        if not np.isfinite(frac).all():
            raise EvaluationError("its coordinates are not finite numbers")
        if not np.isfinite(cell).all():
            raise EvaluationError("its lattice has entries that are not finite numbers")
        return cls(z.astype(np.uint8).tobytes(), frac.tobytes(), cell.tobytes())

    @classmethod
    def from_structure(cls, structure: Structure) -> PackedCrystal:
        """Pack a pymatgen structure; oxidation states and site properties are left out.

        Raises:
            EvaluationError: if it is disordered, has a dummy species, or is not finite.
        """
        if not structure.is_ordered:
            raise EvaluationError("it is disordered (a site is shared or partly occupied)")
        numbers = []
        for site in structure:
            z = getattr(site.specie, "Z", None)
            if not isinstance(z, int) or not 1 <= z <= 118:
                raise EvaluationError(f"'{site.specie}' is not an element")
            numbers.append(z)
        return cls.from_arrays(numbers, structure.frac_coords, structure.lattice.matrix)

    def to_structure(self) -> Structure:
        """Return the pymatgen structure."""
        return _structure(self).copy()


@lru_cache(maxsize=65536)
def _formula_key(numbers: bytes) -> FormulaKey:
    counts = Counter(numbers)
    divisor = math.gcd(*counts.values())
    return tuple(sorted((z, count // divisor) for z, count in counts.items()))


@lru_cache(maxsize=65536)
def formula_of(key: FormulaKey) -> str:
    """Return the reduced formula of a key, as pymatgen writes it."""
    from pymatgen.core import Composition, Element

    composition = Composition({Element.from_Z(z): count for z, count in key})
    return composition.reduced_formula


@lru_cache(maxsize=2048)
def _structure(crystal: PackedCrystal) -> Structure:
    from pymatgen.core import Lattice, Structure

    return Structure(Lattice(crystal.lattice), crystal.atomic_numbers.tolist(), crystal.frac_coords)
