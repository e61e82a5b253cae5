"""Host structures: half of a held-out crystal's atoms are kept, the others are made anew."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch

from benchmarks.quality_commands.shared import Row, held_out, request_of, sampling
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.evaluate import evaluate, match_pairs
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.random import crystal_generator
from crystal_ldm.sampling import Host, SampleResult

FEWEST_ATOMS = 4


def host(model: LDMModule, options: argparse.Namespace) -> list[Row]:
    """Keep a random half of each crystal's atoms, in the held and the free cell; compare with the
    same elements from noise."""
    batch = held_out(argparse.Namespace(**{**vars(options), "num": 10 * options.num}), model.vae)
    batch = batch[(batch.num_atoms >= FEWEST_ATOMS).nonzero().flatten()][: options.num]
    groups = _hosts(batch, options.seed)
    truth = CrystalBatch.cat([crystals for _, crystals in groups])
    how = sampling(options)
    # In the canonical order, which a request for elements has.
    table = [_row("from noise", model.sample(request_of(batch), 1, **how), batch, options)]
    for cell in ("held", "free"):
        for attempts in (0, how.get("attempts", 5)):
            parts = [
                model.sample(
                    crystals,
                    1,
                    start=Host(keep=range(kept), cell=cell),
                    **{**how, "attempts": attempts},
                )
                for kept, crystals in groups
            ]
            made = SampleResult.cat(parts)
            table.append(_row(f"cell {cell}, {attempts} more attempts", made, truth, options))
    return table


def _hosts(batch: CrystalBatch, seed: int) -> list[tuple[int, CrystalBatch]]:
    """Return the crystals by their number of kept atoms, which come first; origin and axes are
    others than the canonical ones."""
    groups: dict[int, list[Any]] = {}
    for i, structure in enumerate(batch.to_structures()):
        generator = crystal_generator(seed, 9, i)
        order = generator.permutation(len(structure))
        axes = np.roll(np.eye(3), int(generator.integers(3)), axis=0)
        coords = (structure.frac_coords[order] + generator.random(3)) @ axes.T % 1.0
        numbers = np.array(structure.atomic_numbers)[order]
        cell = (axes @ structure.lattice.matrix, coords, numbers)
        groups.setdefault(len(structure) // 2, []).append(cell)
    return [(kept, CrystalBatch.from_cells(groups[kept])) for kept in sorted(groups)]


def _row(name: str, made: SampleResult, truth: CrystalBatch, options: argparse.Namespace) -> Row:
    structures = made.to_structures()
    matches = match_pairs(structures, truth.to_structures(), workers=options.workers)
    valid = evaluate(made, None, metrics=("validity",), workers=options.workers)
    moved = made.displacement[made.displacement.isfinite()]
    row: Row = {
        "start": name,
        "n": len(made),
        "match": matches.match_rate,
        "rmse": matches.mean_rmse,
        "structures valid": valid.value("structure_valid"),
        "attempts": made.attempts.float().mean().item(),
    }
    if len(moved):
        row["within 0.1 Å"] = (moved <= 0.1).float().mean().item()
        row["median Å"] = moved.median().item()
        row["95 % Å"] = torch.quantile(moved, 0.95).item()
    return row
