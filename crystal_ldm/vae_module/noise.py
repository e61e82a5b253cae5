"""What a training step of the VAE draws: rattled crystals, noise on latents, elements told."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from crystal_ldm.crystals import CrystalBatch


def rattled(batch: CrystalBatch, largest: float, generator: torch.Generator) -> CrystalBatch:
    """Return half of the crystals as they are, and the others with displaced atoms.

    For each crystal the standard deviation of the displacements is drawn from 0 to `largest`, in
    units of (V/n)^(1/3). Lattices stay: strain that the data set knows nothing of would cost the
    decoder more than it gives.
    """
    coords, lattices = batch.frac_coords, batch.lattices
    assert coords is not None and lattices is not None
    level = _levels(coords, largest, generator)
    size = (lattices.det().abs() / batch.num_atoms).pow(1 / 3)
    moves = randn_like(coords, generator) * (level * size)[:, None, None]
    with torch.autocast(coords.device.type, enabled=False):  # what is to be learned stays exact
        moved = (coords + moves @ torch.linalg.inv(lattices)) * batch.mask.unsqueeze(-1)
    return replace(batch, frac_coords=moved)


def extra_noise(latents: Tensor, largest: float, generator: torch.Generator) -> Tensor:
    """Return noise for latents (B, N, D): none for half of the crystals.

    For the others the standard deviation is drawn from 0 to `largest`.
    """
    level = _levels(latents, largest, generator)
    return level[:, None, None] * randn_like(latents, generator)


def _levels(like: Tensor, largest: float, generator: torch.Generator) -> Tensor:
    level = _rand(len(like), generator, like) * largest
    return level * (_rand(len(like), generator, like) < 0.5)


def known_pattern(batch: CrystalBatch, generator: torch.Generator) -> Tensor:
    """Draw which elements (B, N) the decoder is told: all of a crystal's (half), none, or some."""
    device = batch.num_atoms
    kind = _rand(len(batch), generator, device).unsqueeze(1)
    share = _rand(len(batch), generator, device).unsqueeze(1)
    atoms = _rand(batch.atomic_numbers.numel(), generator, device).view_as(batch.atomic_numbers)
    return (kind < 0.5) | ((kind >= 0.75) & (atoms < share))


def randn_like(x: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a standard normal of x's shape on the processor, whatever the device."""
    return torch.randn(x.shape, generator=generator).to(x)


def _rand(size: int, generator: torch.Generator, like: Tensor) -> Tensor:
    return torch.rand(size, generator=generator).to(like.device)
