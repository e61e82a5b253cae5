"""A small ensemble of perceptrons on hand-made features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crystal_ldm.evaluate.band_gap.features import NUM_FEATURES


class BandGapNet(nn.Module):
    """Perceptrons; each gives a metal logit and a gap.

    Args:
        members: number of perceptrons.
        width: hidden units.
        dropout: while training.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, members: int = 4, width: int = 192, dropout: float = 0.2) -> None:
        super().__init__()
        self.width = width
        self.members = nn.ModuleList(
            nn.Sequential(
                nn.Linear(NUM_FEATURES, width),
                nn.SiLU(),
                nn.Dropout(dropout),
                nn.Linear(width, width),
                nn.SiLU(),
                nn.Dropout(dropout),
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

    def predict(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gap in eV as if not metallic and the probability of a metal, both (B,)."""
        logits, gaps = self(features)
        return gaps.mean(dim=0), torch.sigmoid(logits).mean(dim=0)
