"""Small real crystals for the tests of the widgets."""

from __future__ import annotations

from pymatgen.core import Lattice, Structure

PEROVSKITE_SITES = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]


def perovskite(a: float = 3.91, elements: tuple[str, str, str] = ("Sr", "Ti", "O")) -> Structure:
    """Return cubic ABX3."""
    first, second, anion = elements
    return Structure(Lattice.cubic(a), [first, second, anion, anion, anion], PEROVSKITE_SITES)


def rock_salt(a: float = 5.64) -> Structure:
    """Return the conventional cell of NaCl, 8 atoms."""
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(a), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3]
    )


def copper() -> Structure:
    """Return the primitive cell of copper: one atom."""
    half = 3.61 / 2
    return Structure(
        Lattice([[0, half, half], [half, 0, half], [half, half, 0]]), ["Cu"], [[0] * 3]
    )
