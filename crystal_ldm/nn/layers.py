"""Layers that the VAE and the denoiser share."""

from __future__ import annotations

import math
import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crystal_ldm.errors import ConfigError
from crystal_ldm.nn.linear import Linear

# Attention normalises bfloat16 queries and keys with float32 weights on purpose.
warnings.filterwarnings("ignore", message="Mismatch dtype between input and weight")


def attention_mask(mask: Tensor | None) -> Tensor | None:
    """Return the key mask (B, 1, 1, N) for a padding mask (B, N), or None where nothing is padded.

    Attention without a mask is faster, and bucketed batches rarely need one; a GPU would have to
    be waited for to know.
    """
    if mask is None or (mask.device.type == "cpu" and bool(mask.all())):
        return None
    return mask[:, None, None, :]


class Attention(nn.Module):
    """Multi-head self-attention over atoms (Vaswani et al. 2017, eq. 1), with normalised queries
    and keys (Dehghani et al., Scaling Vision Transformers to 22B, 2023, section 2)."""

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        if hidden_size % num_heads:
            raise ConfigError(
                f"hidden_size {hidden_size} is not a multiple of num_heads {num_heads}."
            )
        self.num_heads = num_heads
        self.qkv = Linear(hidden_size, 3 * hidden_size)
        self.out = Linear(hidden_size, hidden_size)
        self.norm_q = nn.RMSNorm(hidden_size // num_heads, eps=1e-6)
        self.norm_k = nn.RMSNorm(hidden_size // num_heads, eps=1e-6)

    def forward(self, x: Tensor, key_mask: Tensor | None) -> Tensor:
        """Map x (B, N, H) to (B, N, H); `key_mask` is that of `attention_mask`."""
        b, n, h = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        q, k = self.norm_q(q).to(v.dtype), self.norm_k(k).to(v.dtype)
        y = _attend(q, k, v, key_mask)
        return self.out(y.transpose(1, 2).reshape(b, n, h))


def _attend(q: Tensor, k: Tensor, v: Tensor, key_mask: Tensor | None) -> Tensor:
    """Scaled dot-product attention of q, k, v (B, heads, N, d); `key_mask` (B, 1, 1, N)."""
    plain_cpu = q.dtype != torch.bfloat16 and not torch.is_grad_enabled()
    if q.device.type != "cpu" or plain_cpu:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=key_mask)
    # For the few atoms of a cell the fused kernel's bfloat16 version on a CPU is up to eleven
    # times slower, backward pass included, than these two products, and the float32 one becomes
    # slower with a second thread (benchmarks/README.md).
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if key_mask is not None:
        scores = scores.masked_fill(~key_mask, -torch.inf)
    return scores.softmax(dim=-1) @ v


class MLP(nn.Sequential):
    """Two linear layers with a GELU between them."""

    def __init__(self, hidden_size: int, mlp_ratio: float) -> None:
        inner = int(hidden_size * mlp_ratio)
        super().__init__(
            Linear(hidden_size, inner),
            nn.GELU(approximate="tanh"),
            Linear(inner, hidden_size),
        )


class TransformerBlock(nn.Module):
    """Pre-norm transformer block."""

    compiles_alone = True

    def __init__(self, hidden_size: int, num_heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(hidden_size)
        self.attention = Attention(hidden_size, num_heads)
        self.norm2 = nn.LayerNorm(hidden_size)
        self.mlp = MLP(hidden_size, mlp_ratio)

    def forward(self, x: Tensor, key_mask: Tensor | None) -> Tensor:
        """Map x (B, N, H) to (B, N, H)."""
        x = x + self.attention(self.norm1(x), key_mask)
        return x + self.mlp(self.norm2(x))


class AtomPosition(nn.Module):
    """Embedding of an atom's place in the canonical order and of the number of atoms."""

    def __init__(self, max_atoms: int, hidden_size: int) -> None:
        super().__init__()
        self.place = nn.Embedding(max_atoms, hidden_size)
        self.count = nn.Embedding(max_atoms + 1, hidden_size)
        for table in (self.place, self.count):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, num_atoms: Tensor, width: int) -> Tensor:
        """Return (B, width, H) for num_atoms (B,)."""
        return self.place.weight[:width] + self.count(num_atoms).unsqueeze(1)


def sinusoidal_embedding(values: Tensor, size: int) -> Tensor:
    """Return sines and cosines (..., size) of `values` (...,) (Vaswani et al. 2017, sec. 3.5)."""
    half = size // 2
    steps = torch.arange(half, dtype=torch.float32, device=values.device)
    angles = values.float().unsqueeze(-1) * torch.exp(-math.log(10_000.0) * steps / half)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def fractional_features(frac_coords: Tensor, harmonics: int) -> Tensor:
    """Return cos and sin of 2πk·x, k = 1 … harmonics, as (..., 6 · harmonics) for x (..., 3).

    They are the same on both sides of the cell's boundary.
    """
    k = torch.arange(1, harmonics + 1, device=frac_coords.device, dtype=frac_coords.dtype)
    angles = (2 * math.pi * frac_coords.unsqueeze(-1) * k).flatten(-2)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of x (B, N, H) over the atoms of each crystal, (B, H)."""
    weight = mask.unsqueeze(-1).to(x.dtype)
    return (x * weight).sum(dim=1) / weight.sum(dim=1).clamp_min(1)
