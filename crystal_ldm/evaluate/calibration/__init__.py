"""Does conditioning steer a model, and what do guidance and steps do to its crystals?"""

from crystal_ldm.evaluate.calibration.models import calibrate_decoding, calibrate_model
from crystal_ldm.evaluate.calibration.tables import calibrate_band_gap, calibrate_rate

__all__ = ["calibrate_band_gap", "calibrate_decoding", "calibrate_model", "calibrate_rate"]
