"""Templates as latents to start from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_ldm.crystals import CrystalBatch

if TYPE_CHECKING:
    from crystal_ldm.ldm_module.latent_model import LatentModel


def template_latents(
    ldm: LatentModel, numbers: Sequence[NDArray[np.int64]], ranks: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Return standardised latents (M, N, D) of one template for each formula that has any.

    Args:
        ldm: encodes them, and knows the crystals.
        numbers: atomic numbers (n,) of each cell, in canonical order; 0 is an open atom, and a
            formula with one has no template.
        ranks: which one of each, 0: the nearest; beyond the last the count starts again.

    Returns:
        The latents, and the positions (M,) of their formulas.
    """
    search = ldm.known.search
    cells, rows = [], []
    for row, (z, rank) in enumerate(zip(numbers, ranks, strict=True)):
        found = search.nearest(z, rank + 1)
        if found:
            cells.append(search.cell(found[rank % len(found)]))
            rows.append(row)
    if not cells:
        return torch.zeros(0, 0, ldm.vae.latent_dim), torch.tensor([], dtype=torch.long)
    return ldm.training_latents(CrystalBatch.from_cells(cells)), torch.tensor(rows)
