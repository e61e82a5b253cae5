"""The crystals that a model was trained on: what is new, and what may serve as a template."""

from crystal_ldm.ldm_module.known.crystals import TrainingCrystals

__all__ = ["TrainingCrystals"]
