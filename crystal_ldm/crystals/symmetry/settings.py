"""Space groups by the names that people write: 560 settings of gemmi, full symbols of spglib."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache

import gemmi
import numpy as np
from numpy.typing import NDArray

_QUALIFIER = re.compile(
    r"\s*(?::\s*([12HRhrSZ])|\(?\s*origin\s*(?:choice|setting)?\s*([12])\s*\)?|\bO([12])"
    r"|(?<=[\da-z\s])([ZSHR])|(?<=\s)([zs])|(?<=[-\dA-Z])([ZS]))\s*$"
)
# The subscript of a screw axis, as SHELX and journals write it: 2(1), 4~2~, 6sub3, 4_{2}.
_SCREW = re.compile(r"([2346])(?:\(([1-5])\)|~([1-5])~|sub([1-5])|_?\{([1-5])\})")
_BAR_BEHIND = re.compile(r"([1346])-(?=[\s_/A-Za-z]|$)")  # 4- for the axis that is written -4
# The number behind the symbol, an origin with it: (225), (No. 225), #225, (227, origin choice 2).
_NUMBERED = re.compile(
    r"(?:\s*[(,]\s*(?:no\.?|#)?\s*\d{1,3}\b|\s*(?:no\.?|#)\s*\d{1,3}\b),?\s*\)?"
    r"\s*,?\s*((?:origin.*)?)$|\s*,\s*(?=origin)",
    re.IGNORECASE,
)
_QUALIFIERS = {"S": "1", "Z": "2", "s": "1", "z": "2", "h": "H", "r": "R"}
# 3bar, (-3), [-3], \\-3, \\=3 for the axis that is written -3.
_BAR = re.compile(r"([1346])\s?bar|[(\[]-([1346])[)\]]|\\[-=]([1346])", re.IGNORECASE)
_BAR_IN_TEX = re.compile(r"\\(?:bar|overline)\s*\{?\s*([1-6])\s*\}?")


@dataclass(frozen=True, eq=False)
class Operations:
    """Operations x' = W x + t on fractional coordinates: `rotations` (m, 3, 3), `shifts` (m, 3),
    and as `triplets` such as `-x,y+1/2,z`."""

    rotations: NDArray[np.int64]
    shifts: NDArray[np.float64]
    triplets: frozenset[str]

    def __len__(self) -> int:
        return len(self.rotations)

    def fit_cell(self, lattice: NDArray[np.float64]) -> bool:
        """Whether the cell (row vectors) has this symmetry, within 1 %."""
        metric = lattice @ lattice.T
        lengths = np.sqrt(np.diag(metric))
        turned = self.rotations.transpose(0, 2, 1) @ metric @ self.rotations
        drift = np.abs(turned - metric) / np.outer(lengths, lengths)
        return bool(drift.max() < 0.01)


@dataclass(frozen=True)
class Setting:
    """One setting of a space group.

    Attributes:
        number: 1 to 230.
        hall: its Hall symbol.
        choice: `1` or `2` (origin), `H` or `R` (axes), or "".
        axis: position in `b`, `c`, `a` of the unique axis that a short monoclinic symbol leaves
            open; 0 where nothing is.
    """

    number: int
    hall: str
    choice: str
    axis: int = 0


def operations(ops: list[gemmi.Op]) -> Operations:
    """Return gemmi's operations as arrays and triplets."""
    rotations = np.array([op.rot for op in ops], dtype=np.int64) // gemmi.Op.DEN
    shifts = np.array([op.tran for op in ops], float) / gemmi.Op.DEN
    return Operations(rotations, shifts, frozenset(op.wrap().triplet() for op in ops))


@lru_cache(maxsize=1024)
def hall_operations(hall: str) -> Operations | None:
    """Return the operations of a Hall symbol; None if it is not one."""
    try:
        group = gemmi.symops_from_hall(hall)
    except (ValueError, RuntimeError):
        return None
    return operations(list(group)) if len(list(group)) else None


