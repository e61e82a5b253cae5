"""Shortest interatomic distances of a whole batch."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from crystal_ldm.crystals.batch import CrystalBatch

_IMAGES = torch.tensor(list(product((-1.0, 0.0, 1.0), repeat=3)))
_CHUNK = 256


def shortest_distances(crystals: CrystalBatch) -> Tensor:
    """Return (B,) the shortest distance between two atoms in Å, an atom's own images included.

    Images in the neighbouring cells are looked at: exact for reduced cells, as the decoder makes
    them; `crystal_ldm.evaluate` judges any cell.
    """
    rows = torch.arange(len(crystals), device=crystals.num_atoms.device).split(_CHUNK)
    return torch.cat([_shortest(crystals[part]) for part in rows])


def _shortest(crystals: CrystalBatch) -> Tensor:
    frac, mask = crystals.frac_coords, crystals.mask
    images = _IMAGES.to(frac)
    apart = frac[:, :, None] - frac[:, None, :]
    apart = apart - apart.round()
    vectors = (apart[..., None, :] + images) @ crystals.lattices[:, None, None]
    squares = vectors.square().sum(dim=-1)  # (B, N, N, 27)
    itself = torch.eye(frac.shape[1], dtype=torch.bool, device=frac.device)[..., None] & (
        images == 0
    ).all(dim=1)
    pair = mask[:, :, None] & mask[:, None, :]
    left_out = itself | ~pair[..., None]
    return squares.masked_fill(left_out, torch.inf).amin(dim=(1, 2, 3)).sqrt()
