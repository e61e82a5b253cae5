"""From training crystals of similar formulas, their elements exchanged."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from crystal_ldm.config.numbers import Number, Whole
from crystal_ldm.crystals import CrystalBatch, prototype_search
from crystal_ldm.crystals.elements import electronegativity_rank
from crystal_ldm.crystals.prototype_search import orbit_prototypes
from crystal_ldm.crystals.symmetry.space_groups import SPACE_GROUP, group_number
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.ldm_module.training_crystals import (
    GROUP_TOLERANCE,
    NO_TRAINING_CRYSTALS,
    TrainingCrystals,
)
from crystal_ldm.sampling.plan import Draft
from crystal_ldm.sampling.schema import option
from crystal_ldm.sampling.starts.base import Latents, Origin, Start

NEAREST, LIKELIEST = "nearest", "likeliest"
SEARCHED = 500
"""Prototypes among which those of a space group are looked for."""


class Prototype(Start):
    """From a training crystal of a similar formula with its elements exchanged, part of the way.

    That compounds often have the structure of their chemical relatives is the oldest way of
    predicting one (Hautier et al., Inorg. Chem. 50, 656 (2011)). The first of a row's crystals has
    the first prototype in `order`, the next one the second, and one that is made again the one
    after its own. Of a space group that is asked for the nearest comes first in any case. A formula
    without a prototype starts from noise.
    """

    uses_training_set = True

    strength: Number = option(
        0.3,
        "How far to go back to noise: near 0 the prototype itself, at 1 nothing of it is left",
        low=0,
        high=1,
        level="basic",
    )
    share: Number = option(
        1.0, "Share of a row's crystals that start so, evenly among those from noise", low=0, high=1
    )
    count: Whole | None = option(
        8,
        "How many prototypes take turns; none: as many as crystals",
        low=1,
        high=1000,
    )

    order: str = option(
        NEAREST,
        "Which prototype comes first: the nearest by its elements, or the likeliest to be right",
        choices=(NEAREST, LIKELIEST),
    )

    def check(self, ldm: LDMModule) -> None:
        """Raise `RequestError` if the model has no compositions or no training crystals."""
        if ldm.sampler_network.composition is None:
            why = "this model was not trained on compositions, which prototypes are chosen by"
        elif ldm.training_crystals.empty:
            why = NO_TRAINING_CRYSTALS
        else:
            return
        raise RequestError(f"Prototype cannot be had here: {why}. Start from Noise().")

    def prototypes(
        self, known: TrainingCrystals, numbers: NDArray[np.int64], count: int
    ) -> list[prototype_search.Prototype]:
        """See `Start.prototypes`."""
        if self.order == LIKELIEST:
            return known.ranking.likeliest(numbers, count)
        return super().prototypes(known, numbers, count)

    def rank(self, number: int, attempt: int, count: int) -> int | None:
        """Return which prototype a row's crystal starts from, 0: the first; None: from noise."""
        shares = (round(n * self.share, 9) for n in (number, number + 1))
        before, after = map(math.ceil, shares)
        return (before + attempt) % count if before < after else None

    def origin(
        self, ldm: LDMModule, crystals: CrystalBatch | None, num_samples: int, steps: int
    ) -> Origin:
        """See `Start.origin`."""
        count = self.count or min(max(num_samples, 1), 1000)
        timesteps = ldm.diffusion.sampling_timesteps(steps, self.strength)
        if len(timesteps) < steps:
            raise RequestError(
                f"Prototype({self.strength:g}) leaves {len(timesteps)} timesteps, fewer than the "
                f"{steps} that sampling_steps asks for; take a larger strength or fewer steps."
            )
        return Prototypes(ldm, self, count, timesteps)


class Prototypes(Origin):
    """From prototypes; of a space group, where one is asked for."""

    def __init__(
        self,
        ldm: LDMModule,
        start: Prototype,
        count: int,
        timesteps: Sequence[int],
        from_attempt: int = 0,
    ) -> None:
        """`from_attempt`: the first attempt at a crystal that starts from a prototype."""
        super().__init__(timesteps)
        self._ldm, self._start, self._count = ldm, start, count
        self._from_attempt = from_attempt
        self._of_group: dict[tuple[bytes, int], list[prototype_search.Prototype]] = {}

    def starts_elsewhere(self, draft: Draft) -> bool:
        if self._from_attempt or self._start.rank(draft.turn, 0, self._count) is None:
            return False
        # Asked for as when it is made: the search remembers its answers.
        return bool((draft.atomic_numbers == 0).any()) or bool(self._prototypes(draft))

    def latents(self, drafts: Sequence[Draft]) -> Latents | None:
        search = self._ldm.training_crystals.search
        cells, rows, turns = [], [], []
        for row, draft in enumerate(drafts):
            attempt = draft.attempt - self._from_attempt
            rank = self._start.rank(draft.turn, attempt, self._count)
            prototypes = [] if rank is None or attempt < 0 else self._prototypes(draft)
            if prototypes:
                cells.append(search.cell(prototypes[(rank or 0) % len(prototypes)]))
                rows.append(row)
                turns.append(self._from_attempt + len(prototypes))
        if not cells:
            return None
        latents = self._ldm.training_latents(CrystalBatch.from_cells(cells))
        for latent, row in zip(latents, rows, strict=True):
            # The atoms of a prototype come by electronegativity, those of a request as it has them.
            order = np.argsort(electronegativity_rank()[drafts[row].atomic_numbers], kind="stable")
            latent[order] = latent[: len(order)].clone()
        return Latents(latents, torch.tensor(rows), torch.tensor(turns))

    def _prototypes(self, draft: Draft) -> list[prototype_search.Prototype]:
        """Return the first prototypes, of the space group that is asked for if one is."""
        known, group = self._ldm.training_crystals, group_number(draft.targets.get(SPACE_GROUP))
        if group is None:
            plain = not self._from_attempt
            numbers = draft.atomic_numbers
            return self._start.prototypes(known, numbers, self._count) if plain else []
        key = np.sort(draft.atomic_numbers).tobytes(), group
        if key not in self._of_group:
            nearest = known.search.nearest(draft.atomic_numbers, SEARCHED)
            right = [one for one in nearest if known.space_group(one.row) == group]
            if not right and not (draft.atomic_numbers == 0).any():
                rows = known.with_space_group(group, len(draft.atomic_numbers))
                right = orbit_prototypes(
                    known.crystals, rows, draft.atomic_numbers, GROUP_TOLERANCE
                )
            self._of_group[key] = right
        return self._of_group[key][: self._count]
