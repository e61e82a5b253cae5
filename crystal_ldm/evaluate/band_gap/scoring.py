"""Loss and errors of the band gap predictors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

METAL_EV = 0.0
"""A crystal with a PBE gap of at most this counts as a metal."""

METAL_PROBABILITY = 0.5
"""From this probability on a crystal counts as a metal, with a gap of 0."""


def band_gap_loss(logits: Tensor, predicted: Tensor, gaps: Tensor) -> Tensor:
    """Return cross entropy of metal or not plus absolute error of the gap of non-metals.

    Args:
        logits, predicted: metal logits and gaps in eV of each member, (members, B).
        gaps: true ones in eV, (B,).
    """
    metal = (gaps <= METAL_EV).float().expand_as(logits)
    loss = nn.functional.binary_cross_entropy_with_logits(logits, metal)
    insulating = gaps > METAL_EV
    if insulating.any():
        loss = loss + (predicted[:, insulating] - gaps[insulating]).abs().mean()
    return loss


def final_gap(gap: Tensor, metal: Tensor) -> Tensor:
    """Return gaps in eV, 0 for likely metals, given those as if not metallic and probabilities."""
    return torch.where(metal >= METAL_PROBABILITY, torch.zeros_like(gap), gap)


def errors(prediction: tuple[Tensor, Tensor], gaps: Tensor) -> dict[str, float]:
    """Return errors: `mae` of the final gap over all, `mae_nonmetals` of the gap as if not metallic
    over true non-metals (both eV), and `metal_accuracy`.

    Args:
        prediction: gaps in eV as if not metallic and probabilities of a metal, both (B,).
        gaps: true ones in eV, (B,).
    """
    gap, metal = prediction
    insulating = gaps > METAL_EV
    right = (metal >= METAL_PROBABILITY) == ~insulating
    return {
        "mae": float((final_gap(gap, metal) - gaps).abs().mean()),
        "mae_nonmetals": float((gap - gaps)[insulating].abs().mean()),
        "metal_accuracy": float(right.float().mean()),
        "n": len(gaps),
        "n_nonmetals": int(insulating.sum()),
    }
