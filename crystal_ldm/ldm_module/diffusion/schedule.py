"""Noise schedules of the variance-preserving diffusion, and the timesteps that a sampler visits.

Timesteps count from 0 (least noise) to T - 1 (most noise); "clean" is the step before 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from crystal_ldm.errors import RequestError

MAX_BETA = 0.999


def cosine_betas(timesteps: int) -> Tensor:
    """Return the cosine schedule (Nichol & Dhariwal 2021, eq. 17 with s = 0.008), (T,) float64."""
    time = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
    alpha_bar = torch.cos((time + 0.008) / 1.008 * math.pi / 2) ** 2
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=MAX_BETA)


def linear_betas(timesteps: int) -> Tensor:
    """Return the linear schedule (Ho et al. 2020, section 4), (T,) float64.

    1e-4 to 0.02 at T = 1000; times 1000 / T otherwise, so that the last alpha_bar stays near 4e-5.
    """
    scale = 1000 / timesteps
    betas = torch.linspace(1e-4 * scale, 0.02 * scale, timesteps, dtype=torch.float64)
    return betas.clamp(max=MAX_BETA)


def respaced_timesteps(timesteps: int, steps: int) -> list[int]:
    """Return `steps` of the timesteps 0 .. T - 1, falling, each at most once.

    The spacing is `trailing` of Lin et al. 2024, table 2: it starts at T - 1, where x_t is noise as
    the sampler's start is, and ends T / steps - 1 above 0. DPM-Solver++ wants it: log-SNR jumps
    from the second-last timestep to 0, too far to extrapolate (20 steps on data N(1.5, 0.4^2),
    cosine: std 0.398, and 0.456 where the last timestep is 0).

    Raises:
        RequestError: if there are not 1 to T steps.
    """
    if not 1 <= steps <= timesteps:
        raise RequestError(
            f"The number of sampling steps must be a whole number from 1 to {timesteps}, "
            f"not {steps!r}."
        )
    return [round(timesteps - i * timesteps / steps) - 1 for i in range(steps)]
