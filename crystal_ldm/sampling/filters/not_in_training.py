"""Crystals that the model has not seen."""

from __future__ import annotations

import torch
from torch import Tensor

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.ldm_module.training_crystals import NO_TRAINING_CRYSTALS
from crystal_ldm.sampling.filters.base import Filter


class NotInTraining(Filter):
    """The training set has no such crystal.

    Two crystals are the same if `StructureMatcher.fit` says so of their primitive cells, with
    pymatgen's tolerances, as in `crystal_ldm.evaluate`'s novelty.
    """

    after_others = True
    uses_training_set = True

    def check(self, ldm: LDMModule) -> None:
        """Raise `RequestError` if the model's file lacks its training crystals."""
        if ldm.training_crystals.empty:
            raise RequestError(
                f"NotInTraining cannot be had here: {NO_TRAINING_CRYSTALS}. Leave the filter out."
            )

    def passes(self, ldm: LDMModule, crystals: CrystalBatch) -> Tensor:
        """Return (B,) bool."""
        from crystal_ldm.crystals.inputs import read_crystals
        from crystal_ldm.crystals.same_crystal import SAME_CRYSTAL, reduced_cell, same_crystal

        new = torch.ones(len(crystals), dtype=torch.bool)
        rows = ldm.training_crystals.rows_of(crystals.atomic_numbers)
        looked_at = [i for i, same_formula in enumerate(rows) if same_formula]
        if not looked_at:
            return new
        generated = read_crystals(crystals[looked_at], allow_empty=True).crystals
        for i, crystal in zip(looked_at, generated, strict=True):
            if crystal is None:
                continue
            cell = reduced_cell(crystal)
            others = map(
                reduced_cell, read_crystals(ldm.training_crystals.crystals[rows[i]]).crystals
            )
            new[i] = not any(
                len(other.numbers) == len(cell.numbers)
                and same_crystal((cell, other), SAME_CRYSTAL)
                for other in others
            )
        return new
