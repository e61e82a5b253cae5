"""Training with PyTorch Lightning."""

from crystal_ldm.ldm_module.composition_model.training import FEW_CRYSTALS
from crystal_ldm.training.callbacks import read_metrics
from crystal_ldm.training.fit import fit
from crystal_ldm.training.settings import TrainingSettings
from crystal_ldm.training.starting_model import average_models

__all__ = ["FEW_CRYSTALS", "TrainingSettings", "average_models", "fit", "read_metrics"]
