"""What every reader returns: entries that still have to be parsed, and how one becomes a cell."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crystal_ldm.crystals.canonical import check_structure
from crystal_ldm.crystals.elements import MAX_Z
from crystal_ldm.crystals.readers.report import Rejection
from crystal_ldm.errors import DataError

if TYPE_CHECKING:
    from pymatgen.core import Structure


class Cell(NamedTuple):
    """A crystal: lattice (3, 3) in Å (rows), fractional coordinates (n, 3), atomic numbers (n,)."""

    lattice: np.ndarray
    frac_coords: np.ndarray
    numbers: np.ndarray


Payload = Cell | str | Path
"""A cell, the text of a CIF, or the path of a structure file."""

LabelValue = float | str | None

PARTS = ("train", "val", "test")
"""`val` chooses checkpoints, `test` is reported. In the cache a part is its position here."""


@dataclass
class Entry:
    """One crystal of a source, not parsed yet.

    Attributes:
        id: its name.
        where: file and row, for messages.
        payload: what to parse.
        labels: values by name.
        part: `train`, `val` or `test` where the source says so.
        energy: what decides between duplicates, eV/atom; NaN where unknown.
    """

    id: str
    where: str
    payload: Payload
    labels: dict[str, LabelValue] = field(default_factory=dict)
    part: str | None = None
    energy: float = float("nan")


@dataclass
class Source:
    """All entries of a source, those that the reader itself had to reject, and notes."""

    entries: list[Entry] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def parse(payload: Payload) -> Cell:
    """Return the cell of an entry, checked.

    Raises:
        DataError: if it cannot be read, is disordered, or is not finite.
    """
    if isinstance(payload, Path):
        payload = _read_file(payload)
    if isinstance(payload, str):
        payload = cell_of(_parse_cif(payload))
    return check_cell(payload)


def cell_of(structure: Structure) -> Cell:
    """Return the cell of a pymatgen structure.

    Raises:
        DataError: if it is disordered, empty, flat, not finite, or holds a dummy species.
    """
    check_structure(structure)
    numbers = np.array([site.specie.Z for site in structure], dtype=np.int64)
    return Cell(np.array(structure.lattice.matrix), np.array(structure.frac_coords), numbers)


def check_cell(cell: Cell) -> Cell:
    """Return `cell` with coordinates in [0, 1).

    Raises:
        DataError: if it is empty, flat, not finite, or holds an atomic number that no element has.
    """
    lattice, coords, numbers = cell
    if len(numbers) == 0:
        raise DataError("The structure has no atoms.")
    if lattice.shape != (3, 3) or coords.shape != (len(numbers), 3):
        raise DataError("Lattice, coordinates and elements do not belong together.")
    if not (np.isfinite(lattice).all() and np.isfinite(coords).all()):
        raise DataError("Coordinates or cell are not finite numbers.")
    if numbers.min() < 1 or numbers.max() > MAX_Z:
        raise DataError("It holds a species that is not a chemical element.")
    if abs(np.linalg.det(lattice)) < 1e-3:
        raise DataError("The cell has no volume.")
    return Cell(lattice, coords % 1.0, numbers.astype(np.int64))


def _read_file(path: Path) -> str | Cell:
    """Return the text of a CIF, or the cell of a POSCAR."""
    import gzip
    import zlib

    try:
        raw = path.read_bytes()
        if path.suffix.lower() == ".gz":
            raw = gzip.decompress(raw)
        text = raw.decode("utf-8", errors="replace")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"The file cannot be read ({error}).") from error
    if ".cif" in path.name.lower():
        return text
    return _parse_poscar(text)


def _parse_cif(text: str) -> Structure:
    """Return the first structure of a CIF.

    Raises:
        DataError: if it cannot be parsed, or its atoms do not add up to the formula that it states,
            as in a file that is cut short.
    """
    from pymatgen.core import Composition
    from pymatgen.io.cif import CifParser

    if not text.strip():
        raise DataError("The CIF is empty.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            parser = CifParser.from_str(text, check_cif=False)
            structure = parser.parse_structures(primitive=False, on_error="raise")[0]
            problem = parser.check(structure)
            block = next(iter(parser.as_dict().values()))
            stated = block.get("_chemical_formula_sum")
            expected = Composition(stated).num_atoms if isinstance(stated, str) else 0.0
        # pymatgen's parser raises whatever its input provokes, assertions and index errors too.
        except Exception as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise DataError(
                f"The CIF cannot be parsed; it may be cut short ({lines[-1].rstrip('.')})."
            ) from error
    if stated and (problem or len(structure) < expected - 0.5):
        raise DataError(
            f"The CIF states the formula '{stated}' but holds {structure.composition.formula}; it "
            "may be cut short."
        )
    return structure


def _parse_poscar(text: str) -> Cell:
    from pymatgen.io.vasp import Poscar

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            structure = Poscar.from_str(text, read_velocities=False).structure
        except Exception as error:
            raise DataError(
                f"The POSCAR cannot be parsed ({type(error).__name__}: {error})."
            ) from error
    if any("cannot be determined" in str(w.message) for w in caught):
        raise DataError("The POSCAR does not name its elements (VASP 4 format); add that line.")
    return cell_of(structure)
