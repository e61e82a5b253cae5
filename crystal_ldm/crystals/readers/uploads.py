"""One crystal in the bytes of a file that was dropped."""

from __future__ import annotations

import tempfile
from pathlib import Path

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.readers.entries import read_payload
from crystal_ldm.crystals.readers.sources import open_source
from crystal_ldm.errors import DataError

_SUFFIXES = (
    ".cif.gz",
    ".cif",
    ".extxyz",
    ".xyz",
    ".json.gz",
    ".json",
    ".csv",
    ".csv.gz",
    ".tsv",
    ".db",
)


def read_upload(name: str, content: bytes) -> Cell:
    """Return the crystal, coordinates in [0, 1).

    Raises:
        DataError: if it cannot be read, or the file holds more than one.
    """
    lower = name.lower()
    suffix = next((s for s in _SUFFIXES if lower.endswith(s)), ".vasp")
    if suffix == ".vasp" and ("cif" in lower or content.lstrip()[:5].lower() == b"data_"):
        suffix = ".cif"
    # The readers take files; the upload's own name never becomes a path.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"upload{suffix}"
        path.write_bytes(content)
        try:
            entries = open_source(path).read().entries
        except DataError as error:
            raise DataError(str(error).replace(str(path), name)) from error
        if len(entries) != 1:
            raise DataError(f"The file holds {len(entries)} crystals; drop one that holds one.")
        return read_payload(entries[0].payload)[0].checked()
