"""The symmetry of one crystal: its cells, Wyckoff positions and operations, found by spglib; and a
crystal moved onto a space group that it nearly has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.bonds import coordination_numbers, crystal_bonds
from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.space_groups import crystal_system, space_group, symmetry_dataset
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
    import spglib

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
    # Of the conventional cell; those of `found` are the operations of the cell as it was made.
    operations: Any = spglib.get_symmetry_from_database(found.hall_number)
    return Symmetry(
        symbol=str(found.international),
        number=int(found.number),
        system=crystal_system(int(found.number)),
        point_group=str(found.pointgroup),
        sites=tuple(sites),
        operations=tuple(_as_text(operations["rotations"], operations["translations"])),
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


def _as_text(rotations: Sequence[Any], translations: Sequence[Any]) -> list[str]:
    from pymatgen.core.operations import SymmOp

    return [
        SymmOp.from_rotation_and_translation(rotation, translation % 1.0).as_xyz_str()
        for rotation, translation in zip(rotations, translations, strict=True)
    ]


def _rounded(coords: Any) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in np.round(np.asarray(coords) % 1.0, 6) % 1.0)
    return x, y, z


TOLERANCES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7)
"""Distances within which symmetry is looked for, Å; the last is the limit."""
STRICT = 0.01
"""Tolerance with which a symmetrised crystal has to have its group, Å."""


def onto_space_group(crystal: Cell, number: int) -> tuple[Cell, float] | None:
    """Return a crystal moved onto a space group, in the same cell, and its largest displacement, Å.

    Symmetry is looked for with a tolerance that rises until spglib finds the group. Then each
    atom goes to the mean of what the operations make of the atoms that they exchange, and the
    metric tensor to its mean over their rotations (the projection onto the invariant part of a
    representation: Serre, Linear Representations of Finite Groups, 1977, section 2.6). The result
    has the group within `STRICT`; else, and where none of the `TOLERANCES` shows it, None.

    Args:
        crystal: any cell.
        number: of the group, 1 to 230.
    """
    for tolerance in TOLERANCES:
        operations = _operations(crystal, number, tolerance)
        if operations is None:
            continue
        moved = _averaged(crystal, *operations)
        if moved is not None and space_group(moved[0], STRICT) == number:
            return moved
    return None


def _operations(
    crystal: Cell, number: int, tolerance: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
    """Return rotations (G, 3, 3) and translations (G, 3) if spglib finds this group."""
    dataset = symmetry_dataset(crystal, tolerance, angle_tolerance=-1.0)
    if dataset is None or dataset.number != number:
        return None
    return np.asarray(dataset.rotations), np.asarray(dataset.translations)


def _averaged(
    crystal: Cell, rotations: NDArray[np.int64], translations: NDArray[np.float64]
) -> tuple[Cell, float] | None:
    """Return the mean over operations, and the largest displacement; None if atoms do not match."""
    coords, numbers = np.asarray(crystal.frac_coords), np.asarray(crystal.numbers)
    metric = np.asarray(crystal.lattice) @ np.asarray(crystal.lattice).T
    total = np.zeros_like(coords)
    for rotation, translation in zip(rotations, translations, strict=True):
        images = coords @ rotation.T + translation
        # difference[i, j]: from atom i to the image of atom j
        difference = images[None] - coords[:, None]
        difference -= np.round(difference)
        squares = np.einsum("ijk,kl,ijl->ij", difference, metric, difference)
        squares[numbers[:, None] != numbers[None]] = np.inf
        source = squares.argmin(axis=1)
        if len(np.unique(source)) < len(source):
            return None
        total += difference[np.arange(len(source)), source]
    shift = total / len(rotations)
    # x -> R x keeps lengths of the new cell: its metric is the mean of R^T M R.
    mean = np.einsum("gji,jk,gkl->il", rotations, metric, rotations) / len(rotations)
    lattice = _lattice_of(mean, np.asarray(crystal.lattice))
    largest = float(np.sqrt(np.einsum("ik,kl,il->i", shift, mean, shift).max()))
    return Cell.from_arrays(numbers, coords + shift, lattice), largest


def _lattice_of(metric: NDArray[np.float64], like: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lattice (3, 3) with a metric tensor that is least turned against another.

    With L the other's rows, L' = L U for the symmetric U with U L^T L U = the new metric in
    Cartesian axes: its strain has no rotation.
    """
    inverse = np.linalg.inv(like)
    stretch = inverse @ metric @ inverse.T
    values, vectors = np.linalg.eigh(stretch)
    lattice: NDArray[np.float64] = like @ (vectors * np.sqrt(values)) @ vectors.T
    return lattice
