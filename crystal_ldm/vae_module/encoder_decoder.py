"""The VAE's two transformers: crystals to a Gaussian for each atom, and latents to crystals."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from crystal_ldm.config.numbers import Count, Positive
from crystal_ldm.crystals import MAX_Z
from crystal_ldm.nn.layers import (
    AtomPosition,
    TransformerBlock,
    attention_mask,
    fractional_features,
    masked_mean,
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
        hidden_size: Count = 192,
        depth: Count = 3,
        num_heads: Count = 6,
        mlp_ratio: Positive = 4.0,
        latent_dim: Count = 8,
        max_atoms: Count = 20,
        harmonics: Count = 6,
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


@dataclass
class DecoderOutput:
    """What the decoder says.

    Attributes:
        element_logits: (B, N, 119), by atomic number; entry 0 stands for nothing and is never used.
        coordinates: (B, N, 3, 2), (cos, sin) of 2πx up to a length that says how sure it is.
        lattice: (B, 6), standardised logarithm of the lattice (see `crystals.lattice`).
    """

    element_logits: Tensor
    coordinates: Tensor
    lattice: Tensor

    @property
    def frac_coords(self) -> Tensor:
        """(B, N, 3) in [0, 1): the angle of each (cos, sin) pair, free of a seam at 0 and 1."""
        turns = torch.atan2(self.coordinates[..., 1], self.coordinates[..., 0]) / (2 * torch.pi)
        turns = turns % 1.0
        return torch.where(turns >= 1.0, torch.zeros_like(turns), turns)


class Decoder(nn.Module):
    """Transformer over atoms. Elements that are known can be given and then need not be guessed.

    Args: as for `Encoder`.
    """

    def __init__(
        self,
        hidden_size: Count = 192,
        depth: Count = 5,
        num_heads: Count = 6,
        mlp_ratio: Positive = 4.0,
        latent_dim: Count = 8,
        max_atoms: Count = 20,
    ) -> None:
        super().__init__()
        self.latent = nn.Linear(latent_dim, hidden_size)
        self.element = nn.Embedding(MAX_Z + 1, hidden_size)
        self.position = AtomPosition(max_atoms, hidden_size)
        self.blocks = nn.ModuleList(
            TransformerBlock(hidden_size, num_heads, mlp_ratio) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(hidden_size)
        self.element_head = nn.Linear(hidden_size, MAX_Z + 1)
        self.coordinate_head = nn.Linear(hidden_size, 6)
        self.lattice_head = nn.Sequential(
            nn.Linear(hidden_size, hidden_size), nn.GELU(), nn.Linear(hidden_size, 6)
        )

    def forward(
        self, latents: Tensor, known_elements: Tensor, num_atoms: Tensor, mask: Tensor
    ) -> DecoderOutput:
        """Decode latents (B, N, latent_dim); `known_elements` (B, N) is 0 where not known."""
        x = (
            self.latent(latents)
            + self.element(known_elements)
            + self.position(num_atoms, latents.shape[1])
        )
        key_mask = attention_mask(mask)
        for block in self.blocks:
            x = block(x, key_mask)
        # bfloat16 would round a coordinate of 10 Å by 0.01 Å: the heads run in float32.
        with torch.autocast(x.device.type, enabled=False):
            x = self.norm(x.float())
            return DecoderOutput(
                element_logits=self.element_head(x),
                coordinates=self.coordinate_head(x).unflatten(-1, (3, 2)),
                lattice=self.lattice_head(masked_mean(x, mask)),
            )
