"""What a filter is."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.sampling.named import Named

if TYPE_CHECKING:
    from crystal_ldm.ldm_module import LDMModule


class Filter(Named):
    """A test that each crystal has to pass; one that fails is made again, up to `attempts` times.

    Earlier filters weigh more: of several attempts that fail, the one is kept that passes most.

    A filter of one's own is a subclass with its fields and `passes`:

        class DensityAbove(Filter):
            limit: float = option(5.0, "Crystals of a lower density are made again", unit="g/cm³")

            def passes(self, ldm, crystals):
                ...
    """

    family = "filters"
    after_others: ClassVar[bool] = False
    """Whether it only looks at crystals that pass all filters before it, since it takes long."""
    uses_training_set: ClassVar[bool] = False
    """Whether its answer depends on the crystals that the model was trained on."""

    @abstractmethod
    def passes(self, ldm: LDMModule, crystals: CrystalBatch) -> Tensor:
        """Return (B,) bool for finished crystals; their `conditions` are what was asked for."""

    def check(self, ldm: LDMModule) -> None:
        """Raise `RequestError` if the filter cannot work with a model."""
