"""Stability with a machine-learned potential: relaxation, energy above the hull, S.U.N. rates."""

from crystal_ldm.evaluate.stability.hull import ReferenceHull
from crystal_ldm.evaluate.stability.potential import POTENTIALS
from crystal_ldm.evaluate.stability.relaxation import RelaxationSettings, relax_crystals
from crystal_ldm.evaluate.stability.stability import Stability, compute_stability

__all__ = [
    "POTENTIALS",
    "ReferenceHull",
    "RelaxationSettings",
    "Stability",
    "compute_stability",
    "relax_crystals",
]
