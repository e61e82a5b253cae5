"""What an evaluation says: thresholds, rates with intervals, the table and its summary."""

from crystal_ldm.evaluate.report.result import Evaluation, Summary
from crystal_ldm.evaluate.report.thresholds import Thresholds

__all__ = ["Evaluation", "Summary", "Thresholds"]