def settings_of_number(number: int) -> tuple[Setting, ...]:
    """Return all settings of a space group, the standard ones first."""
    return _by_number().get(number, ())


@lru_cache(maxsize=4096)
def settings_of_name(name: str) -> tuple[Setting, ...]:
    """Return the settings that a Hermann-Mauguin symbol may mean; none: it is not understood.

    A symbol without an origin choice means both, one of a rhombohedral group both axes.
    """
    text = _BAR_IN_TEX.sub(r"-\1", name.replace("$", "").strip())
    text = _BAR.sub(lambda match: f"-{next(filter(None, match.groups()))}", text)
    text = _SCREW.sub(_screw_axis, text)
    text = _BAR_BEHIND.sub(r"-\1", text)
    text = text.replace("_", " " if " " in text else "").strip()
    text = _NUMBERED.sub(r" \1", text).strip()
    choice = ""
    settings = _by_name().get(_key(text), ())
    if not settings and (match := _QUALIFIER.search(text)):
        choice = next(group for group in match.groups() if group)
        choice = _QUALIFIERS.get(choice, choice)
        settings = _by_name().get(_key(text[: match.start()]), ())
    known: gemmi.SpaceGroup | None = gemmi.find_spacegroup_by_name(text)
    if not settings and known is not None:
        settings = _by_name().get(_key(known.hm), ())
    chosen = tuple(s for s in settings if s.choice == choice)
    return chosen if choice and chosen else settings


def _screw_axis(match: re.Match[str]) -> str:
    axis, *subscripts = match.groups()
    subscript = next(text for text in subscripts if text)
    # 2(3) is no screw axis: there the number of the space group stands behind its symbol.
    return axis + subscript if subscript < axis else match.group()


def _key(symbol: str) -> str:
    return re.sub(r"[\s_]", "", symbol).lower()


@lru_cache(maxsize=1)
def _by_number() -> dict[int, tuple[Setting, ...]]:
    table: dict[int, list[Setting]] = defaultdict(list)
    for group in gemmi.spacegroup_table():
        setting = Setting(group.number, group.hall, group.ext.replace("\0", ""))
        if setting not in table[group.number]:
            table[group.number].append(setting)
    return {number: tuple(settings) for number, settings in table.items()}


@lru_cache(maxsize=1)
def _by_name() -> dict[str, tuple[Setting, ...]]:
    import spglib

    table: dict[str, list[Setting]] = defaultdict(list)
    short: dict[str, list[Setting]] = defaultdict(list)

    def add(names: dict[str, list[Setting]], symbol: str, setting: Setting) -> None:
        if setting not in names[_key(symbol)]:
            names[_key(symbol)].append(setting)

    for group in gemmi.spacegroup_table():
        setting = Setting(group.number, group.hall, group.ext.replace("\0", ""))
        add(table, group.hm, setting)
        parts = group.hm.split()
        if 3 <= group.number <= 15 and parts.count("1") == 2:
            axis = (2, 0, 1)[next(i for i, part in enumerate(parts[1:]) if part != "1")]
            open_axis = Setting(group.number, group.hall, "", axis)
            add(short, " ".join(part for part in parts if part != "1"), open_axis)
        if group.number >= 195 and len(parts) > 2 and parts[2] == "-3":  # F m 3 m, as before 1983
            add(table, " ".join([*parts[:2], "3", *parts[3:]]), setting)
    for hall_number in range(1, 531):
        kind = spglib.get_spacegroup_type(hall_number)
        if kind is None:
            continue
        same = [s for s in settings_of_number(kind.number) if s.hall == kind.hall_symbol]
        for setting in same:
            add(table, kind.international_full, setting)
    # The short symbol of a monoclinic group leaves the unique axis open: b, unless the cell says
    # otherwise (see `symmetry`).
    for key, settings in short.items():
        table.setdefault(key, settings)
    return {key: tuple(settings) for key, settings in table.items()}
