"""Distances between the distributions of generated and reference crystals."""

from crystal_ldm.evaluate.distribution.coverage import Coverage, coverage
from crystal_ldm.evaluate.distribution.distances import (
    frechet_distance,
    wasserstein,
    wasserstein_interval,
)
from crystal_ldm.evaluate.distribution.fingerprints import (
    composition_fingerprint,
    structure_fingerprint,
)

__all__ = [
    "Coverage",
    "composition_fingerprint",
    "coverage",
    "frechet_distance",
    "structure_fingerprint",
    "wasserstein",
    "wasserstein_interval",
]
