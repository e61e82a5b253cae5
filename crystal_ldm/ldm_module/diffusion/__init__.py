"""Gaussian diffusion: noise schedules, the process and its training loss, samplers."""

from crystal_ldm.ldm_module.diffusion.loss import diffusion_loss
from crystal_ldm.ldm_module.diffusion.process import GaussianDiffusion, ModelPrediction
from crystal_ldm.ldm_module.diffusion.samplers import (
    SAMPLERS,
    SamplerStep,
    StopSampling,
    ddim,
    ddpm,
    dpm_solver_pp_2m,
)

__all__ = [
    "SAMPLERS",
    "GaussianDiffusion",
    "ModelPrediction",
    "SamplerStep",
    "StopSampling",
    "ddim",
    "ddpm",
    "diffusion_loss",
    "dpm_solver_pp_2m",
]
