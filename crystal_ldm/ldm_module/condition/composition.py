"""Composition as a condition: the element of each atom, known or open."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from crystal_ldm.config.numbers import Probability
from crystal_ldm.crystals import MAX_Z
from crystal_ldm.random import uniform


class Composition(nn.Module):
    """Embedding of each atom's element, added to its token; 0 is an open atom.

    Args:
        dropout: share of training crystals whose elements are all left open.
        partial: share of training crystals of which a random part of the atoms is left open, so
            that a formula may have open atoms.
    """

    kind = "composition"
    name = "composition"

    def __init__(self, dropout: Probability = 0.1, partial: Probability = 0.15) -> None:
        super().__init__()
        self.dropout = dropout
        self.partial = partial

    def build(self, name: str, hidden_size: int) -> None:
        """Make the embedding table."""
        self.name = name
        self.element = nn.Embedding(MAX_Z + 1, hidden_size)
        nn.init.normal_(self.element.weight, std=0.02)

    def forward(self, atomic_numbers: Tensor) -> Tensor:
        """Return token embeddings (B, N, H)."""
        return self.element(atomic_numbers)

    def drop(self, atomic_numbers: Tensor, generator: torch.Generator) -> Tensor:
        """Return atomic numbers (B, N) with those left open in this training step set to 0."""
        device = atomic_numbers.device
        kind = uniform((len(atomic_numbers), 1), generator).to(device)
        share = uniform((len(atomic_numbers), 1), generator).to(device)
        atoms = uniform(atomic_numbers.shape, generator).to(device)
        partial = (kind < self.dropout + self.partial) & (atoms < share)
        return atomic_numbers.masked_fill((kind < self.dropout) | partial, 0)

    def describe(self) -> dict[str, Any]:
        """Return what a control for the condition has to know."""
        return {"name": self.name, "kind": self.kind, "label": "formula", "unit": ""}
