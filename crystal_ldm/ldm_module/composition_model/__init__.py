"""Which elements a crystal has, before its structure: drawn for the atoms that a request leaves
open."""

from crystal_ldm.ldm_module.composition_model.draw import draw_compositions
from crystal_ldm.ldm_module.composition_model.network import CompositionModel
from crystal_ldm.ldm_module.composition_model.training import CompositionTraining

__all__ = ["CompositionModel", "CompositionTraining", "draw_compositions"]
