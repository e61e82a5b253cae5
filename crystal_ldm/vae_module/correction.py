"""Decoding that the encoder agrees with.

A decoder that was trained to forgive noise on its latents rounds every crystal a little towards
those it knows. The encoder sees what was lost: E(D(z)) differs from z. Decoding z + (z − E(D(z)))
instead makes up for it, and can be repeated: iterated back-projection (Irani & Peleg, CVGIP:
Graph. Models Image Process. 53, 231 (1991), eq. 2), a fixed-point iteration for E(D(ζ)) = z.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.errors import RequestError


def correct(
    decode: Callable[[Tensor], CrystalBatch],
    encode: Callable[[CrystalBatch], Tensor],
    latents: Tensor,
    corrections: Any,
) -> CrystalBatch:
    """Decode latents (B, N, D) and correct the crystals so many times.

    Of each crystal the version is kept whose latents are nearest to those asked for, so that one
    for which the iteration does not converge is no worse off than before.

    Args:
        latents: what the crystals' latents should be.
        corrections: how often; 0: decoded once, and that is it.

    Raises:
        RequestError: if `corrections` is no whole number of at least 0.
    """
    if isinstance(corrections, bool) or not isinstance(corrections, int) or corrections < 0:
        raise RequestError(
            f"corrections must be a whole number of at least 0, not {corrections!r}."
        )
    crystals = decode(latents)
    if corrections == 0:
        return crystals
    mask = crystals.mask.unsqueeze(-1)
    moved, nearest = latents, latents.new_full((len(latents),), torch.inf)
    best = crystals
    for step in range(corrections + 1):
        missing = (latents - encode(crystals)) * mask
        distance = missing.square().sum(dim=(1, 2))
        nearer = distance < nearest
        best, nearest = _choose(nearer, crystals, best), torch.where(nearer, distance, nearest)
        if step < corrections:
            moved = moved + missing
            crystals = decode(moved)
    return best


def _choose(first: Tensor, a: CrystalBatch, b: CrystalBatch) -> CrystalBatch:
    """Return the crystals of `a` where `first` (B,) is true, else those of `b`."""
    assert a.frac_coords is not None and a.lattices is not None
    assert b.frac_coords is not None and b.lattices is not None
    row = first.unsqueeze(-1)
    return CrystalBatch(
        torch.where(row, a.atomic_numbers, b.atomic_numbers),
        a.num_atoms,
        torch.where(row.unsqueeze(-1), a.frac_coords, b.frac_coords),
        torch.where(row.unsqueeze(-1), a.lattices, b.lattices),
    )
