"""The Gaussian diffusion process: its moments, its posterior, and what a network's output means.

Notation: alpha_bar_t is the signal's share of the variance at timestep t; s < t is any earlier
timestep, and s = -1 is the clean sample (alpha_bar = 1). Papers: Ho et al. 2020 (DDPM), Nichol &
Dhariwal 2021 (improved DDPM), Salimans & Ho 2022 (v).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from crystal_ldm.config import check_fields
from crystal_ldm.crystals.padding import to_device
from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module.diffusion.schedule import (
    cosine_betas,
    linear_betas,
    respaced_timesteps,
)

MAX_AMPLIFICATION = 200.0  # largest 1 / sqrt(alpha_bar) at which noise prediction starts to sample


@dataclass(frozen=True, eq=False)
class ModelPrediction:
    """What the network says about x_t, whichever quantity it predicts.

    Attributes:
        x0: (B, ...) estimate of the clean sample.
        noise: (B, ...) estimate of the noise in x_t.
        variance_fraction: (B, ...) v of Nichol & Dhariwal 2021, eq. 15: the reverse step's log
            variance between its lower (0) and upper bound (1); None if the variance is fixed. The
            bounds depend on the step's target s, so the sampler and not the network knows them.
    """

    x0: Tensor
    noise: Tensor
    variance_fraction: Tensor | None = None


@dataclass(frozen=True)
class GaussianDiffusion:
    """The forward process q(x_t | x_0) = N(sqrt(alpha_bar_t) x_0, (1 - alpha_bar_t) I), its
    posterior, and the reading of a network's output.

    A timestep argument `t` is an int, or a LongTensor (B,) with one for each sample. Coefficients
    are computed in float64 where `t` is, and then moved to the sample: 1 - alpha_bar_0 is 4e-5 in
    the cosine schedule, and float32 would lose three of its digits.

    At t = T - 1 of the cosine schedule alpha_bar is 2e-9: x0 read from predicted noise would
    carry the network's error 20,000-fold. Prediction of v or x0 has no such division. For noise,
    `sampling_timesteps` starts where the factor is at most 200 (timestep 995 of 1000), which
    changes the signal in x_T by less than 0.5 % of its size.

    Attributes:
        timesteps: T.
        beta_schedule: `cosine` or `linear`.
        prediction: what the network predicts: `noise`, `x0` or `v` = sqrt(alpha_bar) noise -
            sqrt(1 - alpha_bar) x0.
        variance: of a reverse step: `fixed_small` (the posterior's) or `learned` (between it and
            beta; the network's output then has twice the channels).

    Raises:
        ConfigError: if an argument is not one of these.
    """

    timesteps: Annotated[int, Field(ge=2, le=1_000_000)] = 1000
    beta_schedule: Literal["cosine", "linear"] = "cosine"
    prediction: Literal["noise", "x0", "v"] = "noise"
    variance: Literal["fixed_small", "learned"] = "fixed_small"

    def __post_init__(self) -> None:
        check_fields(self, "diffusion")

    @cached_property
    def betas(self) -> Tensor:
        """(T,) float64, variance added by each step, in (0, 0.999]."""
        schedule = {"cosine": cosine_betas, "linear": linear_betas}[self.beta_schedule]
        return schedule(self.timesteps)

    @cached_property
    def alphas_cumprod(self) -> Tensor:
        """alpha_bar_t, (T,) float32, falling."""
        return self._alpha_bar[:-1].float()

    @cached_property
    def log_snr(self) -> Tensor:
        """lambda_t = log(sqrt(alpha_bar_t) / sqrt(1 - alpha_bar_t)), (T,) (Lu et al. 2022)."""
        alpha_bar = self._alpha_bar[:-1]
        return 0.5 * (alpha_bar.log() - (1 - alpha_bar).log())

    @cached_property
    def _alpha_bar(self) -> Tensor:
        # The product of 1 - beta up to t (Ho et al. 2020, eq. 4). One more entry: timestep -1, the
        # clean sample, is the last index.
        return torch.cat([torch.cumprod(1 - self.betas, dim=0), torch.ones(1, dtype=torch.float64)])

    @cached_property
    def _alpha_bar_on(self) -> dict[torch.device, Tensor]:
        return {}

    def alpha_bar(self, t: int | Tensor) -> Tensor:
        """Return alpha_bar at `t` as float64, of the shape of `t`; 1 at t = -1.

        It is where `t` is if that is a CUDA GPU, which thus is not waited for; else on the CPU,
        since other GPUs have no float64.
        """
        if not isinstance(t, Tensor):
            return self._alpha_bar[t]
        if t.device.type != "cuda":
            return self._alpha_bar[t.cpu()]
        if t.device not in self._alpha_bar_on:
            self._alpha_bar_on[t.device] = self._alpha_bar.to(t.device)
        return self._alpha_bar_on[t.device][t]

    def noise_level(self, t: int) -> float:
        """Return sqrt(1 - alpha_bar_t), the noise's standard deviation in x_t."""
        return math.sqrt(1 - self.alpha_bar(t).item())

    # Forward process

    def q_sample(self, x0: Tensor, t: int | Tensor, noise: Tensor) -> Tensor:
        """Return x_t with the given standard normal noise (Ho et al. 2020, eq. 4)."""
        signal, sigma = self._signal_and_noise(t, x0)
        return signal * x0 + sigma * noise

    def posterior(
        self, x0: Tensor, x_t: Tensor, t: int | Tensor, s: int | Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return mean and variance of q(x_s | x_t, x_0) (Ho et al. 2020, eq. 6 and 7).

        The earlier timestep s is t - 1 if None; any other s < t gives the respaced process. The
        mean has the shape of `x0`, the variance (float64) that of `t`.
        """
        alpha_bar_t, alpha_bar_s = self.alpha_bar(t), self.alpha_bar(t - 1 if s is None else s)
        alpha = alpha_bar_t / alpha_bar_s
        weight_x0 = alpha_bar_s.sqrt() * (1 - alpha) / (1 - alpha_bar_t)
        weight_xt = alpha.sqrt() * (1 - alpha_bar_s) / (1 - alpha_bar_t)
        variance = (1 - alpha_bar_s) / (1 - alpha_bar_t) * (1 - alpha)
        return per_sample(weight_x0, x0) * x0 + per_sample(weight_xt, x0) * x_t, variance

    # What the network predicts

    def output_dim(self, dim: int) -> int:
        """Return the network's output channels for latents with `dim` channels."""
        return 2 * dim if self.variance == "learned" else dim

    def split(self, output: Tensor) -> tuple[Tensor, Tensor | None]:
        """Split a network's output (..., output_dim) into prediction and variance fraction.

        The fraction is (output + 1) / 2, not forced into [0, 1] (Nichol & Dhariwal 2021, section
        3.1).
        """
        if self.variance != "learned":
            return output, None
        prediction, fraction = output.chunk(2, dim=-1)
        return prediction, (fraction + 1) / 2

    def target(self, x0: Tensor, noise: Tensor, t: int | Tensor) -> Tensor:
        """Return what the network should predict: noise, x0 or v (Salimans & Ho 2022, app. D)."""
        if self.prediction == "x0":
            return x0
        if self.prediction == "noise":
            return noise
        signal, sigma = self._signal_and_noise(t, x0)
        return signal * noise - sigma * x0

    def predict(self, output: Tensor, x_t: Tensor, t: int | Tensor) -> ModelPrediction:
        """Read a network's output at x_t; the three predictions are affine in each other.

        Guidance may therefore be applied to raw outputs, before this call, whichever is predicted.
        """
        prediction, fraction = self.split(output.to(x_t.dtype))
        signal, sigma = self._signal_and_noise(t, x_t)
        if self.prediction == "v":
            x0, noise = signal * x_t - sigma * prediction, sigma * x_t + signal * prediction
        elif self.prediction == "noise":
            x0, noise = (x_t - sigma * prediction) / signal, prediction
        else:
            x0, noise = prediction, (x_t - signal * prediction) / sigma
        return ModelPrediction(x0, noise, fraction)

    def with_x0(
        self, prediction: ModelPrediction, x0: Tensor, x_t: Tensor, t: int | Tensor
    ) -> ModelPrediction:
        """Return a prediction with another clean sample, and the noise that belongs to it."""
        signal, sigma = self._signal_and_noise(t, x_t)
        return ModelPrediction(x0, (x_t - signal * x0) / sigma, prediction.variance_fraction)

    def reverse_log_variance(
        self, t: int | Tensor, s: int | Tensor, variance_fraction: Tensor | None = None
    ) -> Tensor:
        """Return the log variance of the reverse step p(x_s | x_t).

        Learned: v log(beta) + (1 - v) log(beta_tilde) (Nichol & Dhariwal 2021, eq. 15), of the
        fraction's shape; fixed: the lower bound, of the shape of `t`.
        """
        alpha_bar_t, alpha_bar_s = self.alpha_bar(t), self.alpha_bar(s)
        beta = 1 - alpha_bar_t / alpha_bar_s
        # The posterior variance is 0 at s = -1; as in improved DDPM, step 1 stands in for step 0.
        smallest = (1 - self.alpha_bar(0)) / (1 - self.alpha_bar(1)) * self.betas[1]
        lower = ((1 - alpha_bar_s) / (1 - alpha_bar_t) * beta).clamp(min=smallest.item()).log()
        if variance_fraction is None:
            return lower
        lower = per_sample(lower, variance_fraction)
        upper = per_sample(beta.log(), variance_fraction)
        return variance_fraction * upper + (1 - variance_fraction) * lower

    def sampling_timesteps(self, steps: int, strength: float = 1.0) -> list[int]:
        """Return `steps` falling timesteps for a sampler, see `respaced_timesteps`.

        Noise prediction leaves out the timesteps that would amplify its errors most (see the
        class), unless so many steps are asked for that each is needed. `strength` is the share of
        the diffusion time that they cover, from its clean end: to vary a crystal, noise its latents
        to the first of them with `q_sample` and run the sampler. Fewer steps are returned where
        that share has not so many.

        Raises:
            RequestError: for a number of steps or a strength out of range.
        """
        if not 0 < strength <= 1:
            raise RequestError(f"The strength must be above 0 and at most 1, not {strength!r}.")
        amplification = self._alpha_bar[:-1].rsqrt()
        usable = int((amplification <= MAX_AMPLIFICATION).sum())
        if self.prediction != "noise" or steps > usable:
            usable = self.timesteps
        covered = max(1, round(strength * usable))
        return respaced_timesteps(covered, min(steps, covered) if strength < 1 else steps)

    def _signal_and_noise(self, t: int | Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return sqrt(alpha_bar) and sqrt(1 - alpha_bar), shaped for `like`."""
        alpha_bar = self.alpha_bar(t)
        return per_sample(alpha_bar.sqrt(), like), per_sample((1 - alpha_bar).sqrt(), like)


def per_sample(coefficient: Tensor, like: Tensor) -> Tensor:
    """Shape one coefficient for each sample, (B,), to multiply `like`, (B, ...); keep a scalar."""
    if coefficient.ndim == 0:
        return coefficient
    here = to_device(coefficient.to(like.dtype), like.device)
    return here.reshape(-1, *(1,) * (like.ndim - 1))
