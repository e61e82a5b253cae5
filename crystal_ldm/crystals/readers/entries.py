"""What every reader returns: entries that still have to be parsed, and how one becomes a cell."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from crystal_ldm.crystals.cell import NOT_PERIODIC, Cell
from crystal_ldm.crystals.readers.cif import is_cif, read_cif
from crystal_ldm.crystals.readers.content import MAX_STRUCTURE_BYTES, read_text
from crystal_ldm.crystals.readers.poscar import read_poscar
from crystal_ldm.errors import DataError


@dataclass(frozen=True)
class Problem:
    """Why there is no crystal.

    Attributes:
        kind: the reason in a few words, the same for all such entries.
        reason: the reason in a sentence, with this entry's numbers.
    """

    kind: str
    reason: str

    @classmethod
    def of(cls, error: DataError) -> Problem:
        """Return what an error says, with its kind."""
        kinds = {"disordered": "disordered", NOT_PERIODIC: "not periodic"}
        kind = next((kind for word, kind in kinds.items() if word in str(error)), "unreadable")
        return cls(kind, str(error))


Payload = Cell | str | Path | Problem
"""A cell, the text of a CIF, the path of a structure file, or why there is none."""

LabelValue = float | str | None

DISORDERED = "It is disordered (sites with partial occupancy)."

PARTS = ("train", "val", "test")
"""Training, validation and test set. In the cache a part is its position here."""


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
        notes: what was changed while reading.
    """

    id: str
    where: str
    payload: Payload
    labels: dict[str, LabelValue] = field(default_factory=dict)
    part: str | None = None
    energy: float = float("nan")
    notes: tuple[str, ...] = ()


@dataclass
class Source:
    """All entries of a source in order, usable or not, and notes."""

    entries: list[Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_payload(payload: Payload, alone: bool = False) -> tuple[Cell, list[str]]:
    """Return the cell of an entry as it is, and notes on what was changed or left out.

    Raises:
        DataError: if it cannot be read, is disordered or not finite, or holds several crystals and
            has to hold one `alone`.
    """
    if isinstance(payload, Problem):
        raise DataError(payload.reason)
    if isinstance(payload, Cell):
        return payload, []
    text = payload if isinstance(payload, str) else read_text(payload, MAX_STRUCTURE_BYTES)
    named_cif = isinstance(payload, str) or "cif" in "".join(payload.suffixes).lower()
    if not named_cif and not is_cif(text):
        return read_poscar(text)
    cell, notes, others = read_cif(text)
    if others and alone:
        file = "It" if isinstance(payload, str) else f"'{payload}'"
        raise DataError(f"{file} holds several crystals; give a file that holds one.")
    if others:
        names = ", ".join(others[:3])
        notes.append(f"The first crystal of a CIF is read; others in it ({names}) are left out.")
    return cell, notes


def summarised(notes: list[str]) -> list[str]:
    """Return notes of single entries, each once, with the number of its entries."""
    counts = Counter(notes).items()
    return [note if n == 1 else f"{note} ({n:,} entries)" for note, n in counts]
