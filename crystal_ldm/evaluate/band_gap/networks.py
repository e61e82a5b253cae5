"""The networks of the project's own band gap predictors, on features and on graphs.

The graph network's messages between neighbouring atoms are gated as in Xie & Grossman 2018 (CGCNN,
eq. 5), with layer norms before and after them as in transformers instead of batch norms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from crystal_ldm.evaluate.band_gap.features import (
    NUM_FEATURES,
    NUM_PROPERTIES,
    CrystalGraph,
    element_properties,
)

_DROPOUT = 0.1
"""Of the messages' sums and of elements while training; of hidden layers it is twice as much."""


class Ensemble(nn.Module):
    """Networks that each give metal logits and gaps in eV, (members, B), and their mean."""

    def predict(self, inputs: Any) -> tuple[Tensor, Tensor]:
        """Return the gap in eV as if not metallic and the probability of a metal, both (B,)."""
        logits, gaps = self(inputs)
        return gaps.mean(dim=0), torch.sigmoid(logits).mean(dim=0)


class BandGapNet(Ensemble):
    """Perceptrons; each gives a metal logit and a gap."""

    mean: Tensor
    spread: Tensor

    def __init__(self, members: int = 4, width: int = 192) -> None:
        super().__init__()
        self.width = width
        self.members = nn.ModuleList(
            nn.Sequential(
                nn.Linear(NUM_FEATURES, width),
                nn.SiLU(),
                nn.Dropout(2 * _DROPOUT),
                nn.Linear(width, width),
                nn.SiLU(),
                nn.Dropout(2 * _DROPOUT),
                nn.Linear(width, width),
                nn.SiLU(),
                nn.Linear(width, 2),
            )
            for _ in range(members)
        )
        self.register_buffer("mean", torch.zeros(NUM_FEATURES))
        self.register_buffer("spread", torch.ones(NUM_FEATURES))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return metal logits and gaps in eV of each member, both (members, B)."""
        # Far outside the training data a perceptron extrapolates wildly.
        scaled = ((features - self.mean) / self.spread).clamp(-6, 6)
        out = torch.stack([member(scaled) for member in self.members])
        return out[..., 0], nn.functional.softplus(out[..., 1])


_DISTANCES_A = (1.0, 6.0, 12)
_RATIOS = (0.7, 2.5, 12)
_AT_ONCE = 256


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


class GraphNet(Ensemble):
    """Graph networks; each gives a metal logit and a gap.

    Args:
        width: channels of an atom.
        layers: rounds of messages.
    """

    elements: Tensor

    def __init__(self, members: int = 2, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        self.width, self.layers = width, layers
        self.members = nn.ModuleList(_Member(width, layers) for _ in range(members))
        # Stored with the weights: another version of pymatgen may know other values.
        self.register_buffer("elements", torch.from_numpy(element_properties()))

    def forward(self, batch: GraphBatch) -> tuple[Tensor, Tensor]:
        """Return metal logits and gaps in eV of each member, both (members, B)."""
        properties = self.elements[batch.numbers]
        bonds, weights = self._bonds(batch)
        out = torch.stack([member(batch, properties, bonds, weights) for member in self.members])
        return out[..., 0], nn.functional.softplus(out[..., 1])

    def predict_many(self, graphs: Sequence[CrystalGraph]) -> tuple[Tensor, Tensor]:
        """Return what `predict` does for many graphs, some at a time: memory stays bounded."""
        with torch.no_grad():
            parts = [
                self.predict(join(graphs[start : start + _AT_ONCE]))
                for start in range(0, len(graphs), _AT_ONCE)
            ]
        return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])

    def _bonds(self, batch: GraphBatch) -> tuple[Tensor, Tensor]:
        """Return what is known of bonds, (N, M, 24), and how much each counts, (N, M).

        Gaussians of the distance and of its ratio to the sum of covalent radii. The farthest
        neighbour counts nothing: which of several at the same distance comes last must not matter.
        """
        distances = batch.distances
        radii = self.elements[batch.numbers, 0]
        ratios = distances / (radii[:, None] + radii[batch.neighbours])
        bonds = torch.cat([_gaussians(distances, *_DISTANCES_A), _gaussians(ratios, *_RATIOS)], -1)
        share = (distances / distances[:, -1:]).clamp(max=1)
        return bonds, (1 - share**6) ** 2


class _Member(nn.Module):
    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        embedded = 24
        self.embedding = nn.Embedding(119, embedded)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.element_dropout = nn.Dropout(_DROPOUT)
        self.atoms = nn.Linear(embedded + NUM_PROPERTIES, width)
        bonds = _DISTANCES_A[2] + _RATIOS[2]
        self.layers = nn.ModuleList(_Messages(width, bonds) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.attention = nn.Linear(width, 1)
        self.out = nn.Sequential(
            nn.Linear(3 * width + 1, width),
            nn.SiLU(),
            nn.Dropout(2 * _DROPOUT),
            nn.Linear(width, 2),
        )

    def forward(
        self, batch: GraphBatch, properties: Tensor, bonds: Tensor, weights: Tensor
    ) -> Tensor:
        """Return logit and gap before softplus, (B, 2)."""
        embedded = self.element_dropout(self.embedding(batch.numbers))
        atoms = self.atoms(torch.cat([embedded, properties], dim=-1))
        for layer in self.layers:
            atoms = layer(atoms, batch.neighbours, bonds, weights)
        atoms = self.norm(atoms)
        empty = atoms.new_zeros(len(batch.volumes), atoms.shape[1])
        attention = self.attention(atoms).clamp(max=10).exp()
        # Mean, largest and attended value over the atoms of a crystal.
        count = empty[:, :1].index_add(0, batch.crystal, torch.ones_like(attention))
        mean = empty.index_add(0, batch.crystal, atoms) / count
        places = batch.crystal[:, None].expand_as(atoms)
        largest = empty.scatter_reduce(0, places, atoms, "amax", include_self=False)
        total = empty[:, :1].index_add(0, batch.crystal, attention)
        attended = empty.index_add(0, batch.crystal, attention * atoms) / total
        volumes = batch.volumes.log()[:, None] - 3  # 20 Å³ is usual
        out: Tensor = self.out(torch.cat([mean, largest, attended, volumes], dim=-1))
        return out


class _Messages(nn.Module):
    """Atoms take up gated messages of their neighbours, each weighted."""

    def __init__(self, width: int, bonds: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.centre = nn.Linear(width, 2 * width)
        self.neighbour = nn.Linear(width, 2 * width, bias=False)
        self.bond = nn.Linear(bonds, 2 * width, bias=False)
        self.sum_norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(_DROPOUT)

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


METAL_PROBABILITY = 0.5
"""From this probability on a crystal counts as a metal, with a gap of 0."""


def final_gap(gap: Tensor, metal: Tensor) -> Tensor:
    """Return gaps in eV, 0 for likely metals, given those as if not metallic and probabilities."""
    return torch.where(metal >= METAL_PROBABILITY, torch.zeros_like(gap), gap)
