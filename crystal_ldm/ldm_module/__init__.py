"""The latent diffusion model."""

from crystal_ldm.ldm_module.diffusion import SamplerStep, StopSampling
from crystal_ldm.ldm_module.latents import LatentBatch
from crystal_ldm.ldm_module.ldm_module import LDMModule
from crystal_ldm.sampling.options import SamplingOptions
from crystal_ldm.sampling.result import SampleResult, TrajectoryFrame

__all__ = [
    "LDMModule",
    "LatentBatch",
    "SampleResult",
    "SamplerStep",
    "SamplingOptions",
    "StopSampling",
    "TrajectoryFrame",
]
