"""POSCAR files; whatever in one is not as it should be is said with its line."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.elements import symbols
from crystal_ldm.errors import DataError

NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
HYDROGEN = "Deuterium and tritium are read as hydrogen."
_HEAVY = ("D", "T")


def read_poscar(text: str) -> tuple[Cell, list[str]]:
    """Return the crystal in the text of a POSCAR, and notes.

    The elements stand in line 6, or, in the format of VASP 4, behind the places of the atoms.

    Raises:
        DataError: if it cannot be read, or contradicts itself.
    """
    lines = [re.split("[!#]", line)[0].split() for line in re.split(r"\r\n?|\n", text)]
    if len(lines) < 8:
        raise DataError("The POSCAR is empty or has fewer than eight lines: it is cut short.")
    if len(lines[1]) != 1:
        raise DataError("Line 2 of the POSCAR must be one scale factor.")
    scale = float(_numbers(lines, 1, 1)[0])
    lattice = np.array([_numbers(lines, i, 3) for i in (2, 3, 4)])
    if scale < 0:  # the volume of the cell
        scale = (-scale / max(abs(np.linalg.det(lattice)), 1e-30)) ** (1 / 3)
    # VASP breaks the lines of elements and of their numbers behind twenty.
    first = next((i for i in range(5, min(15, len(lines))) if "".join(lines[i]).isdecimal()), 5)
    start = first + max(first - 5, 1)
    names = [word for line in lines[5:first] for word in line]
    counts = [word for line in lines[first:start] for word in line]
    sizes = [int(word) for word in counts if word.isdecimal()]
    if not sizes or len(sizes) < len(counts):
        raise DataError(
            "The POSCAR must name its elements in line 6 and their numbers of atoms in line 7."
        )
    total = sum(sizes)
    if start < len(lines) and "".join(lines[start])[:1] in ("S", "s"):
        start += 1
    kind = "".join(lines[start])[:1].lower() if start < len(lines) else ""
    if not kind.isalpha():
        raise DataError(f"Line {start + 1} of the POSCAR must say Direct or Cartesian.")
    atoms = lines[start + 1 : start + 1 + total]
    found = next((i for i, words in enumerate(atoms) if not words), len(atoms))
    if found < total:
        raise DataError(f"The POSCAR lists {found} of {total} atoms: it is cut short.")
    places = np.array([_numbers(lines, start + 1 + i, 3) for i in range(total)]).reshape(-1, 3)
    beyond = lines[start + 1 + total] if start + 1 + total < len(lines) else []
    steps = beyond[:2] == ["Direct", "configuration="]  # of an XDATCAR
    if steps or (len(beyond) > 2 and all(map(NUMBER.fullmatch, beyond[:3]))):
        raise DataError(f"The POSCAR lists more than the {total} atoms of line {first + 1}.")
    elements = _elements(names, sizes, atoms)
    heavy = not set(_HEAVY).isdisjoint(elements)
    numbers = [symbols().index("H" if name in _HEAVY else name) for name in elements]
    coords = places @ np.linalg.pinv(lattice) if kind in ("c", "k") else places
    return Cell.from_arrays(numbers, coords, lattice * scale), [HYDROGEN] if heavy else []


def _elements(names: list[str], sizes: list[int], atoms: list[list[str]]) -> list[str]:
    """Return the element of each atom, D and T included."""
    behind = [next((w for w in words[3:] if w not in ("T", "F")), "") for words in atoms]
    if not names:  # T and F say whether an atom moves, but F alone or behind three is fluorine
        behind = [
            w or ("F" if len(a) in (4, 7) and a[-1] == "F" else "")
            for w, a in zip(behind, atoms, strict=True)
        ]
    if names and len(names) != len(sizes):
        raise DataError(f"The POSCAR names {len(names)} elements and {len(sizes)} numbers of them.")
    bare = [re.split(r"[_/]", name)[0] for name in names]  # of a potential: Na_pv/3e4a1b
    elements = [name for name, size in zip(bare, sizes, strict=False) for _ in range(size)]
    if not names and not all(name in (*symbols()[1:], *_HEAVY) for name in behind):
        raise DataError("The POSCAR does not name its elements (VASP 4 format); add that line.")
    for name, other in zip(elements, behind, strict=False):
        if name not in (*symbols()[1:], *_HEAVY):
            raise DataError(f"The POSCAR's '{name[:40]}' is not the symbol of a chemical element.")
        if other in symbols() and other != name:
            raise DataError(f"An atom of the POSCAR is {name} by line 6, and {other} by its end.")
    return elements or behind


def _numbers(lines: list[list[str]], i: int, count: int) -> NDArray[np.float64]:
    words = lines[i][:count]
    # An infinite one, 1e999, stops the inversion of the cell.
    fine = all(NUMBER.fullmatch(word) and np.isfinite(float(word)) for word in words)
    if len(words) < count or not fine:
        raise DataError(
            f"Line {i + 1} of the POSCAR must have {count} numbers, with decimal points: "
            f"'{' '.join(words)[:60]}' is something else."
        )
    return np.array([float(word) for word in words])
