"""Crystals: the batch object, the canonical form, formulas and conversions."""

import os

# spglib prints its failures on crowded cells to stderr, thousands of lines for a data set; they are
# handled where it is called.
os.environ.setdefault("SPGLIB_WARNING", "OFF")

from crystal_ldm.crystals.batch import CrystalBatch
from crystal_ldm.crystals.canonical import canonical_form
from crystal_ldm.crystals.elements import MAX_Z, ElementRules
from crystal_ldm.crystals.formula import ParsedFormula, parse_formula

__all__ = [
    "MAX_Z",
    "CrystalBatch",
    "ElementRules",
    "ParsedFormula",
    "canonical_form",
    "parse_formula",
]
