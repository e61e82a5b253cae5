"""The VAE's encoder: crystals to a Gaussian for each atom."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crystal_ldm.crystals import MAX_Z
from crystal_ldm.nn.layers import (
    AtomPosition,
    TransformerBlock,
    attention_mask,
    fractional_features,
)


class Encoder(nn.Module):
    """Transformer over atoms.

    Args:
        hidden_size, depth, num_heads, mlp_ratio: size of the transformer.
        latent_dim: components of an atom's latent vector.
        max_atoms: most atoms in a cell.
        harmonics: multiples of 2πx in the coordinate features.
    """

    def __init__(
        self,
        hidden_size: int = 192,
        depth: int = 3,
        num_heads: int = 6,
        mlp_ratio: float = 4.0,
        latent_dim: int = 8,
        max_atoms: int = 20,
        harmonics: int = 6,
    ) -> None:
        super().__init__()
        self.harmonics = harmonics
        self.element = nn.Embedding(MAX_Z + 1, hidden_size)
        self.coordinates = nn.Linear(6 * harmonics, hidden_size)
        self.lattice = nn.Linear(6, hidden_size)
        self.position = AtomPosition(max_atoms, hidden_size)
        self.blocks = nn.ModuleList(
            TransformerBlock(hidden_size, num_heads, mlp_ratio) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(hidden_size)
        self.out = nn.Linear(hidden_size, 2 * latent_dim)

    def forward(
        self,
        atomic_numbers: Tensor,
        frac_coords: Tensor,
        lattice: Tensor,
        num_atoms: Tensor,
        mask: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance, each (B, N, latent_dim).

        `lattice` (B, 6) holds standardised logarithms (see `crystals.lattice`).
        """
        x = (
            self.element(atomic_numbers)
            + self.coordinates(fractional_features(frac_coords, self.harmonics))
            + self.lattice(lattice).unsqueeze(1)
            + self.position(num_atoms, atomic_numbers.shape[1])
        )
        key_mask = attention_mask(mask)
        for block in self.blocks:
            x = block(x, key_mask)
        with torch.autocast(x.device.type, enabled=False):
            mean, log_variance = self.out(self.norm(x.float())).chunk(2, dim=-1)
        return mean, log_variance.clamp(-20.0, 4.0)
