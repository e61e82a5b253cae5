"""Where the denoising starts: from noise, from a prototype, or from a crystal."""

from crystal_ldm.sampling.starts.base import Origin, Start
from crystal_ldm.sampling.starts.crystal import Crystal
from crystal_ldm.sampling.starts.noise import Noise
from crystal_ldm.sampling.starts.prototype import Prototype

__all__ = ["Crystal", "Noise", "Origin", "Prototype", "Start"]
