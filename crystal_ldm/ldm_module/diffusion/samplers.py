"""Samplers: free functions with one signature, from noise x_T to a sample x_0.

`sampler(denoise, x, diffusion, timesteps, *, noise, eta=0.0, callback=None) -> x_0`

- `denoise(x, t)` gives the (guided) `ModelPrediction` at timestep t, an int.
- `x` is the sample at `timesteps[0]`; `timesteps` fall; the last step leads to the clean
  sample.
- `noise(x)` draws fresh noise of the shape of x: the caller decides its seed and its scale. It is
  called only where the noise matters.
- `eta` scales the noise of DDIM's steps; the others have no such choice and refuse one.
- `callback(step)` sees a `SamplerStep` before each update; it may raise `StopSampling`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from crystal_ldm.errors import RequestError
from crystal_ldm.ldm_module.diffusion.process import GaussianDiffusion, ModelPrediction

CLEAN = -1
"""The timestep of the clean sample, to which the last step leads."""


class StopSampling(Exception):
    """Raised by a callback to end sampling; what is finished by then is kept."""


@dataclass(frozen=True, eq=False)
class SamplerStep:
    """What a callback sees.

    Attributes:
        step: 0 to num_steps - 1.
        num_steps: number of steps of this run.
        timestep: t, falling from step to step.
        noise_level: sqrt(1 - alpha_bar_t), standard deviation of the noise in x.
        x: (B, ...) x_t, before the update.
        x0: (B, ...) the model's estimate of the clean sample.
        noise: (B, ...) the model's estimate of the noise in x.
    """

    step: int
    num_steps: int
    timestep: int
    noise_level: float
    x: Tensor
    x0: Tensor
    noise: Tensor


Denoise = Callable[[Tensor, int], ModelPrediction]
Callback = Callable[[SamplerStep], None]
Sampler = Callable[..., Tensor]


@torch.no_grad()
def ddpm(
    denoise: Denoise,
    x: Tensor,
    diffusion: GaussianDiffusion,
    timesteps: Sequence[int],
    *,
    noise: Callable[[Tensor], Tensor],
    eta: float = 0.0,
    callback: Callback | None = None,
) -> Tensor:
    """DDPM, ancestral sampling (Ho et al. 2020, algorithm 2; eq. 7 between any two timesteps)."""
    _refuse_eta("ddpm", eta)
    for step, (t, s) in enumerate(pairwise([*timesteps, CLEAN])):
        model = denoise(x, t)
        _report(callback, step, timesteps, diffusion, x, model)
        x, _ = diffusion.posterior(model.x0, x, t, s)
        if s >= 0:
            log_variance = diffusion.reverse_log_variance(t, s, model.variance_fraction)
            x = x + (0.5 * log_variance).exp() * noise(x)
    return x


@torch.no_grad()
def ddim(
    denoise: Denoise,
    x: Tensor,
    diffusion: GaussianDiffusion,
    timesteps: Sequence[int],
    *,
    noise: Callable[[Tensor], Tensor],
    eta: float = 0.0,
    callback: Callback | None = None,
) -> Tensor:
    """DDIM (Song et al. 2021, eq. 12 and 16): eta 0 is deterministic, 1 is DDPM (fixed_small)."""
    for step, (t, s) in enumerate(pairwise([*timesteps, CLEAN])):
        model = denoise(x, t)
        _report(callback, step, timesteps, diffusion, x, model)
        alpha_bar_t, alpha_bar_s = diffusion.alpha_bar(t).item(), diffusion.alpha_bar(s).item()
        variance = (1 - alpha_bar_s) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_s)
        sigma = eta * math.sqrt(variance)
        direction = math.sqrt(max(1 - alpha_bar_s - sigma**2, 0.0))
        x = math.sqrt(alpha_bar_s) * model.x0 + direction * model.noise
        if sigma > 0:
            x = x + sigma * noise(x)
    return x


@torch.no_grad()
def dpm_solver_pp_2m(
    denoise: Denoise,
    x: Tensor,
    diffusion: GaussianDiffusion,
    timesteps: Sequence[int],
    *,
    noise: Callable[[Tensor], Tensor],
    eta: float = 0.0,
    callback: Callback | None = None,
) -> Tensor:
    """DPM-Solver++(2M), deterministic (Lu et al. 2022b, arXiv 2211.01095, algorithm 2).

    Second order in the half log-SNR lambda. The first step, which has no history, and the last,
    which goes to lambda = infinity, are of first order; the last one's result is x0 itself.
    """
    _refuse_eta("dpm_solver++", eta)
    previous: tuple[Tensor, float] | None = None  # the last step's x0 and its h
    for step, (t, s) in enumerate(pairwise([*timesteps, CLEAN])):
        model = denoise(x, t)
        _report(callback, step, timesteps, diffusion, x, model)
        if s < 0:
            return model.x0
        h = (diffusion.log_snr[s] - diffusion.log_snr[t]).item()
        data = model.x0
        if previous is not None:
            x0_before, h_before = previous
            data = data + 0.5 * h / h_before * (data - x0_before)
        shrink = diffusion.noise_level(s) / diffusion.noise_level(t)
        x = shrink * x - math.sqrt(diffusion.alpha_bar(s).item()) * math.expm1(-h) * data
        previous = model.x0, h
    return x


SAMPLERS: dict[str, Sampler] = {"ddpm": ddpm, "ddim": ddim, "dpm_solver++": dpm_solver_pp_2m}


def _report(
    callback: Callback | None,
    step: int,
    timesteps: Sequence[int],
    diffusion: GaussianDiffusion,
    x: Tensor,
    model: ModelPrediction,
) -> None:
    if callback is not None:
        t = timesteps[step]
        level = diffusion.noise_level(t)
        callback(SamplerStep(step, len(timesteps), t, level, x, model.x0, model.noise))


def _refuse_eta(name: str, eta: float) -> None:
    if eta != 0:
        raise RequestError(f"The sampler {name} has no eta; leave it at 0 or choose ddim.")
