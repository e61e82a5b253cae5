"""Training with PyTorch Lightning."""

from crystal_ldm.training.callbacks import read_metrics
from crystal_ldm.training.fit import fit

__all__ = ["fit", "read_metrics"]
