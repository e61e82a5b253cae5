"""Band gaps by an independent judge and by the project's own predictor; calibration."""

from crystal_ldm.evaluate.band_gap.calibration import calibrate_band_gap, calibrate_rate
from crystal_ldm.evaluate.band_gap.judges import JUDGES, BandGaps, judge_band_gaps
from crystal_ldm.evaluate.band_gap.predictor import predictor_card

__all__ = [
    "JUDGES",
    "BandGaps",
    "calibrate_band_gap",
    "calibrate_rate",
    "judge_band_gaps",
    "predictor_card",
]
