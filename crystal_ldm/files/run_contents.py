"""Names of what a run directory of crystals holds; `crystal_ldm.runs.SampleRun` writes it."""

from __future__ import annotations

CIFS = "cif"
"""Folder of symmetrised CIFs."""
P1_CIFS = "cif_p1"
"""Folder of the raw cells as CIFs without symmetry, if asked for."""
RAW_CELLS = "crystals.extxyz"
"""The cells as they were sampled."""
TABLE = "table.csv"
"""One line for each crystal that is wholly on disk."""
RECIPE = "recipe.json"
"""What makes all of them again."""
PIECES = "pieces"
"""Folder of what the workers of a split request have not finished yet."""
