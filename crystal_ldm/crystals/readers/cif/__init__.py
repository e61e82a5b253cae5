"""CIF files: their atoms are expanded to a cell and checked against what else is stated."""

from crystal_ldm.crystals.readers.cif.block import is_cif
from crystal_ldm.crystals.readers.cif.crystal import read_cif

__all__ = ["is_cif", "read_cif"]
