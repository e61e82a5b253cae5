"""From noise; where a space group is missed again and again, from a prototype that has it."""

from __future__ import annotations

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.symmetry.space_groups import SPACE_GROUP
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.sampling.starts.base import Origin, Start
from crystal_ldm.sampling.starts.prototype import Prototype, Prototypes

FROM_ATTEMPT, STRENGTH, TURNS = 2, 0.1, 20
"""Of the prototypes that take over where a group was missed: the attempt (0 is the first), how
strongly they are changed, and how many of them there are for one formula."""


class Noise(Start):
    """From noise alone: the most varied crystals.

    Where a space group is asked for, a crystal that missed it from noise twice starts from a
    prototype that has it.
    """

    def origin(
        self, ldm: LDMModule, crystals: CrystalBatch | None, num_samples: int, steps: int
    ) -> Origin:
        """See `Start.origin`."""
        asked = crystals is not None and SPACE_GROUP in crystals.conditions
        if not asked or SPACE_GROUP not in ldm.conditions or ldm.training_crystals.empty:
            return Origin()
        timesteps = ldm.diffusion.sampling_timesteps(steps, STRENGTH)
        if len(timesteps) < steps:  # more than that part of the time has: farther back
            timesteps = list(range(steps))[::-1]
        return Prototypes(
            ldm, Prototype(strength=STRENGTH), TURNS, timesteps, from_attempt=FROM_ATTEMPT
        )
