"""Training crystals whose latents are computed once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from crystal_ldm.crystals import CrystalBatch


@dataclass
class LatentBatch:
    """Training crystals with their latents (B, N, D), standardised, and encoded conditions."""

    crystals: CrystalBatch
    latents: Tensor
    encoded: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.crystals)

    def __getitem__(self, rows: Tensor) -> LatentBatch:
        crystals = self.crystals[rows]
        latents = self.latents[rows, : crystals.atomic_numbers.shape[1]]
        return LatentBatch(crystals, latents, {n: e[rows] for n, e in self.encoded.items()})

    def to(self, device: torch.device | str) -> LatentBatch:
        """Return the batch on `device`."""
        encoded = {n: e.to(device) for n, e in self.encoded.items()}
        return LatentBatch(self.crystals.to(device), self.latents.to(device), encoded)
