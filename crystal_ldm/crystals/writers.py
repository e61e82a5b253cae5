"""Writing crystals as structure files: symmetrised CIFs and frames of extxyz files."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pymatgen.core import Structure


def symmetrised_cif(structure: Structure, symprec: float) -> tuple[str, str]:
    """Return a CIF with the symmetry found within `symprec` (Å), and the space group's symbol.

    What is written is read back and compared with the crystal: symmetrising with a wide tolerance
    can merge or multiply atoms near special positions. Where that happens the tolerance is made
    finer, and in the end the CIF is the cell as it is, in P1.
    """
    from pymatgen.io.cif import CifWriter
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for tolerance in (symprec, symprec / 3, symprec / 10):
            try:
                symbol = SpacegroupAnalyzer(structure, symprec=tolerance).get_space_group_symbol()
                cif = str(CifWriter(structure, symprec=tolerance))
                if _is_same_crystal(cif, structure):
                    return cif, symbol
            except Exception:  # spglib and pymatgen fail in many ways on crowded cells
                continue
        return str(CifWriter(structure)), "P1"


def _is_same_crystal(cif: str, structure: Structure) -> bool:
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core import Structure

    back = Structure.from_str(cif, fmt="cif")
    same_formula = back.composition.reduced_composition == structure.composition.reduced_composition
    same_density = abs(back.density / structure.density - 1) < 0.05
    return same_formula and same_density and bool(StructureMatcher().fit(back, structure))


def extxyz_frame(structure: Structure, name: str) -> str:
    """Return a crystal as one frame of an extxyz file."""
    from ase import Atoms
    from ase.io import write

    atoms = Atoms(
        numbers=[site.specie.Z for site in structure],
        scaled_positions=structure.frac_coords,
        cell=structure.lattice.matrix,
        pbc=True,
        info={"id": name},
    )
    buffer = io.StringIO()
    write(buffer, atoms, format="extxyz")
    return buffer.getvalue()
