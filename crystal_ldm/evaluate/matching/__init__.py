"""Comparing crystals with StructureMatcher: pairs, and crystal structure prediction."""

from crystal_ldm.crystals.same_crystal import PREDICTION, SAME_CRYSTAL, Tolerances
from crystal_ldm.evaluate.matching.pairs import PairMatches, match_pairs
from crystal_ldm.evaluate.matching.prediction import PredictionMetrics, csp_metrics

__all__ = [
    "PREDICTION",
    "SAME_CRYSTAL",
    "PairMatches",
    "PredictionMetrics",
    "Tolerances",
    "csp_metrics",
    "match_pairs",
]
