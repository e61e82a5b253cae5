"""Neighbours as far apart as those of their elements are in known crystals."""

from __future__ import annotations

from torch import Tensor

from crystal_ldm.config.numbers import Number
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.geometry.distances import closest_contacts
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.sampling.filters.base import Filter
from crystal_ldm.sampling.schema import option


class UsualDistances(Filter):
    """No two atoms are closer than those of their elements are in known crystals.

    Of the real crystals that no model has seen 99.7 to 100 % pass at 0.95 (`closest_contact`); it
    is also the limit of what `evaluate` calls valid.
    """

    limit: Number = option(
        0.95,
        "A crystal with atoms closer than so many times the usual distance is made again",
        low=0,
        high=2,
    )

    def passes(self, ldm: LDMModule, crystals: CrystalBatch) -> Tensor:
        """Return (B,) bool."""
        return closest_contacts(crystals) >= self.limit
