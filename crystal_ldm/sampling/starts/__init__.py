"""Where the denoising starts: from noise, a prototype, a crystal, or around a crystal's atoms."""

from crystal_ldm.sampling.starts.base import Origin, Start
from crystal_ldm.sampling.starts.crystal import Crystal
from crystal_ldm.sampling.starts.host import Host
from crystal_ldm.sampling.starts.noise import Noise
from crystal_ldm.sampling.starts.prototype import Prototype

__all__ = ["Crystal", "Host", "Noise", "Origin", "Prototype", "Start"]
