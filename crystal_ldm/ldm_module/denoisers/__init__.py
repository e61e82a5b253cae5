"""Denoisers."""

from crystal_ldm.ldm_module.denoisers.dit import DiT, DiTBlock

__all__ = ["DiT", "DiTBlock"]
