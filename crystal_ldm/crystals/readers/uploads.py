"""One crystal in the bytes of a file that was dropped."""

from __future__ import annotations

import tempfile
from pathlib import Path

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.readers.ase_files import ASE_SUFFIXES
from crystal_ldm.crystals.readers.content import decode
from crystal_ldm.crystals.readers.entries import read_payload
from crystal_ldm.crystals.readers.folders import is_structure_file
from crystal_ldm.crystals.readers.json_files import JSON_SUFFIXES
from crystal_ldm.crystals.readers.poscar import poscar_problem
from crystal_ldm.crystals.readers.sources import PACKED, open_source
from crystal_ldm.errors import DataError

_SUFFIXES = (
    ".cif.gz", ".cif", *ASE_SUFFIXES, *JSON_SUFFIXES, ".csv", ".csv.gz", ".tsv", *PACKED,
)  # fmt: skip


def _looks_foreign(name: str, content: bytes) -> bool:
    """Whether a file is neither called nor written as a POSCAR."""
    if is_structure_file(Path(name)) or not Path(name).suffix:
        return False
    try:
        return bool(poscar_problem(decode(content)))
    except DataError:
        return True


def read_upload(name: str, content: bytes) -> Cell:
    """Return the crystal, coordinates in [0, 1).

    Raises:
        DataError: if it cannot be read, or the file holds more than one.
    """
    lower = name.lower()
    suffix = next((s for s in _SUFFIXES if lower.endswith(s)), "")
    if not suffix and ("cif" in lower or content.lstrip()[:5].lower() == b"data_"):
        suffix = ".cif"
    # A file without a suffix, or with one that no program gives a structure, may be a POSCAR.
    if not suffix and not _looks_foreign(name, content):
        suffix = ".vasp"
    if not suffix:
        raise DataError(
            f"{name} is of no known kind: a crystal can be dropped as CIF, POSCAR, extxyz or JSON."
        )
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
