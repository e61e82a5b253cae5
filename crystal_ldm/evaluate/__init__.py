"""Are these crystals any good? Metrics, stability, band gap, calibration.

`evaluate(crystals, reference)` gives a table with a row for each crystal and a summary.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crystal_ldm.crystals.inputs import read_crystals as read_crystals
    from crystal_ldm.evaluate.api import evaluate as evaluate
    from crystal_ldm.evaluate.matching import match_pairs as match_pairs
    from crystal_ldm.evaluate.results import Evaluation as Evaluation
    from crystal_ldm.evaluate.structure_prediction import csp_metrics as csp_metrics
    from crystal_ldm.evaluate.thresholds import Thresholds as Thresholds

_HOMES = {
    "Evaluation": "evaluate.results",
    "Thresholds": "evaluate.thresholds",
    "csp_metrics": "evaluate.structure_prediction",
    "evaluate": "evaluate.api",
    "match_pairs": "evaluate.matching",
    "read_crystals": "crystals.inputs",
}


def __getattr__(name: str) -> Any:  # worker processes import this package and want none of it
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"crystal_ldm.{_HOMES[name]}"), name)
