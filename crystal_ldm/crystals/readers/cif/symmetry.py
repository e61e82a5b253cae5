"""Which symmetry operations a CIF means: listed ones, or those of a space group that it names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.readers.cif.block import Block
from crystal_ldm.crystals.symmetry.settings import (
    Operations,
    Setting,
    hall_operations,
    operations,
    settings_of_name,
    settings_of_number,
)
from crystal_ldm.errors import DataError

_XYZ = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
_MAGNETIC = "_space_group_symop_magn_operation_xyz"
_MAGNETIC_CENTRING = "_space_group_symop_magn_centering_xyz"
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
_MODULATED = ("_cell_modulation_dimension", "_space_group_ssg_name", "_cell_wave_vector_seq_id")

IDENTITY = operations([gemmi.Op("x,y,z")])


@dataclass(frozen=True)
class Symmetry:
    """What a CIF says about its symmetry.

    Attributes:
        options: sets of operations that it may mean; more than one where the origin, the axes or
            the setting are left open, or where it contradicts itself.
        doubt: a sentence if an option is to be believed only where formula, Z or multiplicities
            agree with it; else "".
        stated: whether it says anything at all.
    """

    options: tuple[Operations, ...]
    doubt: str = ""
    stated: bool = True


def read_symmetry(block: Block, lattice: NDArray[np.float64]) -> Symmetry:
    """Return what a block says about its symmetry.

    Raises:
        DataError: if it cannot be understood, contradicts itself or the cell.
    """
    if block.has(*_MODULATED):
        raise DataError("It is a modulated structure, which has no unit cell.")
    listed = _listed(block)
    named, words = _named(block)
    if listed is not None:
        if not listed.fit_cell(lattice):
            raise DataError("The cell does not have the symmetry of the operations listed.")
        numbers = {setting.number for setting in named}
        if not numbers or _number_of(listed) in numbers:
            return Symmetry((listed,))
        doubt = f"The operations listed ({len(listed)}) are not those of the space group {words}."
        return Symmetry((listed, *_operations(named, lattice)), doubt)
    if named:
        options = _operations(named, lattice)
        if not options:
            raise DataError(f"The cell does not have the symmetry of its space group {words}.")
        return Symmetry(options)
    if words:
        raise DataError(
            f"The space group {words} is not understood, and the CIF lists no operations: its "
            "symmetry is unknown."
        )
    if block.has(*_XYZ, *_NAMES, *_HALL, *_NUMBER):
        doubt = "The CIF does not say which space group it has: its symmetry is unknown."
        return Symmetry((IDENTITY,), doubt)
    return Symmetry((IDENTITY,), stated=False)


def _joined(texts: list[str]) -> list[str]:
    """Join what stood in the column without quotes: `x,` `y,` `z` is one operation."""
    if not any(text.endswith(",") for text in texts):
        return texts
    components = [part.strip() for part in " ".join(texts).replace(", ", ",").split(",")]
    flat = [word for part in components for word in part.split()]
    return [",".join(flat[i : i + 3]) for i in range(0, len(flat), 3)]


def _listed(block: Block) -> Operations | None:
    xyz = _joined([text for text in block.column(*_XYZ) or () if text])
    if not xyz and block.has(_MAGNETIC):
        centring = tuple(block.column(_MAGNETIC_CENTRING) or ("x,y,z,+1",))
        return _of_texts(tuple(block.column(_MAGNETIC) or ()), centring, magnetic=True)
    return _of_texts(tuple(xyz)) if xyz else None


@lru_cache(maxsize=256)
def _of_texts(
    texts: tuple[str, ...], centring: tuple[str, ...] = ("x,y,z",), magnetic: bool = False
) -> Operations:
    """Return the operations of `x, y, z` texts; of magnetic ones without the time reversal.

    Raises:
        DataError: if one cannot be read, or they are no group.
    """

    def parse(text: str) -> gemmi.Op:
        text = text.strip("'\" ")
        if magnetic:
            text = text.rpartition(",")[0]
        try:
            return gemmi.Op(text).wrap()
        except (ValueError, RuntimeError) as error:
            raise DataError(f"The symmetry operation '{text[:40]}' cannot be read.") from error

    ops = [(parse(text) * parse(shift)).wrap() for text in texts for shift in centring]
    distinct = {op.triplet(): op for op in ops}
    products = ((a * b).wrap().triplet() for a in distinct.values() for b in distinct.values())
    if "x,y,z" not in distinct or not all(product in distinct for product in products):
        raise DataError("The symmetry operations listed are not a group; some are missing.")
    return operations(list(distinct.values()))


def _named(block: Block) -> tuple[tuple[Setting, ...], str]:
    """Return the settings that Hall symbol, Hermann-Mauguin symbol and number allow, and words.

    Raises:
        DataError: if they contradict each other.
    """
    hall, name, number = block.text(*_HALL), block.text(*_NAMES), block.text(*_NUMBER)
    number = number.lstrip("#No. ").rstrip(".")
    if bare := re.fullmatch(r"(?:#|no\.?|number)?\s*(\d{1,3})", name, re.IGNORECASE):
        if _is_number(number) and int(number) != int(bare.group(1)):
            raise DataError(f"The CIF names two space groups, {bare.group(1)} and number {number}.")
        name, number = "", bare.group(1)
    words = name or hall or (f"number {number}" if number else "")
    options: tuple[Setting, ...] = ()
    if name:
        options = settings_of_name(name)
        if not options and not hall and hall_operations(name) is not None:
            hall = name
        code = block.text(_CODE).upper()
        options = tuple(s for s in options if s.choice == code) or options
    if hall and (ops := hall_operations(hall)) is not None:
        by_hall = Setting(_number_of(ops), hall, "")
        if options and by_hall.number not in {s.number for s in options}:
            raise DataError(f"The CIF names two space groups, '{name}' and '{hall}'.")
        same = tuple(
            s for s in options if (o := hall_operations(s.hall)) and o.triplets == ops.triplets
        )
        # A Hall symbol leaves nothing open. Where the other symbol means another setting, both are
        # tried, and the atoms decide.
        options = same or (by_hall, *options)
    if _is_number(number):
        if options and int(number) not in {s.number for s in options}:
            raise DataError(f"The CIF names two space groups, {words} and number {number}.")
        options = tuple(s for s in options if s.number == int(number))
        options = options or settings_of_number(int(number))
    return options, words


def _is_number(text: str) -> bool:
    return text.isdecimal() and 1 <= int(text) <= 230


def _operations(
    settings: tuple[Setting, ...], lattice: NDArray[np.float64]
) -> tuple[Operations, ...]:
    """Return the operations of the settings that the cell allows.

    Of a short monoclinic symbol it is b as the unique axis, unless only another one fits the cell.
    """
    candidates = [(setting.axis, hall_operations(setting.hall)) for setting in settings]
    fitting = [(axis, ops) for axis, ops in candidates if ops and ops.fit_cell(lattice)]
    first = min((axis for axis, _ in fitting), default=0)
    return tuple(ops for axis, ops in fitting if axis == first)


@lru_cache(maxsize=256)
def _number_of(ops: Operations) -> int:
    """Return the number of the space group that operations are, in whatever setting."""
    import spglib

    kind = spglib.get_spacegroup_type_from_symmetry(
        ops.rotations.astype(np.intc), ops.shifts, symprec=1e-4
    )
    return 0 if kind is None else int(kind.number)
