"""From crystals that are given: their neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from crystal_ldm.config.numbers import Number
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.sampling.plan import Draft
from crystal_ldm.sampling.schema import option
from crystal_ldm.sampling.starts.base import Latents, Origin, Start


class Crystal(Start):
    """From the request's own crystals: their neighbours.

    The latents of each crystal are noised for `strength` of the diffusion time and denoised again
    (SDEdit, Meng et al. 2022); the steps are spread over the time that is gone back.
    """

    takes_crystals = True
    draws_elements = False

    strength: Number = option(
        0.5,
        "How far to go back to noise: near 0 the crystal itself, at 1 nothing of it is left",
        low=0,
        high=1,
        level="basic",
    )
    keep_elements: bool = option(True, "Whether the elements stay what they are")

    def request(self, crystals: CrystalBatch | None, ldm: LDMModule) -> CrystalBatch | None:
        """Return the crystals' elements, and the conditions that the model knows."""
        given = self.crystals_given(crystals, ldm)
        ldm.vae.check(given)
        numbers = given.atomic_numbers
        return CrystalBatch(
            numbers if self.keep_elements else torch.zeros_like(numbers),
            given.num_atoms,
            conditions=given.conditions,
        )

    def origin(
        self, ldm: LDMModule, crystals: CrystalBatch | None, num_samples: int, steps: int
    ) -> Origin:
        """See `Start.origin`."""
        assert crystals is not None  # `request` has seen to it
        with torch.inference_mode():
            latents = ldm.training_latents(crystals)
        return _Crystals(latents, ldm.diffusion.sampling_timesteps(steps, self.strength))


class _Crystals(Origin):
    def __init__(self, rows: Tensor, timesteps: Sequence[int]) -> None:
        super().__init__(timesteps)
        self._rows = rows

    def latents(self, drafts: Sequence[Draft]) -> Latents:
        width = max(len(draft.atomic_numbers) for draft in drafts)
        rows = torch.tensor([draft.row - self.first_row for draft in drafts])
        every = torch.arange(len(drafts))
        return Latents(self._rows[rows, :width], every, torch.ones_like(every))
