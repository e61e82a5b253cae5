"""From noise alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.sampling.starts.base import Origin, Start

if TYPE_CHECKING:
    from crystal_ldm.ldm_module import LDMModule
    from crystal_ldm.sampling.settings import SamplingSettings


class Noise(Start):
    """From noise alone: the most varied crystals."""

    def origin(
        self,
        ldm: LDMModule,
        crystals: CrystalBatch | None,
        num_samples: int,
        settings: SamplingSettings,
    ) -> Origin:
        """See `Start.origin`."""
        return Origin()
