"""A space group that was asked for."""

from __future__ import annotations

import torch
from torch import Tensor

from crystal_ldm.config.numbers import Number, Whole
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.symmetry.projection import STRICT
from crystal_ldm.crystals.symmetry.space_groups import SPACE_GROUP, group_number, space_group
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.sampling.filters.base import Filter
from crystal_ldm.sampling.schema import option


class HasSpaceGroup(Filter):
    """The crystal has this space group, by spglib within a tolerance.

    Before, it is moved onto the group if it is near
    (`crystals.symmetry.projection.onto_space_group`).
    """

    number: Whole | None = option(
        None,
        "Number of the space group, 1 to 230; none: the one that was asked for as a condition",
        low=1,
        high=230,
    )
    symprec: Number = option(
        STRICT, "How far atoms may be from symmetric places", unit="Å", low=1e-5, high=1
    )

    def passes(self, ldm: LDMModule, crystals: CrystalBatch) -> Tensor:
        """Return (B,) bool; a crystal for which no group was asked for passes."""
        from crystal_ldm.crystals.inputs import read_crystals

        right = torch.ones(len(crystals), dtype=torch.bool)
        targets = crystals.conditions.get(SPACE_GROUP)
        for i, crystal in enumerate(read_crystals(crystals, allow_empty=True).crystals):
            wanted = self.number
            if wanted is None and targets is not None:
                wanted = group_number(targets[i])
            if wanted is not None:
                right[i] = crystal is not None and space_group(crystal, self.symprec) == wanted
        return right
