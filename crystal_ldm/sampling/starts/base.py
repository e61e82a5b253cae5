"""What a start is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.prototype_search import Prototype
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.ldm_module.training_crystals import TrainingCrystals
from crystal_ldm.sampling.named import Named
from crystal_ldm.sampling.plan import Draft


@dataclass(frozen=True)
class Latents:
    """Where some of a batch's crystals start; the others start from noise.

    Attributes:
        latents: (M, N, D), standardised.
        rows: (M,) positions in the batch.
        turns: (M,) how many attempts at a crystal start elsewhere, so that each is another even
            without noise.
    """

    latents: Tensor
    rows: Tensor
    turns: Tensor


@dataclass(frozen=True)
class Placed:
    """Decoded crystals, as they are handed out.

    Attributes:
        crystals: B of them, in the canonical form that the model makes.
        final: the same crystals in the cell, origin and order of atoms that the result has.
        order: (B, N) which atom of `crystals` each one of `final` is.
        displacement: (B,) Å, by how much kept atoms had to be moved; NaN where none are kept.
        passed: tests of the start itself, by name, (B,) bool.
    """

    crystals: CrystalBatch
    final: CrystalBatch
    order: Tensor
    displacement: Tensor
    passed: dict[str, Tensor]


class Origin:
    """A start that knows its model and request; this one is noise.

    Attributes:
        timesteps: those that are left for what starts elsewhere.
        first_row: number of the request's first row (`Plan.first_row`).
    """

    first_row = 0

    def __init__(self, timesteps: Sequence[int] = ()) -> None:
        self.timesteps = list(timesteps)

    def starts_elsewhere(self, draft: Draft) -> bool:
        """Return whether a crystal starts elsewhere than from noise; such crystals share batches.

        Of open elements nobody knows yet; they count as if they did.
        """
        return False

    def latents(self, drafts: Sequence[Draft]) -> Latents | None:
        """Return where crystals of a batch start whose elements are drawn by now; None: noise."""
        return None

    def hold(
        self, drafts: Sequence[Draft], atoms: CrystalBatch, allowed: Tensor, x0: Tensor, last: bool
    ) -> Tensor:
        """Return the model's estimate of the clean latents with what is known of the crystals.

        Args:
            drafts: of a batch.
            atoms: their elements, 0 where open.
            allowed: (B, 119) bool, what open atoms may become.
            x0: (B, N, D), standardised.
            last: whether this estimate is the result.
        """
        return x0

    def place(self, drafts: Sequence[Draft], crystals: CrystalBatch) -> Placed:
        """Return decoded crystals, on the CPU, as they are handed out."""
        order = torch.arange(crystals.atomic_numbers.shape[1]).repeat(len(crystals), 1)
        return Placed(crystals, crystals, order, torch.full((len(crystals),), torch.nan), {})


class Start(Named):
    """Where the denoising starts. A start of one's own is a subclass with `origin`."""

    family = "starts"
    uses_training_set: ClassVar[bool] = False
    """Whether it depends on the crystals that the model was trained on."""
    takes_crystals: ClassVar[bool] = False
    """Whether the rows of a request are crystals with coordinates."""
    keeps_cells: ClassVar[bool] = False
    """Whether those crystals keep their cell and order of atoms; else they are made canonical."""
    draws_elements: ClassVar[bool] = True
    """Whether the composition model draws elements that are left open."""

    def check(self, ldm: LDMModule) -> None:
        """Raise `RequestError` if a model cannot start so."""

    def request(self, crystals: CrystalBatch | None, ldm: LDMModule) -> CrystalBatch | None:
        """Return what is asked for, given what `sample` was called with."""
        return crystals

    def crystals_given(self, crystals: CrystalBatch | None, ldm: LDMModule) -> CrystalBatch:
        """Return the crystals that `sample` was called with, and the conditions that `ldm` knows.

        Raises:
            RequestError: there are none.
        """
        if crystals is None or crystals.frac_coords is None or crystals.lattices is None:
            raise RequestError(
                f"The start {type(self).__name__} needs crystals: give "
                "CrystalBatch.from_structures([...]) as batch."
            )
        known = ldm.sampler_network.properties
        conditions = {n: v for n, v in crystals.conditions.items() if n in known}
        return replace(crystals, conditions=conditions)

    def prototypes(
        self, known: TrainingCrystals, numbers: NDArray[np.int64], count: int
    ) -> list[Prototype]:
        """Return at most `count` prototypes of a formula (n,), in the order that this start has."""
        return known.search.nearest(numbers, count)

    @abstractmethod
    def origin(
        self, ldm: LDMModule, crystals: CrystalBatch | None, num_samples: int, steps: int
    ) -> Origin:
        """Return the start of one request.

        Args:
            ldm: the model.
            crystals: what `sample` was called with.
            num_samples: crystals for each of its rows.
            steps: of the solver.

        Raises:
            RequestError: if the request cannot start so.
        """
