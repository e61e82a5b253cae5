"""A dropped CIF or POSCAR as a crystal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pymatgen.core import Structure

ACCEPT = ".cif,.vasp,.poscar,.extxyz,.json"


def read_upload(name: str, content: bytes) -> Structure:
    """Return the one crystal in a file, as the data sets read it.

    A name with "cif" in it means a CIF, the ending of an extxyz or json file means that, and all
    else a POSCAR, unless it begins as a CIF does.

    Raises:
        DataError: it cannot be read, holds several crystals, is disordered, or is cut short.
    """
    from crystal_ldm.crystals.readers.uploads import read_upload as read

    return read(name, content).to_structure()
