"""What a training step of the VAE draws: noise on the latents, elements told to the decoder."""

from __future__ import annotations

import torch
from torch import Tensor

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.random import normal, uniform


def extra_noise(latents: Tensor, largest: float, generator: torch.Generator) -> Tensor:
    """Return noise for latents (B, N, D): none for half of the crystals.

    For the others the standard deviation is drawn from 0 to `largest`.
    """
    level = _rand(len(latents), generator, latents) * largest
    level = level * (_rand(len(latents), generator, latents) < 0.5)
    return level[:, None, None] * randn_like(latents, generator)


def known_pattern(batch: CrystalBatch, generator: torch.Generator) -> Tensor:
    """Draw which elements (B, N) the decoder is told: all of a crystal's (half), none, or some."""
    device = batch.num_atoms
    kind = _rand(len(batch), generator, device).unsqueeze(1)
    share = _rand(len(batch), generator, device).unsqueeze(1)
    atoms = _rand(batch.atomic_numbers.numel(), generator, device).view_as(batch.atomic_numbers)
    return (kind < 0.5) | ((kind >= 0.75) & (atoms < share))


def randn_like(x: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a standard normal of x's shape where the generator is, and bring it to x."""
    return normal(x.shape, generator).to(x)


def _rand(size: int, generator: torch.Generator, like: Tensor) -> Tensor:
    return uniform((size,), generator).to(like.device)
