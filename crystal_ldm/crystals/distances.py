"""Shortest interatomic distances of a whole batch."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from crystal_ldm.crystals.batch import CrystalBatch
from crystal_ldm.errors import DataError

_IMAGES = torch.tensor(list(product((-1.0, 0.0, 1.0), repeat=3)))
_CHUNK = 256


def shortest_distances(crystals: CrystalBatch) -> Tensor:
    """Return (B,) the shortest distance between two atoms in Å, an atom's own images included.

    Images in the neighbouring cells are looked at: exact for reduced cells, as the decoder makes
    them; `crystal_ldm.evaluate` judges any cell.

    Raises:
        DataError: if they are requests, without positions.
    """
    rows = torch.arange(len(crystals), device=crystals.num_atoms.device).split(_CHUNK)
    return torch.cat([_shortest(crystals[part]) for part in rows])


def _shortest(crystals: CrystalBatch) -> Tensor:
    frac, lattices, mask = crystals.frac_coords, crystals.lattices, crystals.mask
    if frac is None or lattices is None:
        raise DataError("These are requests: their atoms have no positions yet.")
    images = _IMAGES.to(frac)
    apart = frac[:, :, None] - frac[:, None, :]
    apart = apart - apart.round()
    vectors = (apart[..., None, :] + images) @ lattices[:, None, None]
    squares = vectors.square().sum(dim=-1)  # (B, N, N, 27)
    itself = torch.eye(frac.shape[1], dtype=torch.bool, device=frac.device)[..., None] & (
        images == 0
    ).all(dim=1)
    pair = mask[:, :, None] & mask[:, None, :]
    left_out = itself | ~pair[..., None]
    return squares.masked_fill(left_out, torch.inf).amin(dim=(1, 2, 3)).sqrt()
