"""Latents of crystals; for training they are computed once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.padding import to_device
from crystal_ldm.vae_module import VAEModule


@torch.no_grad()
def encode(vae: VAEModule, crystals: CrystalBatch, batch_size: int = 512) -> Tensor:
    """Return the latents (B, N, D) of crystals on the VAE's device, 0 where padded."""
    width = crystals.atomic_numbers.shape[1]
    latents = torch.zeros(len(crystals), width, vae.latent_dim, device=vae.device)
    for rows in torch.arange(len(crystals)).split(batch_size):
        part = crystals[rows].to(latents.device)
        latents[rows, : part.atomic_numbers.shape[1]] = vae.encode(part)
    return latents


@dataclass
class LatentBatch:
    """Training crystals with their latents (B, N, D), standardised, and encoded conditions.

    Of the crystals only atomic numbers and numbers of atoms are needed.
    """

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
        encoded = {n: to_device(e, device) for n, e in self.encoded.items()}
        return LatentBatch(self.crystals.to(device), to_device(self.latents, device), encoded)
