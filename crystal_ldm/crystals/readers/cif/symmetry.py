"""Which symmetry operations a CIF means: listed ones, or those of a space group that it names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.readers.cif.block import Block
from crystal_ldm.crystals.symmetry.settings import (
    Operations,
    hall_operations,
    settings_of_name,
    settings_of_number,
)
from crystal_ldm.errors import DataError

_XYZ = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
_NAMES = (
    "_space_group_name_h_m_alt",
    "_symmetry_space_group_name_h_m",
    "_space_group_name_h_m_full",
    "_symmetry_space_group_name_h_m_full",
    "_space_group_name_h_m_ref",
)
_HALL = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
_NUMBER = ("_space_group_it_number", "_symmetry_int_tables_number")
_CODE = "_space_group_it_coordinate_system_code"
_NO_CRYSTAL = ("_cell_modulation_dimension", "_space_group_ssg_name", "_cell_wave_vector_seq_id",
               "_space_group_symop_magn_operation_xyz")  # fmt: skip


@dataclass(frozen=True)
class Symmetry:
    """What a CIF says about its symmetry.

    Attributes:
        options: sets of operations that it may mean; more than one where the origin, the axes or
            the setting are left open.
        stated: whether it says anything at all.
    """

    options: tuple[Operations, ...]
    stated: bool = True


def read_symmetry(block: Block, lattice: NDArray[np.float64]) -> Symmetry:
    """Return what a block says about its symmetry.

    Raises:
        DataError: if it cannot be understood, contradicts itself or the cell.
    """
    if block.has(*_NO_CRYSTAL):
        raise DataError("It is a modulated or magnetic structure, of which no cell is read.")
    named, words = _named(block)
    options = named
    if xyz := tuple(text for text in block.column(*_XYZ) or () if text):
        listed = _listed(xyz)
        if named and listed.number not in {ops.number for ops in named}:
            raise DataError(
                f"The operations listed ({len(listed)}) are not those of the space group {words}."
            )
        options = (listed,)
    elif words and not named:
        raise DataError(
            f"The space group {words} is not understood, and the CIF lists no operations: its "
            "symmetry is unknown."
        )
    elif not named and block.has(*_XYZ, *_NAMES, *_HALL, *_NUMBER):
        raise DataError("The CIF does not say which space group it has: its symmetry is unknown.")
    elif not named:
        return Symmetry((_listed(("x,y,z",)),), stated=False)
    options = tuple(ops for ops in options if ops.fit_cell(lattice))
    if not options:
        what = f"its space group {words}" if named else "the operations listed"
        raise DataError(f"The cell does not have the symmetry of {what}.")
    return Symmetry(options)


@lru_cache(maxsize=256)
def _listed(texts: tuple[str, ...]) -> Operations:
    """Return the operations of `x, y, z` texts.

    Raises:
        DataError: if one cannot be read, or they are no group.
    """
    distinct: dict[str, gemmi.Op] = {}
    for text in texts:
        try:
            op = gemmi.Op(text.strip("'\" ")).wrap()
        except (ValueError, RuntimeError) as error:
            raise DataError(f"The symmetry operation '{text[:40]}' cannot be read.") from error
        distinct[op.triplet()] = op
    products = ((a * b).wrap().triplet() for a in distinct.values() for b in distinct.values())
    if "x,y,z" not in distinct or not all(product in distinct for product in products):
        raise DataError("The symmetry operations listed are not a group; some are missing.")
    return Operations.of(list(distinct.values()))


def _named(block: Block) -> tuple[tuple[Operations, ...], str]:
    """Return the settings that Hall symbol, Hermann-Mauguin symbol and number allow, and words.

    Raises:
        DataError: if they contradict each other.
    """
    hall, name, number = block.text(*_HALL), block.text(*_NAMES), block.text(*_NUMBER)
    number = number if number.isdecimal() and 1 <= int(number) <= 230 else ""
    words = name or hall or (f"number {number}" if number else "")
    code = block.text(_CODE).upper()
    groups = (settings_of_name(f"{name}:{code}") if code else ()) or settings_of_name(name)
    options = _operations(groups)
    if by_hall := hall_operations(hall):
        if options and by_hall.number not in {ops.number for ops in options}:
            raise DataError(f"The CIF names two space groups, '{name}' and '{hall}'.")
        # A Hall symbol leaves nothing open. Where the other symbol means another setting, both are
        # tried, and the atoms decide.
        same = tuple(ops for ops in options if ops.triplets == by_hall.triplets)
        options = same or (by_hall, *options)
    if number:
        if options and int(number) not in {ops.number for ops in options}:
            raise DataError(f"The CIF names two space groups, {words} and number {number}.")
        options = options or _operations(settings_of_number(int(number)))
    return options, words


def _operations(groups: tuple[gemmi.SpaceGroup, ...]) -> tuple[Operations, ...]:
    return tuple(ops for group in groups if (ops := hall_operations(group.hall)))
