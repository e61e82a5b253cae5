"""From the text of a CIF to its crystal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.cell import FLAT_A3, Cell
from crystal_ldm.crystals.elements import electronegativity_rank
from crystal_ldm.crystals.readers.cif.block import Block, number, read_blocks
from crystal_ldm.crystals.readers.cif.evidence import (
    Evidence,
    confirms,
    contradiction,
    read_evidence,
)
from crystal_ldm.crystals.readers.cif.orbits import expand
from crystal_ldm.crystals.readers.cif.sites import Site, read_sites
from crystal_ldm.crystals.readers.cif.symmetry import Symmetry, read_symmetry
from crystal_ldm.crystals.symmetry.settings import Operations
from crystal_ldm.errors import DataError

_ROOMY = 1.25
"""A cell of more than this times the volume of its elements is not whole, if nothing says it is."""
_EMPTY = 2.0
"""One of more than this is noted where the file says that it is whole."""
_COMPARED_ATOMS = 400


def read_cif(text: str) -> tuple[Cell, list[str], list[str]]:
    """Return the first crystal of a CIF, notes on what was changed, and the names of its others.

    What the file states beside its atoms (formula, Z, volume, density, multiplicities, symbols of
    the space group) must agree with them. Where it leaves the origin or the setting open, these
    facts decide; where they do not, it is refused.

    Raises:
        DataError: if it cannot be parsed, is disordered, incomplete, or contradicts itself.
    """
    blocks = read_blocks(text)
    listing = [b for b in blocks if b.column("_atom_site_fract_x", "_atom_site_cartn_x")]
    crystals = [b for b in listing if b.text("_atom_site_fract_x", "_atom_site_cartn_x")] or listing
    if not crystals:  # a template's block has atoms without places
        raise DataError("The CIF lists no atoms: it holds no crystal, or is cut short.")
    block = next((b for b in crystals if b.has("_cell_length_a")), crystals[0])
    return *_read_block(block), [b.name for b in crystals if b is not block]


def _read_block(block: Block) -> tuple[Cell, list[str]]:
    lattice = _lattice(block)
    evidence = read_evidence(block)
    sites, notes = read_sites(block, frozenset(evidence.counts))
    symmetry = read_symmetry(block, lattice)
    cells: list[Cell] = []
    problems: list[str] = []
    for ops in symmetry.options:
        try:
            cells.append(_build(lattice, sites, ops, evidence, symmetry))
        except DataError as error:
            problems.append(str(error))
    if not cells:
        raise DataError(symmetry.doubt or problems[0])
    if not symmetry.stated:
        if _room(cells[0]) > _ROOMY:
            raise DataError(
                "The CIF says nothing of its symmetry, and its atoms fill a small part of the "
                "cell: others are missing."
            )
        notes.append("A CIF that says nothing of its symmetry is taken to list all atoms.")
    elif len(cells[0]) == len(sites) and _room(cells[0]) > _EMPTY:
        notes.append(
            "A CIF without symmetry (P 1) is read as it is, although its atoms fill a small part "
            "of the cell; see whether some are missing."
        )
    if not all(_same_crystal(cells[0], other) for other in cells[1:]):
        raise DataError(
            "The CIF leaves open which setting (origin or axes) of its space group it uses, and "
            "they give different crystals; write the operations or the setting into it."
        )
    return cells[0], notes


def _build(
    lattice: NDArray[np.float64],
    sites: list[Site],
    ops: Operations,
    evidence: Evidence,
    symmetry: Symmetry,
) -> Cell:
    coords, owner = expand(sites, ops, lattice)
    whole = len(ops) > 1 and len(owner) == len(sites)
    repeated = sorted(set(range(len(sites))) - set(owner.tolist()))
    if repeated and not whole and not confirms(evidence, owner, sites):
        raise DataError(
            f"The CIF lists the atom {sites[repeated[0]].label}, which is an image of another by "
            "symmetry, and not all atoms of the cell: list one atom of each orbit."
        )
    if problem := contradiction(evidence, lattice, owner, sites, len(ops)):
        raise DataError(problem)
    # The space group makes no more atoms than are listed: then its operations may be missing.
    agrees = whole and ops is not symmetry.options[0]
    if symmetry.doubt and not agrees and not confirms(evidence, owner, sites):
        raise DataError(symmetry.doubt)
    numbers = np.array([site.number for site in sites])[owner]
    order = np.argsort(electronegativity_rank()[numbers], kind="stable")
    return Cell.from_arrays(numbers[order], coords[order], lattice)


def _lattice(block: Block) -> NDArray[np.float64]:
    from pymatgen.core import Lattice

    values = [
        number(block.text(f"_cell_{kind}_{name}"), f"the {kind} {name} of the cell")
        for kind, names in (("length", "abc"), ("angle", ("alpha", "beta", "gamma")))
        for name in names
    ]
    with np.errstate(all="ignore"):
        lattice = np.array(Lattice.from_parameters(*values).matrix)
    possible = min(values) > 0 and max(values[3:]) < 180 and np.isfinite(lattice).all()
    if not possible or abs(np.linalg.det(lattice)) < FLAT_A3:
        raise DataError(
            "The CIF states a cell that cannot be: lengths are above 0, angles between 0 and 180, "
            "and it has a volume."
        )
    return lattice


def _room(cell: Cell) -> float:
    """Return the volume of a cell by that of its elements; 1 where one of them has no volume."""
    from pymatgen.core import Element

    volumes = [Element.from_Z(int(z)).molar_volume for z in cell.numbers]
    if any(v is None for v in volumes):
        return 1.0
    return cell.volume * 0.602214 / sum(float(v) for v in volumes)


def _same_crystal(first: Cell, second: Cell) -> bool:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    if len(first) != len(second) or len(first) > _COMPARED_ATOMS:
        return False
    matcher = StructureMatcher(ltol=0.01, stol=0.02, angle_tol=0.5, scale=False)
    return bool(matcher.fit(first.to_structure(), second.to_structure()))
