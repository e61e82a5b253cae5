"""The latent diffusion model."""

from crystal_ldm.ldm_module.ldm_module import LDMModule

__all__ = ["LDMModule"]
