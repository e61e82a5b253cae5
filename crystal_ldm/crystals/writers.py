"""Writing crystals as structure files: symmetrised CIFs and frames of extxyz files."""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.elements import symbols
from crystal_ldm.crystals.same_crystal import SAME_CRYSTAL, rms_distance
from crystal_ldm.crystals.symmetry.settings import hall_operations
from crystal_ldm.crystals.symmetry.space_groups import symmetry_dataset

_LARGEST_STRAIN = 0.05
_LARGEST_SHIFT = 0.3
"""How far symmetrising may move an atom, in (volume / atom)^(1/3)."""
_SAME_PLACE = 1e-4  # in fractions of the cell; the idealised cell is exact
_P1 = "P 1"  # Hall symbol


def symmetrised_cif(crystal: Cell, symprec: float) -> tuple[str, str]:
    """Return a CIF with the symmetry found within `symprec` (Å), and the space group's symbol.

    The CIF holds the idealised standard cell of spglib (Togo, Shinohara & Tanaka 2024). Its atoms
    are compared with the crystal's: symmetrising with a wide tolerance can merge or multiply atoms
    near special positions. Where that happens the tolerance is made finer, and in the end the CIF
    is the cell as it is, in P1.
    """
    for tolerance in (symprec, symprec / 3, symprec / 10):
        dataset = symmetry_dataset(crystal, tolerance)
        if dataset is None or not _is_same_crystal(dataset, crystal):
            continue
        standard = Cell(dataset.std_lattice, dataset.std_positions, dataset.std_types)
        orbits = _orbits(standard, dataset.hall)
        if orbits is not None:
            return _cif(standard, orbits, dataset.hall), str(dataset.international)
    return cif_without_symmetry(crystal), "P1"


def cif_without_symmetry(crystal: Cell) -> str:
    """Return a CIF of the cell as it is."""
    return _cif(crystal, [np.array([i]) for i in range(len(crystal))], _P1)


def _is_same_crystal(dataset: Any, crystal: Cell) -> bool:
    """Whether spglib's standard cell has the same atoms, nearly in the same places."""
    from pymatgen.core import Lattice
    from pymatgen.util.coord import pbc_shortest_vectors

    atoms, standard_atoms = (np.bincount(z) for z in (crystal.numbers, dataset.std_types))
    if not np.array_equal(atoms * len(dataset.std_types), standard_atoms * len(crystal)):
        return False
    # Coordinates (columns) go by the transformation, lattice vectors (rows) by its inverse.
    transformation = np.asarray(dataset.transformation_matrix)
    unstrained = np.linalg.inv(transformation).T @ crystal.lattice
    deformation = np.linalg.solve(unstrained, dataset.std_lattice)
    stretches = np.linalg.svd(deformation, compute_uv=False)
    if np.abs(stretches - 1).max() > _LARGEST_STRAIN:
        return False
    frac_coords = crystal.frac_coords @ transformation.T + dataset.origin_shift
    _, squares = pbc_shortest_vectors(
        Lattice(dataset.std_lattice), frac_coords, dataset.std_positions, return_d2=True
    )
    # Both cells are copies of the same primitive cell, and the dataset says of which of its atoms.
    squares[dataset.mapping_to_primitive[:, None] != dataset.std_mapping_to_primitive] = np.inf
    size = (crystal.volume / len(crystal)) ** (1 / 3)
    if np.sqrt(squares.min(axis=1).max()) > _LARGEST_SHIFT * size:
        return False
    if len(np.unique(dataset.mapping_to_primitive)) == len(crystal):
        return True
    # A smaller cell was found, perhaps only because the tolerance is wide: is it still the crystal?
    standard = Cell(dataset.std_lattice, dataset.std_positions, dataset.std_types)
    return rms_distance((standard, crystal), SAME_CRYSTAL) is not None


def _orbits(crystal: Cell, hall: str) -> list[NDArray[np.int64]] | None:
    """Return the atoms that the operations of a Hall symbol exchange, an array for each orbit.

    None: an operation leads from an atom to a place without one of its element.
    """
    operations = hall_operations(hall)
    assert operations is not None  # spglib's symbols are known
    orbits, left = [], np.ones(len(crystal), dtype=bool)
    for i, coords in enumerate(crystal.frac_coords):
        if not left[i]:
            continue
        apart = (operations.rotations @ coords + operations.shifts)[:, None] - crystal.frac_coords
        same = np.abs(apart - np.round(apart)).max(axis=-1) < _SAME_PLACE
        same &= left & (crystal.numbers == crystal.numbers[i])
        if not same.any(axis=1).all():
            return None
        orbits.append(np.flatnonzero(same.any(axis=0)))
        left[orbits[-1]] = False
    return orbits


def _cif(crystal: Cell, orbits: list[NDArray[np.int64]], hall: str) -> str:
    import gemmi
    from pymatgen.core import Lattice

    operations = gemmi.symops_from_hall(hall)
    group = gemmi.find_spacegroup_by_ops(operations)
    lattice = Lattice(crystal.lattice)
    counts = Counter(symbols()[z] for z in crystal.numbers)
    block = gemmi.cif.Block(crystal.formula)
    for name, value in zip(
        ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"),
        lattice.parameters,
        strict=True,
    ):
        block.set_pair(f"_cell_{name}", f"{value:.8f}")
    for name, text in (
        ("_cell_volume", f"{lattice.volume:.8f}"),
        ("_chemical_formula_sum", " ".join(f"{s}{n}" for s, n in counts.items())),
        ("_chemical_formula_structural", crystal.formula),
        ("_cell_formula_units_Z", str(len(crystal) // sum(n for _, n in crystal.formula_key))),
        ("_symmetry_space_group_name_H-M", group.xhm()),
        ("_symmetry_space_group_name_Hall", group.hall),
        ("_symmetry_Int_Tables_number", str(group.number)),
    ):
        block.set_pair(name, gemmi.cif.quote(text))
    loop = block.init_loop("_symmetry_equiv_pos_", ["site_id", "as_xyz"])
    for i, operation in enumerate(operations, start=1):
        loop.add_row([str(i), gemmi.cif.quote(operation.triplet())])
    columns = "type_symbol label symmetry_multiplicity fract_x fract_y fract_z occupancy"
    loop = block.init_loop("_atom_site_", columns.split())
    labels = Counter[str]()
    for orbit in orbits:
        symbol = symbols()[crystal.numbers[orbit[0]]]
        labels[symbol] += 1
        place = (f"{x:.8f}" for x in crystal.frac_coords[orbit[0]] % 1.0)
        loop.add_row([symbol, f"{symbol}{labels[symbol]}", str(len(orbit)), *place, "1"])
    return block.as_string()


def extxyz_frame(crystal: Cell, name: str) -> str:
    """Return a crystal as one frame of an extxyz file."""
    from ase.io import write

    atoms = crystal.to_atoms()
    atoms.info["id"] = name
    buffer = io.StringIO()
    write(buffer, atoms, format="extxyz")
    return buffer.getvalue()
