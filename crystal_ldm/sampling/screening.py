"""Generated crystals against what was asked for: a band gap, being new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import RequestError

if TYPE_CHECKING:
    from crystal_ldm.ldm_module.ldm_module import LDMModule

BAND_GAP = "band_gap"


def check_screening(ldm: LDMModule, tolerance: float) -> None:
    """See that crystals can be compared with a target.

    Raises:
        RequestError: if the model has no condition `band_gap`.
    """
    if tolerance > 0 and BAND_GAP not in ldm.conditions:
        raise RequestError(
            "band_gap_tolerance compares crystals with the band gap that was asked for, and this "
            f"model takes none: it has {', '.join(ldm.conditions) or 'no condition'}. Leave it 0."
        )


def on_target(crystals: CrystalBatch, tolerance: float) -> Tensor:
    """Return (B,) bool, whether the predicted gaps are within `tolerance` (eV) of the target.

    Both kinds of the project's own predictors (`crystal_ldm.evaluate.band_gap`) have to say so:
    their errors differ, and where both are near the target, the true gap is so more often than
    where one is, or their mean. A crystal without a target is on target, and so is each where the
    tolerance is 0; one that has no neighbours is not.
    """
    right = torch.ones(len(crystals), dtype=torch.bool)
    targets = crystals.conditions.get(BAND_GAP)
    if tolerance == 0 or not isinstance(targets, Tensor):
        return right
    from crystal_ldm.evaluate.band_gap import predict_band_gaps_by_kind

    given = targets.isfinite()
    gaps = torch.from_numpy(predict_band_gaps_by_kind(crystals[given.nonzero().flatten()]))
    near = (gaps - targets[given]).abs() <= tolerance  # nan is near nothing
    right[given] = near.all(dim=0)
    return right


def new_crystals(
    ldm: LDMModule, crystals: CrystalBatch, rows: Sequence[Sequence[int]], wanted: Tensor
) -> Tensor:
    """Return (B,) bool, whether the training part has no such crystal; True unless `wanted` (B,).

    Two crystals are the same if `StructureMatcher.fit` says so of their primitive cells, with
    pymatgen's tolerances, as in `crystal_ldm.evaluate`'s novelty. `rows` are the training crystals
    with the formula of each (`TrainingCrystals.rows_of`).
    """
    new = torch.ones(len(crystals), dtype=torch.bool)
    looked_at = [i for i in wanted.nonzero().flatten().tolist() if rows[i]]
    if not looked_at:
        return new
    from crystal_ldm.crystals.inputs import read_crystals
    from crystal_ldm.crystals.same_crystal import SAME_CRYSTAL, reduced_cell, same_crystal

    made = read_crystals(crystals[looked_at], allow_empty=True).crystals
    for i, crystal in zip(looked_at, made, strict=True):
        if crystal is None:
            continue
        cell = reduced_cell(crystal)
        others = map(reduced_cell, read_crystals(ldm.known.crystals[rows[i]]).crystals)
        new[i] = not any(
            len(other.numbers) == len(cell.numbers) and same_crystal((cell, other), SAME_CRYSTAL)
            for other in others
        )
    return new
