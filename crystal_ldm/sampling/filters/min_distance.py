"""No two atoms on top of each other."""

from __future__ import annotations

from torch import Tensor

from crystal_ldm.config.numbers import Number
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.geometry.distances import shortest_distances
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.sampling.filters.base import Filter
from crystal_ldm.sampling.schema import option


class MinDistance(Filter):
    """No two atoms are closer than this.

    0.5 Å is the limit of structure validity in the field (CDVAE, Xie et al. 2022).
    """

    limit: Number = option(
        0.5, "A crystal with two atoms closer than this is made again", unit="Å", low=0, high=10
    )

    def passes(self, ldm: LDMModule, crystals: CrystalBatch) -> Tensor:
        """Return (B,) bool."""
        return shortest_distances(crystals) >= self.limit
