"""Crystals prepared for the VAE's training: what does not change from step to step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.padding import to_device


@dataclass
class VAEItems:
    """Crystals with what the losses compare.

    Attributes:
        crystals: atomic numbers, numbers of atoms and coordinates.
        lattice: (B, 6), standardised logarithms (see `crystals.lattice`).
        axis_scale: (B, 3), axis lengths over (V/n)^(1/3).
    """

    crystals: CrystalBatch
    lattice: Tensor
    axis_scale: Tensor

    def __len__(self) -> int:
        return len(self.crystals)

    def __getitem__(self, rows: Tensor) -> VAEItems:
        return VAEItems(self.crystals[rows], self.lattice[rows], self.axis_scale[rows])

    def to(self, device: torch.device | str) -> VAEItems:
        """Return the batch on `device`."""
        return VAEItems(
            self.crystals.to(device),
            to_device(self.lattice, device),
            to_device(self.axis_scale, device),
        )


def axis_scale(lattices: Tensor, num_atoms: Tensor) -> Tensor:
    """Return axis lengths over (V/n)^(1/3), (B, 3), of lattices (B, 3, 3) in Å."""
    size = (lattices.det().abs() / num_atoms).pow(1 / 3)
    return lattices.norm(dim=-1) / size.unsqueeze(1)
