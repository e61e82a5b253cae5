"""Space groups at stated tolerances (spglib, Togo & Tanaka 2018)."""

from __future__ import annotations

import warnings
from typing import Any

from crystal_ldm.crystals.cell import Cell


def space_group(crystal: Cell, symprec: float, angle_tolerance: float = 5.0) -> int | None:
    """Return the number of the space group (1 to 230), or None if spglib finds none.

    Args:
        crystal: any cell.
        symprec: distance tolerance, Å. A generated crystal is never exact: at 0.01 Å most are P1,
            at 0.1 Å the symmetry that was meant shows.
        angle_tolerance: degrees; the default is that of pymatgen's SpacegroupAnalyzer, with which
            runs are written too (spglib's own default decides by symprec alone).
    """
    import spglib

    cell: Any = (crystal.lattice, crystal.frac_coords, crystal.numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = spglib.get_symmetry_dataset(
                cell, symprec=symprec, angle_tolerance=angle_tolerance
            )
        except spglib.SpglibError:
            return None
    return None if dataset is None else int(dataset.number)


def space_group_column(symprec: float) -> str:
    """Return the name of the table's column for a tolerance."""
    return f"space_group@{symprec:g}"
