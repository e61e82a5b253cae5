"""Crystals that are Python objects: pymatgen Structures, ASE Atoms, dictionaries, paths."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from crystal_ldm.crystals.cell import FLAT_A3, NOT_PERIODIC, Cell
from crystal_ldm.crystals.readers.entries import DISORDERED, read_payload
from crystal_ldm.crystals.readers.json_layouts import site_notes
from crystal_ldm.errors import DataError

SUPPORTED = "a pymatgen Structure, ASE Atoms, a structure's dictionary, or a path"


def cell_of(item: Any) -> tuple[Cell, list[str]]:
    """Return the cell of a crystal, coordinates as they are, and notes on what was changed.

    Args:
        item: a `Cell`, a pymatgen Structure, ASE Atoms, `Structure.as_dict()`, or the path of a
            file that holds one crystal.

    Raises:
        DataError: if it is none of these, or cannot be used.
    """
    if isinstance(item, Cell):
        return item, []
    if item is None:
        raise DataError("There is no structure.")
    if isinstance(item, dict):
        from crystal_ldm.crystals.readers.json_files import record_cell

        return record_cell(item)
    if isinstance(item, (str, Path)):
        return file_cell(item)
    if is_atoms(item):
        return atoms_cell(item), []
    if is_structure(item):
        cell = Cell.from_structure(item)
        return cell, site_notes([s.label for s in item], [s.specie.name for s in item])
    raise DataError(f"{type(item).__name__} is no crystal; give {SUPPORTED}.")


def atoms_cell(atoms: Any) -> Cell:
    """Return the cell of ASE Atoms.

    Raises:
        DataError: if it is not periodic, disordered, flat or not finite.
    """
    if not all(atoms.pbc):
        raise DataError(NOT_PERIODIC)
    if _partly_occupied(atoms):
        raise DataError(DISORDERED)
    lattice = np.array(atoms.cell.array, dtype=np.float64)
    if abs(np.linalg.det(lattice)) < FLAT_A3:
        raise DataError("The cell has no volume.")
    return Cell.from_arrays(atoms.numbers, atoms.get_scaled_positions(wrap=False), lattice)


def _partly_occupied(atoms: Any) -> bool:
    """Whether ASE's Atoms say so: its CIF reader keeps one species a site, the others aside."""
    kinds = atoms.info.get("occupancy")
    shares = [*atoms.arrays.get("occupancy", ()), *atoms.arrays.get("occupancies", ())]
    if isinstance(kinds, dict):
        shares += [n for group in kinds.values() if isinstance(group, dict) for n in group.values()]
    return any(isinstance(share, (int, float)) and abs(share - 1) > 1e-3 for share in shares)


def cells_of(items: Any) -> list[Any]:
    """Return a list of crystals as a list.

    Raises:
        DataError: if it is something else, a single crystal among them.
    """
    if isinstance(items, (set, frozenset)):
        raise DataError(
            "Give crystals as a list: the order of a set differs from run to run, and so would "
            "theirs."
        )
    single = isinstance(items, (str, bytes, Path, dict)) or is_structure(items) or is_atoms(items)
    if single or not isinstance(items, Iterable):
        raise DataError(
            f"A list of crystals is wanted ({SUPPORTED} for each), not {type(items).__name__}."
        )
    return list(items)


def is_atoms(item: Any) -> bool:
    """Whether it is ASE Atoms."""
    return hasattr(item, "get_scaled_positions") and hasattr(item, "pbc")


def is_structure(item: Any) -> bool:
    """Whether it is a pymatgen structure."""
    return hasattr(item, "frac_coords") and hasattr(item, "is_ordered")


def file_cell(path: str | Path, first_of_cif: bool = False) -> tuple[Cell, list[str]]:
    """Return the cell of a file that holds one crystal, and notes on what was changed.

    With `first_of_cif` a CIF may hold several: the first is taken, and a note says so.

    Raises:
        DataError: if it cannot be read or holds another number.
    """
    from crystal_ldm.crystals.readers.sources import open_source

    entries = open_source(path).read().entries
    if len(entries) != 1:
        raise DataError(f"'{path}' holds {len(entries)} crystals; give a file that holds one.")
    cell, notes = read_payload(entries[0].payload, alone=not first_of_cif)
    return cell, [*entries[0].notes, *notes]
