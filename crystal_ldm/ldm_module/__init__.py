"""The latent diffusion model."""

from crystal_ldm.ldm_module.diffusion import SamplerStep, StopSampling
from crystal_ldm.ldm_module.latents import LatentBatch
from crystal_ldm.ldm_module.ldm_module import LDMModule

__all__ = [
    "LDMModule",
    "LatentBatch",
    "SamplerStep",
    "StopSampling",
]
