"""Shortest interatomic distances: of one crystal exactly, of a batch on its device."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.errors import DataError

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from crystal_ldm.crystals.batch import CrystalBatch

_IMAGES = torch.tensor(list(product((-1.0, 0.0, 1.0), repeat=3)))
_EXACT_IMAGES = _IMAGES.double().numpy()
_OTHER_IMAGES = _EXACT_IMAGES[np.any(_EXACT_IMAGES != 0, axis=1)]
_CHUNK = 256


def shortest_distance(crystal: Cell) -> float:
    """Return the shortest distance between two atoms in Å, periodic images included.

    Raises:
        ValueError: if the cell has no volume.
    """
    return float(pair_distances(crystal).min())


def pair_distances(crystal: Cell) -> NDArray[np.float64]:
    """Return (n, n) the shortest distance in Å of each two atoms, periodic images included, and on
    the diagonal of each atom to its own images.

    In a Minkowski-reduced cell the images -1, 0, 1 hold the nearest one of every atom (Nguyen &
    Stehlé 2009; the reduction is ASE's), so that the result is exact for any cell.

    Raises:
        ValueError: if the cell has no volume.
    """
    from ase.geometry import minkowski_reduce

    if crystal.volume < 1e-9:
        raise ValueError("the cell has no volume")
    cell, transformation = minkowski_reduce(crystal.lattice)
    frac = crystal.frac_coords @ np.linalg.inv(transformation)
    own = float(np.linalg.norm(_OTHER_IMAGES @ cell, axis=1).min())
    distances = np.full((len(frac), len(frac)), own)
    first, second = np.triu_indices(len(frac), k=1)
    if len(first):
        difference = frac[first] - frac[second]
        difference -= np.round(difference)
        vectors = (difference[:, None, :] + _EXACT_IMAGES[None]) @ cell
        between = np.sqrt((vectors**2).sum(axis=-1).min(axis=1))
        distances[first, second] = distances[second, first] = between
    return distances


def min_distance(structure: Structure) -> float:
    """Return `shortest_distance` of a pymatgen structure, Å."""
    return shortest_distance(Cell.from_structure(structure))


def shortest_distances(crystals: CrystalBatch) -> Tensor:
    """Return (B,) the shortest distance between two atoms in Å, an atom's own images included.

    Images in the neighbouring cells are looked at: exact for reduced cells, as the decoder makes
    them; `shortest_distance` takes any cell.

    Raises:
        DataError: if they are requests, without positions.
    """
    rows = torch.arange(len(crystals), device=crystals.num_atoms.device).split(_CHUNK)
    return torch.cat([pairs_of(crystals[part]).amin(dim=(1, 2)) for part in rows])


def pairs_of(crystals: CrystalBatch) -> Tensor:
    """Return (B, N, N) `pair_distances` of a batch, infinite where padded; see
    `shortest_distances`."""
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
    return squares.masked_fill(left_out, torch.inf).amin(dim=3).sqrt()
