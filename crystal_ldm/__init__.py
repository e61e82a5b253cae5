"""Crystals from a latent diffusion model, conditioned on composition and properties.

`import crystal_ldm` costs nothing: what loads a model imports what it needs.
"""

import os
import sys

from crystal_ldm.pretrained import load_model, load_pretrained

if sys.platform == "darwin" and "torch" not in sys.modules:
    # PyTorch reads it once, when it is imported: operations that MPS lacks run on the CPU.
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")

__version__ = "0.2.0"

__all__ = ["__version__", "load_model", "load_pretrained"]
