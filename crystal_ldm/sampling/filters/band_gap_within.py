"""A band gap near the one that was asked for."""

from __future__ import annotations

import torch
from torch import Tensor

from crystal_ldm.config.numbers import Number
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.sampling.filters.base import Filter
from crystal_ldm.sampling.schema import option

BAND_GAP = "band_gap"


class BandGapWithin(Filter):
    """The predicted band gap is near the one that was asked for.

    Both of the project's own predictors (`crystal_ldm.evaluate.band_gap`) have to say so: their
    errors differ, and where both are near the target, the true gap is so more often than where one
    is, or their mean. A crystal without a target passes; one whose atoms have no neighbours fails.
    """

    tolerance: Number = option(
        0.2,
        "A crystal whose predicted gap is farther from its target is made again",
        unit="eV",
        low=0,
        high=100,
    )

    def check(self, ldm: LDMModule) -> None:
        """Raise `RequestError` if the model has no condition `band_gap`."""
        if BAND_GAP not in ldm.conditions:
            raise RequestError(
                "BandGapWithin compares crystals with the band gap that was asked for, and this "
                f"model takes none: it has {', '.join(ldm.conditions) or 'no condition'}. "
                "Leave it out."
            )

    def passes(self, ldm: LDMModule, crystals: CrystalBatch) -> Tensor:
        """Return (B,) bool."""
        right = torch.ones(len(crystals), dtype=torch.bool)
        targets = crystals.conditions.get(BAND_GAP)
        if not isinstance(targets, Tensor):
            return right
        from crystal_ldm.evaluate.band_gap import predict_band_gaps_by_kind

        asked = targets.isfinite()
        gaps = torch.from_numpy(predict_band_gaps_by_kind(crystals[asked.nonzero().flatten()]))
        near = (gaps - targets[asked]).abs() <= self.tolerance  # nan is near nothing
        right[asked] = near.all(dim=0)
        return right
