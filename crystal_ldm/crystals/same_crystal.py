"""pymatgen's StructureMatcher on packed crystals: what the worker processes run.

The reduction of a cell (Niggli, then primitive) costs more than a comparison, so each worker keeps
the cells that it has reduced.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.errors import EvaluationError

if TYPE_CHECKING:
    from pymatgen.core.structure_matcher import StructureMatcher


@dataclass(frozen=True)
class Tolerances:
    """Tolerances of StructureMatcher (everything else stays at its default).

    Attributes:
        ltol: fractional tolerance of cell lengths.
        stol: site tolerance, in units of (volume / atom)^(1/3).
        angle_tol: tolerance of cell angles, degrees.

    Raises:
        EvaluationError: if one is not above zero.
    """

    ltol: float = 0.2
    stol: float = 0.3
    angle_tol: float = 5.0

    def __post_init__(self) -> None:
        for name in ("ltol", "stol", "angle_tol"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not value > 0:
                raise EvaluationError(
                    f"The tolerance {name} must be a number above 0, not {value!r}."
                )

    def __str__(self) -> str:
        return f"ltol {self.ltol:g}, stol {self.stol:g}, angle_tol {self.angle_tol:g}"


SAME_CRYSTAL = Tolerances()
"""pymatgen's defaults: used for uniqueness and novelty."""


@lru_cache(maxsize=8)
def structure_matcher(tolerances: Tolerances) -> StructureMatcher:
    """Return the matcher for some tolerances."""
    from pymatgen.core.structure_matcher import StructureMatcher

    return StructureMatcher(
        ltol=tolerances.ltol, stol=tolerances.stol, angle_tol=tolerances.angle_tol
    )


@lru_cache(maxsize=2048)
def reduced_cell(crystal: Cell) -> Cell:
    """Return the primitive Niggli cell exactly as StructureMatcher makes it."""
    reduced = crystal.to_structure().get_reduced_structure(reduction_algo="niggli")
    return Cell.from_structure(reduced.get_primitive_structure())


def rms_distance(pair: tuple[Cell, Cell], tolerances: Tolerances) -> float | None:
    """Return `StructureMatcher.get_rms_dist(a, b)[0]`; None where the two do not match.

    It is the root mean square displacement divided by (volume / atom)^(1/3).
    """
    first, second = pair
    found = structure_matcher(tolerances).get_rms_dist(first.to_structure(), second.to_structure())
    return None if found is None else float(found[0])


def same_crystal(pair: tuple[Cell, Cell], tolerances: Tolerances) -> bool:
    """Return `StructureMatcher.fit(a, b)` for two cells that are already reduced."""
    first, second = pair
    return bool(
        structure_matcher(tolerances).fit(
            first.to_structure(), second.to_structure(), skip_structure_reduction=True
        )
    )
