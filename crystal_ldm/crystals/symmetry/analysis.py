"""The symmetry of one crystal: its cells, Wyckoff positions and operations, found by spglib."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.geometry.bonds import coordination_numbers, crystal_bonds
from crystal_ldm.crystals.symmetry.space_groups import crystal_system, symmetry_dataset
from crystal_ldm.errors import DataError

if TYPE_CHECKING:
    from pymatgen.core import Structure

SYMPREC = 0.1
"""Å, tolerance of the symmetry search; a generated crystal is never exact."""

CELLS = ("as made", "primitive", "conventional", "symmetrised")
"""Cells in which a crystal can be looked at, see `cell_of_kind`."""


def cell_of_kind(structure: Structure, kind: str) -> Structure:
    """Return the same crystal in another cell, in the setting of the International Tables.

    Args:
        structure: the crystal.
        kind: "as made"; "primitive": the smallest cell; "conventional": the cell of the
            International Tables; both with the atoms where they are; "symmetrised": the
            conventional cell with the atoms and the lattice moved onto their symmetry.

    Raises:
        DataError: spglib finds no symmetry; the kind is none of `CELLS`.
    """
    import spglib

    if kind not in CELLS:
        raise DataError(f"There is no cell '{kind}': choose one of {', '.join(CELLS)}.")
    if kind == "as made":
        return structure
    cell: Any = tuple(Cell.from_structure(structure))
    try:
        arrays = spglib.standardize_cell(
            cell,
            to_primitive=kind == "primitive",
            no_idealize=kind != "symmetrised",
            symprec=SYMPREC,
            angle_tolerance=5.0,
        )
    except spglib.SpglibError:
        arrays = None
    if arrays is None:
        raise DataError(_none_found(SYMPREC))
    lattice, coords, numbers = arrays
    return Cell.from_arrays(numbers, coords, lattice).to_structure()


@dataclass(frozen=True)
class WyckoffSite:
    """Symmetry-equivalent atoms of a conventional cell.

    Attributes:
        element: symbol.
        multiplicity: how many there are in the conventional cell.
        letter: Wyckoff letter.
        site_symmetry: point group of the site, as the International Tables orient it.
        coords: fractional coordinates of the first of them.
        coordination: atoms bonded to each (CrystalNN).
    """

    element: str
    multiplicity: int
    letter: str
    site_symmetry: str
    coords: tuple[float, float, float]
    coordination: int


@dataclass(frozen=True)
class Symmetry:
    """What spglib finds of a crystal.

    Attributes:
        symbol, number: its space group.
        system: its crystal system.
        point_group: symbol of its point group.
        sites: its Wyckoff positions, in the symmetrised cell.
        operations: the operations of its conventional cell, such as "-x, y+1/2, z".
        symprec: tolerance with which all this was found, Å.
    """

    symbol: str
    number: int
    system: str
    point_group: str
    sites: tuple[WyckoffSite, ...]
    operations: tuple[str, ...]
    symprec: float


def symmetry_of(structure: Structure, symprec: float = SYMPREC) -> Symmetry:
    """Return space group, Wyckoff positions and operations of a crystal.

    Most of the time (about 0.1 s for 10 atoms) goes to CrystalNN's bonds.

    Args:
        structure: the crystal, in any cell.
        symprec: tolerance of the symmetry search, Å.

    Raises:
        DataError: spglib finds no symmetry.
    """
    from gemmi import symops_from_hall

    found = _dataset(structure, symprec)
    counts = coordination_numbers(crystal_bonds(structure), len(structure))
    multiplicities = _multiplicities(found)
    standard_of = {int(p): i for i, p in reversed(list(enumerate(found.std_mapping_to_primitive)))}
    sites = []
    for orbit in dict.fromkeys(int(one) for one in found.crystallographic_orbits):
        place = found.std_positions[standard_of[int(found.mapping_to_primitive[orbit])]]
        sites.append(
            WyckoffSite(
                element=str(structure[orbit].specie.symbol),
                multiplicity=multiplicities[orbit],
                letter=str(found.wyckoffs[orbit]),
                site_symmetry=str(found.site_symmetry_symbols[orbit]),
                coords=_rounded(place),
                coordination=counts[orbit],
            )
        )
    sites.sort(key=lambda site: (site.multiplicity, site.letter, site.element))
    return Symmetry(
        symbol=str(found.international),
        number=int(found.number),
        system=crystal_system(int(found.number)),
        point_group=str(found.pointgroup),
        sites=tuple(sites),
        # Of the conventional cell; those of `found` are the operations of the cell as it was made.
        operations=tuple(op.triplet().replace(",", ", ") for op in symops_from_hall(found.hall)),
        symprec=symprec,
    )


def wyckoff_letters(structure: Structure) -> list[str]:
    """Return multiplicity and letter of each atom's Wyckoff position, such as "4a".

    Raises:
        DataError: spglib finds no symmetry.
    """
    found = _dataset(structure, SYMPREC)
    return [
        f"{number}{letter}"
        for number, letter in zip(_multiplicities(found), found.wyckoffs, strict=True)
    ]


def _multiplicities(dataset: Any) -> list[int]:
    """Return how many atoms of each atom's orbit the conventional cell holds."""
    orbits = np.asarray(dataset.crystallographic_orbits)
    larger = len(dataset.std_types) / len(orbits)
    return [round(float(members) * larger) for members in np.bincount(orbits)[orbits]]


def _dataset(structure: Structure, symprec: float) -> Any:
    dataset = symmetry_dataset(Cell.from_structure(structure), symprec)
    if dataset is None:
        raise DataError(_none_found(symprec))
    return dataset


def _none_found(symprec: float) -> str:
    return (
        f"spglib finds no symmetry within {symprec:g} Å, as where atoms lie on each other; "
        "look at the cell as made, or choose a finer tolerance."
    )


def _rounded(coords: Any) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in np.round(np.asarray(coords) % 1.0, 6) % 1.0)
    return x, y, z
