"""The diffusion transformer (Peebles & Xie, Scalable Diffusion Models with Transformers, 2023)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crystal_ldm.config.numbers import Count, Positive
from crystal_ldm.nn.layers import MLP, AtomPosition, Attention, attention_mask, sinusoidal_embedding
from crystal_ldm.nn.linear import Linear
from crystal_ldm.random import uniform


class DiTBlock(nn.Module):
    """Transformer block whose norms are shifted, scaled and gated by the condition (adaLN-Zero)."""

    compiles_alone = True

    def __init__(self, hidden_size: int, num_heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(hidden_size, elementwise_affine=False, eps=1e-6)
        self.attention = Attention(hidden_size, num_heads)
        self.norm2 = nn.LayerNorm(hidden_size, elementwise_affine=False, eps=1e-6)
        self.mlp = MLP(hidden_size, mlp_ratio)
        self.modulation = Linear(hidden_size, 6 * hidden_size)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(
        self,
        x: Tensor,
        condition: Tensor,
        key_mask: Tensor | None,
        rows: Tensor | None = None,
        keep: Tensor | None = None,
        added: Tensor | None = None,
    ) -> Tensor:
        """Map x (B, N, H) to (B, N, H).

        `condition` (B, H) has been through a SiLU; with `rows` (B,) it is (U, H), and crystal i
        takes its row `rows[i]`. `keep` (B, 2, H) multiplies the two gates. `added` (B or U, 6 H)
        is added to the modulation.
        """
        modulation = self.modulation(condition)
        if added is not None:
            modulation = modulation + added
        parts = _of_crystals(modulation, rows).chunk(6, dim=-1)
        shift1, scale1, gate1, shift2, scale2, gate2 = parts
        if keep is not None:
            gate1, gate2 = gate1 * keep[:, :1], gate2 * keep[:, 1:]
        x = x + gate1 * self.attention(self.norm1(x) * (1 + scale1) + shift1, key_mask)
        return x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)


def _of_crystals(values: Tensor, rows: Tensor | None) -> Tensor:
    """Return values (B, 1, F) of crystals, given once for all crystals with the same condition."""
    return (values if rows is None else values[rows]).unsqueeze(1)


class DiT(nn.Module):
    """Denoiser of variable-length sequences of latents, one token per atom.

    Timestep and conditions of the whole crystal modulate every block; conditions of single atoms
    (their elements) are added to their tokens. The last layer starts at zero, and so does every
    block's gate: an untrained DiT predicts 0.

    Args:
        hidden_size, depth, num_heads, mlp_ratio: size of the transformer.
        latent_dim: components of an atom's latent vector.
        max_atoms: most atoms in a cell.
        output_dim: components of the output; None: `latent_dim` (twice as many for a learned
            variance).
    """

    def __init__(
        self,
        hidden_size: Count = 512,
        depth: Count = 12,
        num_heads: Count = 8,
        mlp_ratio: Positive = 4.0,
        latent_dim: Count = 8,
        max_atoms: Count = 20,
        output_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.input = Linear(latent_dim, hidden_size)
        self.position = AtomPosition(max_atoms, hidden_size)
        self.timestep = nn.Sequential(
            Linear(256, hidden_size), nn.SiLU(), Linear(hidden_size, hidden_size)
        )
        self.activation = nn.SiLU()
        self.blocks = nn.ModuleList(
            DiTBlock(hidden_size, num_heads, mlp_ratio) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(hidden_size, elementwise_affine=False, eps=1e-6)
        self.modulation = Linear(hidden_size, 2 * hidden_size)
        self.output = Linear(hidden_size, output_dim or latent_dim)
        for layer in (self.modulation, self.output):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    @property
    def modulation_size(self) -> int:
        """M, numbers that modulate the blocks (6 H each) and the last layer (2 H)."""
        return (6 * len(self.blocks) + 2) * self.hidden_size

    def forward(
        self,
        x: Tensor,
        timestep: Tensor,
        num_atoms: Tensor,
        mask: Tensor | None = None,
        token_condition: Tensor | None = None,
        condition: Tensor | None = None,
        rows: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> Tensor:
        """Return the prediction (B, N, output_dim) for noisy latents.

        Args:
            x: (B, N, latent_dim).
            timestep: (B,), or a single one (1,) for all.
            num_atoms: (B,).
            mask: (B, N), True where there is an atom; None: everywhere.
            token_condition: (B, N, hidden_size), added to the tokens.
            condition: (B, hidden_size), added to the embedding of the timestep; or
                (B, hidden_size + modulation_size), of which the rest is added to the modulation of
                the blocks and the last layer (see `ConditionAdapter`).
            rows: (B,), with a single timestep and a `condition` of shape (U, hidden_size): which
                row of it each crystal takes. What depends on the condition alone is computed once
                for each row.
            keep: (B, depth, 2, hidden_size), factors on the gates (see `dropout_mask`).
        """
        tokens = self.input(x) + self.position(num_atoms, x.shape[1])
        if token_condition is not None:
            tokens = tokens + token_condition
        vector = self.timestep(sinusoidal_embedding(timestep, 256))
        added: list[Tensor | None] = [None] * (len(self.blocks) + 1)
        if condition is not None and condition.shape[-1] > self.hidden_size:
            rest = condition[..., self.hidden_size :]
            added = list(rest.split(6 * self.hidden_size, dim=-1))
            condition = condition[..., : self.hidden_size]
        if condition is not None:
            vector = vector + condition
        vector = self.activation(vector if rows is not None else vector.expand(len(x), -1))
        key_mask = attention_mask(mask)
        for i, block in enumerate(self.blocks):
            kept = None if keep is None else keep[:, i]
            tokens = block(tokens, vector, key_mask, rows, kept, added[i])
        modulation = self.modulation(vector)
        if (last := added[-1]) is not None:
            modulation = modulation + last
        shift, scale = _of_crystals(modulation, rows).chunk(2, dim=-1)
        return self.output(self.norm(tokens) * (1 + scale) + shift)

    def dropout_mask(
        self, batch_size: int, rate: float, generator: torch.Generator
    ) -> Tensor | None:
        """Draw which channels each block adds in a training step; None for a rate of 0.

        Dropout (Srivastava et al. 2014) on a block's output, the same for all atoms of a crystal,
        as (batch_size, depth, 2, hidden_size): 0 with probability `rate`, else 1 / (1 - rate).
        """
        if rate == 0:
            return None
        shape = (batch_size, len(self.blocks), 2, self.hidden_size)
        kept = uniform(shape, generator) >= rate
        return kept.to(self.input.weight) / (1 - rate)
