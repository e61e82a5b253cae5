"""Band gaps by an independent judge and by the project's own predictors."""

from crystal_ldm.evaluate.band_gap.predictor import (
    predict_band_gaps,
    predict_band_gaps_by_kind,
    predictor_card,
)
from crystal_ldm.evaluate.band_gap.predictors import JUDGES, BandGaps, judge_band_gaps, judge_note

__all__ = [
    "JUDGES",
    "BandGaps",
    "judge_band_gaps",
    "judge_note",
    "predict_band_gaps",
    "predict_band_gaps_by_kind",
    "predictor_card",
]
