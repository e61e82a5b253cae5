"""Settings of space groups by the names that people write, and their operations, from gemmi."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property, lru_cache

import gemmi
import numpy as np
from numpy.typing import NDArray

# What stands behind a symbol: an origin (`:1`, `S`, `:2`, `Z`) or axes (`H`, `R`).
_QUALIFIER = re.compile(r"[\s:]*([12HRSZ])$|\s*:\s*([hrsz])$")
_CHOICES = {"S": "1", "Z": "2"}
_SCREW = re.compile(r"([2346])\(([1-5])\)")  # SHELX writes the axis 4₂ as 4(2)
_BAR_BEHIND = re.compile(r"([1346])-(?=[\s/A-Za-z]|$)")  # 4- for the axis that is written -4


@dataclass(frozen=True, eq=False)
class Operations:
    """Operations x' = W x + t on fractional coordinates: `rotations` (m, 3, 3), `shifts` (m, 3),
    and as `triplets` such as `-x,y+1/2,z`."""

    rotations: NDArray[np.int64]
    shifts: NDArray[np.float64]
    triplets: frozenset[str]

    def __len__(self) -> int:
        return len(self.rotations)

    @classmethod
    def of(cls, ops: list[gemmi.Op]) -> Operations:
        """Take gemmi's operations."""
        rotations = np.array([op.rot for op in ops], dtype=np.int64) // gemmi.Op.DEN
        shifts = np.array([op.tran for op in ops], float) / gemmi.Op.DEN
        return cls(rotations, shifts, frozenset(op.wrap().triplet() for op in ops))

    @cached_property
    def number(self) -> int:
        """Number of the space group that they are, in whatever setting; 0 for none."""
        import spglib

        kind = spglib.get_spacegroup_type_from_symmetry(
            self.rotations.astype(np.intc), self.shifts, symprec=1e-4
        )
        return 0 if kind is None else int(kind.number)

    def fit_cell(self, lattice: NDArray[np.float64]) -> bool:
        """Whether the cell (row vectors) has this symmetry, within 1 %."""
        metric = lattice @ lattice.T
        lengths = np.sqrt(np.diag(metric))
        turned = self.rotations.transpose(0, 2, 1) @ metric @ self.rotations
        drift = np.abs(turned - metric) / np.outer(lengths, lengths)
        return bool(drift.max() < 0.01)


@lru_cache(maxsize=1024)
def hall_operations(hall: str) -> Operations | None:
    """Return the operations of a Hall symbol; None if it is not one."""
    try:
        ops = list(gemmi.symops_from_hall(hall))
    except (ValueError, RuntimeError):
        return None
    return Operations.of(ops) if ops else None


def settings_of_number(number: int) -> tuple[gemmi.SpaceGroup, ...]:
    """Return all settings of a space group, the standard ones first."""
    return tuple(group for group in gemmi.spacegroup_table() if group.number == number)


@lru_cache(maxsize=4096)
def settings_of_name(name: str) -> tuple[gemmi.SpaceGroup, ...]:
    """Return the settings that a Hermann-Mauguin symbol may mean; none: it is not understood.

    A symbol without an origin choice means both, one of a rhombohedral group both axes.
    """
    text = _BAR_BEHIND.sub(r"-\1", _SCREW.sub(r"\1\2", name.replace("_", "").strip()))
    choice = ""
    settings = _by_name().get(_key(text), [])
    if not settings and (match := _QUALIFIER.search(text)):
        choice = (match.group(1) or match.group(2)).upper()
        settings = _by_name().get(_key(text[: match.start()]), [])
    known = gemmi.find_spacegroup_by_name(text)
    if not settings and known is not None:
        settings = _by_name()[_key(known.hm)]
    chosen = [group for group in settings if group.ext == _CHOICES.get(choice, choice)]
    return tuple(chosen or settings)


def _key(symbol: str) -> str:
    return re.sub(r"\s", "", symbol).lower()


@lru_cache(maxsize=1)
def _by_name() -> dict[str, list[gemmi.SpaceGroup]]:
    table: dict[str, list[gemmi.SpaceGroup]] = defaultdict(list)
    short: dict[str, list[gemmi.SpaceGroup]] = defaultdict(list)
    for group in gemmi.spacegroup_table():
        table[_key(group.hm)].append(group)
        if group.number >= 195:  # F m 3 m, as before 1983
            short[_key(re.sub(r"^(\S+ \S+) -3", r"\1 3", group.hm))].append(group)
        # P 21/c and the like: b is the unique axis where the symbol leaves it open.
        short[_key(group.short_name())].append(group)
    return {**short, **table}
