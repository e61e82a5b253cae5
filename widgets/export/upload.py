"""A dropped CIF or POSCAR as a crystal."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pymatgen.core import Structure

ACCEPT = ".cif,.vasp,.poscar"


def read_upload(name: str, content: bytes) -> Structure:
    """Return the crystal in a file; a name with "cif" in it means a CIF, all else a POSCAR.

    Raises:
        DataError: it cannot be read, is disordered, or is cut short.
    """
    from pymatgen.core import Structure

    from crystal_ldm.crystals.readers.entries import parse

    kind = "cif" if "cif" in name.lower() or content.lstrip()[:5] == b"data_" else "vasp"
    # The readers of the data sets take files; the upload's own name never becomes a path.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"upload.{kind}"
        path.write_bytes(content)
        cell = parse(path)
    return Structure(cell.lattice, cell.numbers.tolist(), cell.frac_coords)
