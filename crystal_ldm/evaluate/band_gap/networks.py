"""The networks of the project's own band gap predictors, on features and on graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from crystal_ldm.evaluate.band_gap.features import NUM_FEATURES
from crystal_ldm.nn.crystal_graph import (
    DROPOUT,
    NUM_PROPERTIES,
    CrystalGraph,
    GraphBatch,
    Messages,
    bond_features,
    element_properties,
    join,
    mean_and_largest,
)


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
                nn.Dropout(2 * DROPOUT),
                nn.Linear(width, width),
                nn.SiLU(),
                nn.Dropout(2 * DROPOUT),
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


_AT_ONCE = 256


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
        bonds, weights = bond_features(batch, self.elements[:, 0])
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


class _Member(nn.Module):
    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        embedded = 24
        self.embedding = nn.Embedding(119, embedded)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.element_dropout = nn.Dropout(DROPOUT)
        self.atoms = nn.Linear(embedded + NUM_PROPERTIES, width)
        self.layers = nn.ModuleList(Messages(width) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.attention = nn.Linear(width, 1)
        self.out = nn.Sequential(
            nn.Linear(3 * width + 1, width),
            nn.SiLU(),
            nn.Dropout(2 * DROPOUT),
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
        mean, largest = mean_and_largest(batch, atoms)
        total = empty[:, :1].index_add(0, batch.crystal, attention)
        attended = empty.index_add(0, batch.crystal, attention * atoms) / total
        volumes = batch.volumes.log()[:, None] - 3  # 20 Å³ is usual
        out: Tensor = self.out(torch.cat([mean, largest, attended, volumes], dim=-1))
        return out


METAL_PROBABILITY = 0.5
"""From this probability on a crystal counts as a metal, with a gap of 0."""


def final_gap(gap: Tensor, metal: Tensor) -> Tensor:
    """Return gaps in eV, 0 for likely metals, given those as if not metallic and probabilities."""
    return torch.where(metal >= METAL_PROBABILITY, torch.zeros_like(gap), gap)
