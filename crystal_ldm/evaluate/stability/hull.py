"""The energy above the convex hull, with every energy from the same potential."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from crystal_ldm.crystals.cell import FormulaKey, composition_of
from crystal_ldm.crystals.elements import symbols
from crystal_ldm.evaluate.stability.reference import ReferenceEnergies

if TYPE_CHECKING:
    from pymatgen.analysis.phase_diagram import PhaseDiagram


@dataclass(frozen=True)
class HullDistance:
    """Where a crystal lies against the hull of the references.

    Attributes:
        e_above_hull: eV/atom; below 0: more stable than all references together; nan: undefined.
        products: reduced formulas and fractions of the competing phases.
        error: why it is undefined.
    """

    e_above_hull: float
    products: Mapping[str, float]
    error: str | None = None


class ReferenceHull:
    """Convex hulls of chemical systems, made when first asked for.

    Args:
        energies: energies of the references by composition, all from one potential.
    """

    def __init__(self, energies: ReferenceEnergies) -> None:
        self.energies = energies
        self.diagram = lru_cache(maxsize=4096)(self._make_diagram)

    def _make_diagram(self, elements: frozenset[int]) -> PhaseDiagram:
        """Return the phase diagram of some elements (by atomic number), all with a reference."""
        from pymatgen.analysis.phase_diagram import PhaseDiagram

        return PhaseDiagram([_entry(key, energy) for key, energy in self.energies.within(elements)])

    def missing(self, elements: Iterable[int]) -> str:
        """Return the symbols of the elements without a reference energy; empty: all have one."""
        names = [symbols()[z] for z in elements if ((z, 1),) not in self.energies.by_formula]
        return ", ".join(sorted(names))

    def diagram_with(
        self, elements: frozenset[int], crystals: Sequence[tuple[str, FormulaKey, float]]
    ) -> PhaseDiagram:
        """Return the phase diagram of some elements with further crystals in it.

        Args:
            elements: atomic numbers, all of elements with a reference.
            crystals: name, reduced composition and energy (eV/atom, from the same potential) of
                each; those with other elements are left out, and those without energy.
        """
        from pymatgen.analysis.phase_diagram import PhaseDiagram

        known = self.diagram(elements).all_entries
        added = [
            _entry(key, energy, name)
            for name, key, energy in crystals
            if math.isfinite(energy) and {z for z, _ in key} <= elements
        ]
        return PhaseDiagram([*known, *added])

    def distance(self, key: FormulaKey, energy: float) -> HullDistance:
        """Return the energy above the hull of the references.

        Args:
            key: reduced composition.
            energy: eV/atom, from the same potential as the references.
        """
        if not math.isfinite(energy):
            return HullDistance(math.nan, {}, "there is no energy")
        elements = frozenset(z for z, _ in key)
        if missing := self.missing(elements):
            return HullDistance(math.nan, {}, f"undefined: no reference energy of {missing}")
        products, distance = self.diagram(elements).get_decomp_and_e_above_hull(
            _entry(key, energy), allow_negative=True
        )
        named = {e.reduced_formula: float(share) for e, share in (products or {}).items()}
        if distance is None:
            return HullDistance(math.nan, {}, "undefined: outside the hull of the references")
        return HullDistance(float(distance), named)


def _entry(key: FormulaKey, energy: float, name: str | None = None) -> Any:
    """Return pymatgen's entry of a composition with an energy in eV/atom."""
    from pymatgen.analysis.phase_diagram import PDEntry

    return PDEntry(composition_of(key), energy * sum(count for _, count in key), name=name)
