"""The VAE's training step: crystals prepared for it, what it draws, and its losses."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.padding import to_device
from crystal_ldm.random import normal, uniform
from crystal_ldm.vae_module.encoder_decoder import DecoderOutput


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


def per_crystal(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of values (B, N) over the atoms of each crystal, (B,)."""
    return (values * mask).sum(dim=1) / mask.sum(dim=1).clamp_min(1)


def element_loss(output: DecoderOutput, atomic_numbers: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of the elements, nats per atom."""
    logits = output.element_logits.float().transpose(1, 2)
    return per_crystal(F.cross_entropy(logits, atomic_numbers, reduction="none"), mask)


def coordinate_loss(
    output: DecoderOutput, frac_coords: Tensor, mask: Tensor, scale: Tensor, beta: float
) -> Tensor:
    """Smooth L1 between (cos, sin) of 2πx and its prediction, summed over the three axes.

    The distance is that in the plane of each pair: no seam at the cell's boundary. `scale` (B, 3),
    axis lengths over (V/n)^(1/3), makes it 2π times a displacement in the unit of
    StructureMatcher's RMS. Errors below `beta` count as squares, larger ones by their size, so that
    a few atoms in the wrong place do not drown the many that need the last hundredths of an Å.
    """
    angles = 2 * math.pi * frac_coords
    target = torch.stack([angles.cos(), angles.sin()], dim=-1)
    squared = (output.coordinates.float() - target).square().sum(dim=-1)
    squared = squared * scale.square().unsqueeze(1)
    return per_crystal(_pseudo_huber(squared, beta).sum(dim=-1), mask)


def lattice_loss(output: DecoderOutput, lattice: Tensor, beta: float) -> Tensor:
    """Smooth L1 of the standardised lattice logarithms, summed over the six components."""
    squared = (output.lattice.float() - lattice).square()
    return _pseudo_huber(squared, beta).sum(dim=-1)


def kl_divergence(mean: Tensor, log_variance: Tensor, mask: Tensor) -> Tensor:
    """KL divergence from the standard normal, nats per atom (Kingma & Welling 2014, eq. 10)."""
    mean, log_variance = mean.float(), log_variance.float()
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
    return per_crystal(kl.sum(dim=-1), mask)


def _pseudo_huber(squared: Tensor, beta: float) -> Tensor:
    return beta * ((squared + beta * beta).sqrt() - beta)
