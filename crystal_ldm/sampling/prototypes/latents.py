"""Templates as latents to start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.elements import electronegativity_rank

if TYPE_CHECKING:
    from crystal_ldm.ldm_module.latent_model import LatentModel


@dataclass(frozen=True)
class Offer:
    """Templates of the formulas that have any.

    Attributes:
        latents: (M, N, D), standardised, their atoms in the order of the formula's.
        rows: (M,) positions of the formulas.
        turns: (M,) how many templates take turns for each.
    """

    latents: Tensor
    rows: Tensor
    turns: Tensor


def template_latents(
    ldm: LatentModel,
    numbers: Sequence[NDArray[np.int64]],
    ranks: Sequence[int | None],
    most: int,
) -> Offer:
    """Return one template for each formula that has any.

    Args:
        ldm: encodes them, and knows the crystals.
        numbers: atomic numbers (n,) of each cell; 0 is an open atom, and a formula with one has no
            template.
        ranks: which one of each, 0: the nearest; beyond the last the count starts again. None:
            none is wanted.
        most: how many templates of a formula take turns, where it has as many.
    """
    search = ldm.known.search
    cells, rows, turns = [], [], []
    for row, (z, rank) in enumerate(zip(numbers, ranks, strict=True)):
        if rank is None:
            continue
        found = search.nearest(z, most)
        if found:
            cells.append(search.cell(found[rank % len(found)]))
            rows.append(row)
            turns.append(len(found))
    if not cells:
        nothing = torch.zeros(0, dtype=torch.long)
        return Offer(torch.zeros(0, 0, ldm.vae.latent_dim), nothing, nothing)
    latents = ldm.training_latents(CrystalBatch.from_cells(cells))
    for latent, row in zip(latents, rows, strict=True):
        order = np.argsort(electronegativity_rank()[numbers[row]], kind="stable")
        latent[order] = latent[: len(order)].clone()
    return Offer(latents, torch.tensor(rows), torch.tensor(turns))
