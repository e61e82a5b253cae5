"""Graphs of crystals and messages between their atoms, for networks that judge whole crystals.

The messages between neighbouring atoms are gated as in Xie & Grossman 2018 (CGCNN, eq. 5), with
layer norms before and after them as in transformers instead of batch norms.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crystal_ldm.crystals.elements import covalent_radii, electronegativities

DROPOUT = 0.1
"""Of the messages' sums and of elements while training; of hidden layers it is twice as much."""
NUM_PROPERTIES = 4 + 18 + 7 + 4
_UNKNOWN_EV = 7.5
_USUAL_ELECTRONEGATIVITY = 1.7


def usual_electronegativities() -> NDArray[np.float64]:
    """Return Pauling electronegativities by atomic number, (119,), a usual one where unknown."""
    return np.nan_to_num(electronegativities(), nan=_USUAL_ELECTRONEGATIVITY)


def element_properties() -> NDArray[np.float32]:
    """Return properties by atomic number, (119, 33).

    Covalent radius in Å; electronegativity, ionisation energy and electron affinity as pymatgen
    has them, roughly from -2 to 2; group (18), row (7) and block (4) as ones among zeros. From
    104 on only radius and usual values.
    """
    from pymatgen.core import Element

    electronegativity, radii = usual_electronegativities(), covalent_radii()
    ionisation = np.full(119, _UNKNOWN_EV)
    affinity = np.zeros(119)
    classes = np.zeros((119, 18 + 7 + 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for z in range(1, 104):
            element = Element.from_Z(z)
            ionisation[z] = element.ionization_energy or _UNKNOWN_EV
            affinity[z] = element.electron_affinity or 0.0
            places = (element.group - 1, 17 + element.row, 25 + "spdf".index(element.block))
            classes[z, list(places)] = 1
    scaled = [
        radii,
        (electronegativity - _USUAL_ELECTRONEGATIVITY) / 0.6,
        (ionisation - _UNKNOWN_EV) / 2.5,
        affinity,
    ]
    return np.concatenate([np.stack(scaled, axis=1), classes], axis=1).astype(np.float32)


class CrystalGraph(NamedTuple):
    """A crystal as its atoms and their nearest neighbours.

    Attributes:
        numbers: atomic numbers, (N,).
        neighbours: atoms that are neighbours, (N, M), the nearest first.
        distances: to them in Å, (N, M).
        volume: Å³ for each atom.
    """

    numbers: NDArray[np.int64]
    neighbours: NDArray[np.int64]
    distances: NDArray[np.float32]
    volume: float


class GraphBatch(NamedTuple):
    """Graphs of B crystals with N atoms together, each with M neighbours.

    Attributes:
        numbers: atomic numbers, (N,).
        neighbours: which atoms of the batch are neighbours, (N, M).
        distances: to them in Å, (N, M), the nearest first.
        crystal: to which crystal an atom belongs, (N,).
        volumes: Å³ for each atom, by crystal, (B,).
    """

    numbers: Tensor
    neighbours: Tensor
    distances: Tensor
    crystal: Tensor
    volumes: Tensor


def join(graphs: Sequence[CrystalGraph]) -> GraphBatch:
    """Return graphs as one batch; the atoms of a crystal follow those of the crystal before."""
    sizes = np.array([len(graph.numbers) for graph in graphs])
    crystal = np.repeat(np.arange(len(graphs)), sizes)
    first = np.cumsum(sizes) - sizes
    neighbours = np.concatenate([graph.neighbours for graph in graphs]) + first[crystal][:, None]
    return GraphBatch(
        torch.from_numpy(np.concatenate([graph.numbers for graph in graphs])).long(),
        torch.from_numpy(neighbours),
        torch.from_numpy(np.concatenate([graph.distances for graph in graphs])),
        torch.from_numpy(crystal),
        torch.tensor([graph.volume for graph in graphs], dtype=torch.float32),
    )


_DISTANCES_A = (1.0, 6.0, 12)
_RATIOS = (0.7, 2.5, 12)


def bond_features(batch: GraphBatch, radii: Tensor) -> tuple[Tensor, Tensor]:
    """Return what is known of bonds, (N, M, 24), and how much each counts, (N, M).

    Gaussians of the distance and of its ratio to the sum of covalent radii. The farthest neighbour
    counts nothing: which of several at the same distance comes last must not matter.

    Args:
        radii: covalent radii by atomic number, Å, (119,).
    """
    distances, own = batch.distances, radii[batch.numbers]
    ratios = distances / (own[:, None] + own[batch.neighbours])
    bonds = torch.cat([_gaussians(distances, *_DISTANCES_A), _gaussians(ratios, *_RATIOS)], -1)
    share = (distances / distances[:, -1:]).clamp(max=1)
    return bonds, (1 - share**6) ** 2


def mean_and_largest(batch: GraphBatch, atoms: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the largest value of each channel of atoms (N, C) by crystal, (B, C)."""
    empty = atoms.new_zeros(len(batch.volumes), atoms.shape[1])
    count = empty[:, :1].index_add(0, batch.crystal, torch.ones_like(atoms[:, :1]))
    mean = empty.index_add(0, batch.crystal, atoms) / count
    places = batch.crystal[:, None].expand_as(atoms)
    return mean, empty.scatter_reduce(0, places, atoms, "amax", include_self=False)


class Messages(nn.Module):
    """Atoms take up gated messages of their neighbours, each weighted."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.centre = nn.Linear(width, 2 * width)
        self.neighbour = nn.Linear(width, 2 * width, bias=False)
        self.bond = nn.Linear(_DISTANCES_A[2] + _RATIOS[2], 2 * width, bias=False)
        self.sum_norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, atoms: Tensor, neighbours: Tensor, bonds: Tensor, weights: Tensor) -> Tensor:
        """Return atoms (N, width) after messages along bonds (N, M, 24) with weights (N, M)."""
        x = self.norm(atoms)
        mixed = self.centre(x)[:, None] + self.neighbour(x)[neighbours] + self.bond(bonds)
        gate, value = mixed.chunk(2, dim=-1)
        messages = torch.sigmoid(gate) * nn.functional.silu(value) * weights[..., None]
        taken = nn.functional.silu(self.sum_norm(messages.sum(dim=1)))
        return atoms + self.dropout(self.out(taken))


def _gaussians(values: Tensor, start: float, stop: float, count: int) -> Tensor:
    """Return Gaussians of a value around equally spaced centres, as wide as these are apart."""
    centres = torch.linspace(start, stop, count, device=values.device)
    return torch.exp(-(((values[..., None] - centres) * (count - 1) / (stop - start)) ** 2))
