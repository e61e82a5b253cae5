"""Shortest distances by pair of elements: what known crystals have, and which others pass."""

from __future__ import annotations

import argparse
import gzip
import io

import numpy as np
import torch

from benchmarks.quality_commands.shared import Row, held_out
from crystal_ldm.crystals import MAX_Z, CrystalBatch
from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.elements import symbols
from crystal_ldm.crystals.geometry.distances import KNOWN_DISTANCES, closest_contact, pairs_of
from crystal_ldm.evaluate.thresholds import Thresholds
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.pretrained import available, load_pretrained

_NEAR = 4.0  # Å: farther is no neighbour of any two elements
FORMULA = "LiFePO4"
"""One formula unit, of which no known crystal is made."""


def contacts(model: LDMModule, options: argparse.Namespace) -> list[Row]:
    """Share of held-out crystals, and of what the model makes of one LiFePO4, whose atoms are
    as far apart as in known crystals; with `--write` first takes these distances anew."""
    if options.write:
        _write()
    limit = Thresholds().contact
    made = model.sample(CrystalBatch.from_formulas([FORMULA], formula_units=[1]), 16).crystals
    table = []
    for name, crystals in ((options.dataset, held_out(options, model.vae)), (FORMULA, made)):
        ratios = np.array([closest_contact(cell) for cell in _cells(crystals)])
        row: Row = {"crystals": name, "n": len(ratios), "pass": float((ratios > limit).mean())}
        table.append(row | {f"{q} %": float(np.percentile(ratios, q)) for q in (0, 0.5, 1, 50)})
    return table


def _cells(crystals: CrystalBatch) -> list[Cell]:
    return [Cell.from_structure(structure) for structure in crystals.to_structures()]


def _write() -> None:
    shortest = torch.full(((MAX_Z + 1) ** 2,), torch.inf)
    for name in available():
        crystals = load_pretrained(name).training_crystals.crystals
        for rows in torch.arange(len(crystals)).split(256):
            part = crystals[rows]
            pairs = part.atomic_numbers[:, :, None] * (MAX_Z + 1) + part.atomic_numbers[:, None]
            distances = pairs_of(part).flatten()
            shortest.scatter_reduce_(0, pairs.flatten(), distances, "amin")
    table = shortest.view(MAX_Z + 1, MAX_Z + 1)
    text = io.StringIO()
    for a, b in (table < _NEAR).triu().nonzero().tolist():
        text.write(f"{symbols()[a]},{symbols()[b]},{float(table[a, b]):.3f}\n")
    KNOWN_DISTANCES.write_bytes(gzip.compress(text.getvalue().encode("ascii"), mtime=0))
