"""Band gaps by an independent predictor and by the project's own predictors."""

from crystal_ldm.evaluate.band_gap.estimates import (
    PREDICTORS,
    BandGaps,
    check_predictor,
    estimate_band_gaps,
    predictor_note,
)
from crystal_ldm.evaluate.band_gap.own_predictor import (
    predict_band_gaps_by_kind,
    predictor_card,
)

__all__ = [
    "PREDICTORS",
    "BandGaps",
    "check_predictor",
    "estimate_band_gaps",
    "predict_band_gaps_by_kind",
    "predictor_card",
    "predictor_note",
]
