"""Crystals to be evaluated, in any form."""

from crystal_ldm.crystals.inputs.crystal_set import CrystalSet, from_objects
from crystal_ldm.crystals.inputs.reading import read_crystals

__all__ = ["CrystalSet", "from_objects", "read_crystals"]
