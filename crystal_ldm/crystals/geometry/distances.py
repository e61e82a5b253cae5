"""Shortest interatomic distances: of one crystal exactly, of a batch on its device; and whether
neighbours are as far apart as those of their elements are in known crystals."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.elements import atomic_number, covalent_radii
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
    return _smallest(crystals, pairs_of)


def _smallest(crystals: CrystalBatch, of_pairs: Callable[[CrystalBatch], Tensor]) -> Tensor:
    """Return (B,) the smallest of what `of_pairs` says, (n, N, N), of some crystals at a time."""
    rows = torch.arange(len(crystals), device=crystals.num_atoms.device).split(_CHUNK)
    return torch.cat([of_pairs(crystals[part]).amin(dim=(1, 2)) for part in rows])


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


KNOWN_DISTANCES = Path(__file__).with_name("known_distances.csv.gz")
"""Shortest distance in Å of each two elements in the training crystals of the shipped models
(`python -m benchmarks.quality contacts --write`)."""
_OF_RADII = 0.84


@lru_cache(maxsize=1)
def usual_distances() -> NDArray[np.float64]:
    """Return how close atoms of each two elements come to each other, (119, 119), Å.

    It is the shortest distance in the training crystals of the shipped models, and where these have
    none, or none so near, 0.84 times the sum of the covalent radii (Cordero et al., Dalton Trans.
    2832 (2008)).
    """
    radii = covalent_radii()
    distances: NDArray[np.float64] = _OF_RADII * (radii[:, None] + radii[None])
    with gzip.open(KNOWN_DISTANCES, "rt", encoding="ascii") as file:
        for first, second, distance in csv.reader(file):
            a, b = atomic_number(first), atomic_number(second)
            shortest = min(distances[a, b], float(distance))
            distances[a, b] = distances[b, a] = shortest
    return distances


def closest_contact(crystal: Cell, distances: NDArray[np.float64] | None = None) -> float:
    """Return the smallest distance of two atoms in units of the usual one of their elements.

    Of real crystals that no training has seen 99.7 to 100 % are above 0.95.

    Args:
        crystal: the crystal.
        distances: what `pair_distances` says of it, where that is known; Å.

    Raises:
        ValueError: if the cell has no volume.
    """
    numbers = np.asarray(crystal.numbers)
    distances = pair_distances(crystal) if distances is None else distances
    return float((distances / usual_distances()[numbers[:, None], numbers]).min())


def closest_contacts(crystals: CrystalBatch) -> Tensor:
    """Return (B,) `closest_contact` of each crystal of a batch; see `shortest_distances`.

    Raises:
        DataError: if they are requests, without positions.
    """

    def contacts(some: CrystalBatch) -> Tensor:
        distances, numbers = pairs_of(some), some.atomic_numbers
        usual = torch.from_numpy(usual_distances()).to(distances)
        return distances / usual[numbers[:, :, None], numbers[:, None, :]]

    return _smallest(crystals, contacts)
