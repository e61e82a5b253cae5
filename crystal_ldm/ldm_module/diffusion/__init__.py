"""Gaussian diffusion: noise schedules, the process and its training loss, samplers."""

from crystal_ldm.ldm_module.diffusion.loss import diffusion_loss
from crystal_ldm.ldm_module.diffusion.process import GaussianDiffusion, ModelPrediction
from crystal_ldm.ldm_module.diffusion.samplers import (
    SAMPLERS,
    Callback,
    Denoise,
    Sampler,
    SamplerStep,
    StopSampling,
    ddim,
    ddpm,
    dpm_solver_pp_2m,
    get_sampler,
)
from crystal_ldm.ldm_module.diffusion.schedule import (
    BETA_SCHEDULES,
    SPACINGS,
    NoiseSchedule,
    respaced_timesteps,
)

__all__ = [
    "BETA_SCHEDULES",
    "SAMPLERS",
    "SPACINGS",
    "Callback",
    "Denoise",
    "GaussianDiffusion",
    "ModelPrediction",
    "NoiseSchedule",
    "Sampler",
    "SamplerStep",
    "StopSampling",
    "ddim",
    "ddpm",
    "diffusion_loss",
    "dpm_solver_pp_2m",
    "get_sampler",
    "respaced_timesteps",
]
