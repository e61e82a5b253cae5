"""Noise schedules of the variance-preserving diffusion, and the timesteps that a sampler visits.

Timesteps count from 0 (least noise) to T - 1 (most noise); "clean" is the step before 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from crystal_ldm.errors import ConfigError, RequestError, suggest

MAX_BETA = 0.999
MAX_TIMESTEPS = 1_000_000
SPACINGS = ("trailing", "leading", "linspace")


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


BETA_SCHEDULES: dict[str, Callable[[int], Tensor]] = {
    "cosine": cosine_betas,
    "linear": linear_betas,
}


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """The forward process q(x_t | x_0) = N(sqrt(alpha_bar_t) x_0, (1 - alpha_bar_t) I).

    Everything is float64: 1 - alpha_bar_0 is 4e-5 in the cosine schedule, and float32 would lose
    three of its digits.

    Attributes:
        betas: (T,) variance added by each step, in (0, 0.999].
    """

    betas: Tensor

    @classmethod
    def named(cls, name: str, timesteps: int) -> NoiseSchedule:
        """Return the schedule `cosine` or `linear` with `timesteps` steps.

        Raises:
            ConfigError: if the name is unknown, or there are fewer than 2 or too many timesteps.
        """
        if name not in BETA_SCHEDULES:
            raise ConfigError(
                f"Unknown beta schedule '{name}'; the schedules are {', '.join(BETA_SCHEDULES)}."
                + suggest(name, BETA_SCHEDULES)
            )
        if type(timesteps) is not int or not 2 <= timesteps <= MAX_TIMESTEPS:
            raise ConfigError(
                f"The diffusion needs a whole number of 2 to {MAX_TIMESTEPS} timesteps, "
                f"not {timesteps!r}."
            )
        return cls(BETA_SCHEDULES[name](timesteps))

    @cached_property
    def alphas_cumprod(self) -> Tensor:
        """alpha_bar_t, the product of 1 - beta up to t: (T,), falling (Ho et al. 2020, eq. 4)."""
        return torch.cumprod(1 - self.betas, dim=0)

    @cached_property
    def log_snr(self) -> Tensor:
        """lambda_t = log(sqrt(alpha_bar_t) / sqrt(1 - alpha_bar_t)), (T,) (Lu et al. 2022)."""
        return 0.5 * (self.alphas_cumprod.log() - (1 - self.alphas_cumprod).log())


def respaced_timesteps(timesteps: int, steps: int, spacing: str = "trailing") -> list[int]:
    """Return `steps` of the timesteps 0 .. T - 1, falling, each at most once.

    The spacings are those of Lin et al. 2024, table 2. `trailing` starts at T - 1, where x_t is
    noise as the sampler's start is, and ends T / steps - 1 above 0; `linspace` has both ends (one
    step alone starts at T - 1); `leading` ends at 0 and starts below T - 1. DPM-Solver++ wants
    `trailing`: log-SNR jumps from the second-last timestep to 0, too far to extrapolate (20 steps
    on data N(1.5, 0.4^2), cosine: std 0.398 with `trailing`, 0.456 with `linspace`).

    Raises:
        RequestError: if there are not 1 to T steps, or the spacing is unknown.
    """
    if spacing not in SPACINGS:
        raise RequestError(
            f"Unknown spacing '{spacing}'; the spacings are {', '.join(SPACINGS)}."
            + suggest(spacing, SPACINGS)
        )
    if type(steps) is not int or not 1 <= steps <= timesteps:
        raise RequestError(
            f"The number of sampling steps must be a whole number from 1 to {timesteps}, "
            f"not {steps!r}."
        )
    if spacing == "leading":
        return [i * (timesteps // steps) for i in reversed(range(steps))]
    if spacing == "linspace" and steps > 1:
        return [round(i * (timesteps - 1) / (steps - 1)) for i in reversed(range(steps))]
    return [round(timesteps - i * timesteps / steps) - 1 for i in range(steps)]
