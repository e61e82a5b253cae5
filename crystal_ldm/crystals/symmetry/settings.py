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
# The number behind the symbol, an origin with it: (225), (No. 225), #225, (227, origin choice 2).
_NUMBERED = re.compile(
    r"(?:\s*[(,]\s*(?:no\.?|#)?\s*\d{1,3}\b|\s*(?:no\.?|#)\s*\d{1,3}\b),?\s*\)?"
    r"\s*,?\s*((?:origin.*)?)$|\s*,\s*(?=origin)",
    re.IGNORECASE,
)
_QUALIFIERS = {"S": "1", "Z": "2", "s": "1", "z": "2", "h": "H", "r": "R"}
# \\bar{3}, 3bar, (-3), [-3], \\-3, \\=3 and 3- for the axis that is written -3.
_BAR = re.compile(
    r"\\(?:bar|overline)\s*\{?\s*([1-6])\s*\}?|([1346])\s?bar|[(\[]-([1346])[)\]]|\\[-=]([1346])"
    r"|([1346])-(?=[\s_/A-Za-z]|$)",
    re.IGNORECASE,
)


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
    groups = (group for group in gemmi.spacegroup_table() if group.number == number)
    return tuple(dict.fromkeys(map(_setting, groups)))


@lru_cache(maxsize=4096)
def settings_of_name(name: str) -> tuple[Setting, ...]:
    """Return the settings that a Hermann-Mauguin symbol may mean; none: it is not understood.

    A symbol without an origin choice means both, one of a rhombohedral group both axes.
    """
    text = name.replace("$", "").replace("\u2212", "-").strip()  # the minus sign of papers
    text = _BAR.sub(lambda match: f"-{match[match.lastindex or 0]}", text)
    text = _SCREW.sub(_screw_axis, text)
    text = text.replace("_", " " if " " in text else "").strip()
    text = _NUMBERED.sub(r" \1", text).strip()
    choice = ""
    settings = _by_name().get(_key(text), ())
    if not settings and (match := _QUALIFIER.search(text)):
        choice = _QUALIFIERS.get(match[match.lastindex or 0], match[match.lastindex or 0])
        settings = _by_name().get(_key(text[: match.start()]), ())
    known: gemmi.SpaceGroup | None = gemmi.find_spacegroup_by_name(text)
    if not settings and known is not None:
        settings = _by_name().get(_key(known.hm), ())
    chosen = tuple(s for s in settings if s.choice == choice)
    return chosen if choice and chosen else settings


def _screw_axis(match: re.Match[str]) -> str:
    axis, subscript = match[1], match[match.lastindex or 0]
    # 2(3) is no screw axis: there the number of the space group stands behind its symbol.
    return axis + subscript if subscript < axis else match.group()


def _key(symbol: str) -> str:
    return re.sub(r"[\s_]", "", symbol).lower()


def _setting(group: gemmi.SpaceGroup) -> Setting:
    return Setting(group.number, group.hall, group.ext.replace("\0", ""))


@lru_cache(maxsize=1)
def _by_name() -> dict[str, tuple[Setting, ...]]:
    import spglib

    kinds = map(spglib.get_spacegroup_type, range(1, 531))
    full = {(k.number, k.hall_symbol): k.international_full for k in kinds if k is not None}
    table: dict[str, dict[Setting, None]] = defaultdict(dict)
    # The short symbol of a monoclinic group leaves the unique axis open: b, unless the cell says
    # otherwise (see `readers.cif.symmetry`).
    short: dict[str, dict[Setting, None]] = defaultdict(dict)
    for group in gemmi.spacegroup_table():
        setting, parts = _setting(group), group.hm.split()
        names = [group.hm, full.get((group.number, group.hall), group.hm)]
        if group.number >= 195 and parts[2:3] == ["-3"]:  # F m 3 m, as before 1983
            names.append(" ".join([*parts[:2], "3", *parts[3:]]))
        for name in names:
            table[_key(name)][setting] = None
        if 3 <= group.number <= 15 and parts.count("1") == 2:
            axis = (2, 0, 1)[next(i for i, part in enumerate(parts[1:]) if part != "1")]
            name = "".join(part for part in parts if part != "1")
            short[_key(name)][Setting(group.number, group.hall, "", axis)] = None
    return {key: tuple(settings) for key, settings in {**short, **table}.items()}
