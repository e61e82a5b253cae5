"""Losses of the VAE, each one number per crystal (B,)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from crystal_ldm.vae_module.decoder import DecoderOutput


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
