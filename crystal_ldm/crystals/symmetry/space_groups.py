"""Space groups: their names, and those of crystals at stated tolerances.

Both come from spglib (Togo & Tanaka 2018).
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

import gemmi

from crystal_ldm.config.numbers import plain_number, short
from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.symmetry.settings import settings_of_name
from crystal_ldm.errors import RequestError, suggest

if TYPE_CHECKING:
    from crystal_ldm.crystals.batch import CrystalBatch

# Not with `catch_warnings` around each call, which is not safe in threads: crystals are made and
# written in several.
warnings.filterwarnings("ignore", "Set OLD_ERROR_HANDLING", DeprecationWarning)

SPACE_GROUP = "space_group"
"""Name of the condition."""
NUM_GROUPS = 230


@cache
def group_types() -> tuple[Any, ...]:
    """Return spglib's description of each group in its first setting, by number from 1."""
    import spglib

    types: dict[int, Any] = {}
    for hall_number in range(1, 531):
        kind: Any = spglib.get_spacegroup_type(hall_number)
        types.setdefault(kind.number, kind)
    return tuple(types[number] for number in range(1, NUM_GROUPS + 1))


def group_symbol(number: int) -> str:
    """Return the short Hermann–Mauguin symbol of a group, such as `Fd-3m`."""
    return str(group_types()[number - 1].international_short)


@cache
def crystal_system(number: int) -> str:
    """Return the crystal system of a group, from `triclinic` to `cubic`."""
    return str(gemmi.find_spacegroup_by_number(number).crystal_system_str())


@cache
def _groups_by_system() -> dict[str, list[int]]:
    systems: dict[str, list[int]] = {}
    for number in range(1, NUM_GROUPS + 1):
        systems.setdefault(crystal_system(number), []).append(number)
    return systems


def group_number(value: object) -> int | None:
    """Return the number of a group given by number or symbol; None for None and NaN.

    Raises:
        RequestError: for something else.
    """
    if value is None or value != value:
        return None
    text = str(plain_number(value)).strip().removesuffix(".0")
    if text.isascii() and text.isdigit() and 1 <= int(text) <= NUM_GROUPS and value is not True:
        return int(text)
    settings = settings_of_name(text) if isinstance(value, str) else ()
    if not settings:
        if text.lower() == "rhombohedral":
            hint = " The crystal system is called 'trigonal'."
        else:
            hint = suggest(text, [group_symbol(n) for n in range(1, NUM_GROUPS + 1)])
        whole = isinstance(value, float) and value.is_integer()  # numbers of a request are floats
        raise RequestError(
            f"There is no space group {text if whole else short(value)}: there are {NUM_GROUPS}; "
            f"give a number from 1 to {NUM_GROUPS} or a symbol such as 'Fm-3m'.{hint}"
        )
    return settings[0].number


def group_numbers(value: object) -> list[int]:
    """Return the groups that a request means: a group, a crystal system, or several of them, in a
    list or a text with commas.

    Raises:
        RequestError: for something else, and for an empty list.
    """
    if hasattr(value, "tolist"):  # an array, a tensor, a column
        value = value.tolist()
    if isinstance(value, str) and "," in value:
        value = [word.strip() for word in value.split(",") if word.strip()]
    if isinstance(value, str) and (of_system := _groups_by_system().get(value.strip().lower())):
        return list(of_system)
    if isinstance(value, list | tuple | set | frozenset | range):
        numbers = sorted({number for one in value for number in group_numbers(one)})
        if not numbers:
            raise RequestError("The list of space groups is empty: name at least one.")
        return numbers
    number = group_number(value)
    return [] if number is None else [number]


@cache
def group_traits() -> tuple[tuple[float, ...], ...]:
    """Return (230, T) flags of what groups share: crystal system, point group, centring."""
    types = group_types()
    systems = [crystal_system(number) for number in range(1, NUM_GROUPS + 1)]
    points = [kind.pointgroup_international for kind in types]
    centrings = [kind.international_short[0] for kind in types]
    columns = [
        (trait, value) for trait in (systems, points, centrings) for value in sorted(set(trait))
    ]
    rows = range(NUM_GROUPS)
    return tuple(tuple(float(trait[row] == value) for trait, value in columns) for row in rows)


def symmetry_dataset(crystal: Cell, symprec: float, angle_tolerance: float = 5.0) -> Any:
    """Return spglib's `SpglibDataset` of a crystal, or None if it finds no symmetry.

    Args:
        crystal: any cell.
        symprec: distance tolerance, Å. A generated crystal is never exact: at 0.01 Å most are P1,
            at 0.1 Å the symmetry that was meant shows.
        angle_tolerance: degrees; the default is that of pymatgen's SpacegroupAnalyzer. A negative
            one is spglib's own default, which decides by symprec alone.
    """
    import spglib

    cell: Any = tuple(crystal)
    try:
        return spglib.get_symmetry_dataset(
            cell,
            symprec=symprec,
            angle_tolerance=angle_tolerance,
        )
    except spglib.SpglibError:
        return None


def space_group(crystal: Cell, symprec: float, angle_tolerance: float = 5.0) -> int | None:
    """Return the number of the space group (1 to 230), or None if spglib finds none.

    Arguments are those of `symmetry_dataset`.
    """
    dataset = symmetry_dataset(crystal, symprec, angle_tolerance)
    return None if dataset is None else int(dataset.number)


def space_group_column(symprec: float) -> str:
    """Return the name of the table's column for a tolerance."""
    return f"space_group@{symprec:g}"


def space_groups_of(crystals: CrystalBatch, symprec: float) -> list[int | None]:
    """Return the space group of each crystal, None where spglib finds none."""
    return [space_group(cell, symprec) for cell in crystals.to_cells()]
