"""The training loss: L_simple, and L_hybrid for a learned variance."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from crystal_ldm.ldm_module.diffusion.process import GaussianDiffusion

VLB_WEIGHT = 0.001  # lambda of L_hybrid, Nichol & Dhariwal 2021, eq. 16


def diffusion_loss(
    diffusion: GaussianDiffusion,
    output: Tensor,
    x0: Tensor,
    t: Tensor,
    noise: Tensor,
    mask: Tensor | None = None,
) -> Tensor:
    """Return each crystal's loss, (B,): L_simple, or L_hybrid where the variance is learned.

    L_simple is the squared error of the prediction (Ho et al. 2020, eq. 14), averaged over a
    crystal's own tokens and channels, so that large crystals do not outweigh small ones. L_hybrid
    adds 0.001 L_vlb, in nats and with T L_t as the estimate of its sum over t; L_vlb trains the
    variance only, the mean in it has no gradient (Nichol & Dhariwal 2021, eq. 16).

    Args:
        diffusion: the process, with its prediction and variance.
        output: (B, N, output_dim) of the network at `diffusion.q_sample(x0, t, noise)`.
        x0: (B, N, D) latents.
        t: (B,) timesteps.
        noise: (B, N, D).
        mask: (B, N), True for tokens that exist; None: all do.
    """
    if mask is None:
        mask = torch.ones(x0.shape[:2], dtype=torch.bool, device=x0.device)
    # Padding is overwritten, not multiplied by 0: even nan there reaches no loss or gradient.
    hidden = ~mask[..., None]
    output = output.to(x0.dtype).masked_fill(hidden, 0)
    x0, noise = x0.masked_fill(hidden, 0), noise.masked_fill(hidden, 0)

    prediction, fraction = diffusion.split(output)
    loss = _masked_mean((prediction - diffusion.target(x0, noise, t)) ** 2, mask)
    if fraction is None:
        return loss
    bound = _variational_bound(diffusion, output.detach(), fraction, x0, t, noise)
    return loss + VLB_WEIGHT * diffusion.timesteps * _masked_mean(bound, mask)


def _variational_bound(
    diffusion: GaussianDiffusion,
    output: Tensor,
    fraction: Tensor,
    x0: Tensor,
    t: Tensor,
    noise: Tensor,
) -> Tensor:
    """Return the terms L_t of the bound, (B, N, D) in nats (Ho et al. 2020, eq. 5).

    KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)), and -log p(x_0 | x_1) at the last step, t = 0.
    """
    x_t = diffusion.q_sample(x0, t, noise)
    true_mean, _ = diffusion.posterior(x0, x_t, t)  # at t = 0 it is x0 itself
    model_mean, _ = diffusion.posterior(diffusion.predict(output, x_t, t).x0, x_t, t)
    log_variance = diffusion.reverse_log_variance(t, t - 1, fraction)
    true_log_variance = diffusion.reverse_log_variance(t, t - 1, torch.zeros_like(fraction))
    squared = (true_mean - model_mean) ** 2 * torch.exp(-log_variance)
    gap = true_log_variance - log_variance
    kl = 0.5 * (gap.exp() - gap - 1 + squared)
    nll = 0.5 * (math.log(2 * math.pi) + log_variance + squared)
    return torch.where((t == 0).to(x0.device)[:, None, None], nll, kl)


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of (B, N, D) over each crystal's own tokens and the channels, (B,)."""
    total = values.masked_fill(~mask[..., None], 0).sum(dim=(1, 2))
    return total / (mask.sum(dim=1).clamp(min=1) * values.shape[-1])
