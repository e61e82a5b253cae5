"""Space groups: are those met that are asked for, and which are likely for a formula."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from pymatgen.core import Structure

from benchmarks.quality_commands.shared import Row, held_out, request_of, sampling
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.symmetry.projection import STRICT
from crystal_ldm.crystals.symmetry.space_groups import SPACE_GROUP, space_group, space_groups_of
from crystal_ldm.crystals.writers import symmetrised_cif
from crystal_ldm.evaluate import csp_metrics
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.ldm_module.training_crystals import GROUP_TOLERANCE
from crystal_ldm.sampling.space_groups import LikelyGroups

COMMON = 50


def space_groups(model: LDMModule, options: argparse.Namespace) -> list[Row]:
    """Ask for the groups that held-out crystals have, of the 50 most common ones.

    Met: the CIF that is written, read back, has the group within 0.01 Å. At 1: without attempts.
    """
    batch, groups = _with_groups(held_out(options, model.vae))
    counts = np.bincount(groups)
    common = np.argsort(-counts, kind="stable")[:COMMON]
    rows = torch.as_tensor(np.flatnonzero(np.isin(groups, common)))
    batch, groups = batch[rows], groups[rows.numpy()]
    truth, table = batch.to_structures(), []
    how = sampling(options)
    for given, attempts in ((False, None), (True, 0), (True, how.get("attempts"))):
        request = request_of(batch)
        if given:
            request.conditions[SPACE_GROUP] = torch.tensor(groups, dtype=torch.float32)
        result = model.sample(request, 1, **{**how, "attempts": attempts})
        made = result.to_structures()
        met = [
            _written_group(crystal) == group
            for crystal, group in zip(result.crystals.to_cells(), groups, strict=True)
        ]
        metrics = csp_metrics([[s] for s in made], truth, ks=[1], workers=options.workers)
        moved = result.displacement[~result.displacement.isnan()]
        row: Row = {
            "group given": given,
            "attempts": "default" if attempts is None else attempts,
            "n": len(batch),
            "met": float(np.mean(met)),
            "match@1": metrics.value("match_rate", 1),
            "rmse@1": metrics.value("rmse", 1),
            "displacement, median": float(moved.median()) if len(moved) else float("nan"),
            "accepted": result.acceptance_rate,
        }
        table.append(row)
    return table


def likely_groups(model: LDMModule, options: argparse.Namespace) -> list[Row]:
    """How likely the true groups of held-out crystals are by p(space group | composition)."""
    batch, groups = _with_groups(held_out(options, model.vae))
    likely, logs, ranks, covered = LikelyGroups(model), [], [], []
    for i, group in enumerate(groups):
        numbers = batch.atomic_numbers[i, : int(batch.num_atoms[i])].numpy()
        probability = likely.probabilities(numbers)
        logs.append(-np.log(probability[group - 1]))
        ranks.append(int((probability > probability[group - 1]).sum()))
        covered.append(group in {likely.turn(numbers, number)[0] for number in range(options.k)})
    row: Row = {"n": len(groups), "-log p": float(np.mean(logs))}
    row |= {f"among the first {k}": float(np.mean(np.array(ranks) < k)) for k in (1, 5, 10)}
    return [row | {f"has a turn in {options.k}": float(np.mean(covered))}]


def _with_groups(batch: CrystalBatch) -> tuple[CrystalBatch, np.ndarray[Any, Any]]:
    groups = np.array([group or 0 for group in space_groups_of(batch, GROUP_TOLERANCE)])
    rows = torch.as_tensor(np.flatnonzero(groups))
    return batch[rows], groups[rows.numpy()]


def _written_group(crystal: Cell) -> int | None:
    cif, _ = symmetrised_cif(crystal, STRICT)
    try:
        read = Structure.from_str(cif, fmt="cif")
    except ValueError:  # pymatgen reads no crystal with two atoms in one place
        return None
    return space_group(Cell.from_structure(read), STRICT)
