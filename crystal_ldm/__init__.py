"""Crystals from a latent diffusion model, conditioned on composition and properties.

Names are resolved on first use, so that `import crystal_ldm` costs nothing.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crystal_ldm.pretrained import load_model as load_model
    from crystal_ldm.pretrained import load_pretrained as load_pretrained

if sys.platform == "darwin" and "torch" not in sys.modules:
    # PyTorch reads it once, when it is imported: operations that MPS lacks run on the CPU.
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")

__version__ = "0.2.0"

_LAZY = {
    "load_model": "crystal_ldm.pretrained",
    "load_pretrained": "crystal_ldm.pretrained",
}

__all__ = ["__version__", "load_model", "load_pretrained"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'crystal_ldm' has no attribute '{name}'")
