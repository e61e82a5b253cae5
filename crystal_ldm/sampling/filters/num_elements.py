"""How many different elements."""

from __future__ import annotations

import torch
from torch import Tensor

from crystal_ldm.config.numbers import Whole
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.sampling.filters.base import Filter
from crystal_ldm.sampling.schema import option


class NumElements(Filter):
    """The crystal has so many different elements: 2 for binary compounds, 3 for ternary ones.

    It is for open atoms, which become other elements each time that a crystal is made again.
    """

    fewest: Whole = option(1, "Crystals of fewer elements are made again", low=1, high=118)
    most: Whole = option(118, "Crystals of more elements are made again", low=1, high=118)

    def check(self, ldm: LDMModule) -> None:
        """Raise `RequestError` if no number is left."""
        if self.fewest > self.most:
            raise RequestError(
                f"No crystal has {self.fewest} or more and {self.most} or fewer elements."
            )

    def passes(self, ldm: LDMModule, crystals: CrystalBatch) -> Tensor:
        """Return (B,) bool."""
        rows = crystals.atomic_numbers.tolist()
        counts = torch.tensor([len(set(row) - {0}) for row in rows])
        return (counts >= self.fewest) & (counts <= self.most)
