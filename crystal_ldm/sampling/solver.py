"""Which sampler solves the reverse diffusion, and how."""

from __future__ import annotations

from crystal_ldm.config.numbers import Number, Whole
from crystal_ldm.ldm_module.diffusion import SAMPLERS
from crystal_ldm.sampling.schema import Settings, option


class Solver(Settings):
    """How noise becomes latents: DDPM (Ho et al. 2020), DDIM (Song et al. 2021) or DPM-Solver++
    (Lu et al. 2022)."""

    name: str = option(
        "ddim", "Which solver takes the steps", keyword="sampler", choices=tuple(SAMPLERS)
    )
    steps: Whole = option(
        5,
        "Evaluations of the denoiser",
        low=1,
        high=10_000,
        keyword="sampling_steps",
        level="basic",
    )
    eta: Number = option(0.0, "Share of fresh noise in DDIM's steps", low=0, high=1)
    temperature: Number = option(
        1.0,
        "Factor on the standard deviation of all noise; 0: the most typical crystal",
        low=0,
        high=10,
        level="basic",
    )
