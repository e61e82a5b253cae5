"""Are these crystals any good? Metrics, stability, band gap, calibration.

`evaluate(crystals, reference)` gives a table with a row for each crystal and a summary.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crystal_ldm.crystals.inputs import read_crystals
    from crystal_ldm.evaluate.api import evaluate
    from crystal_ldm.evaluate.matching import csp_metrics, match_pairs
    from crystal_ldm.evaluate.report import Evaluation, Thresholds

_HOMES = {
    "evaluate": "api",
    "Evaluation": "report",
    "Thresholds": "report",
    "csp_metrics": "matching",
    "match_pairs": "matching",
    "read_crystals": "crystal_ldm.crystals.inputs",
}

__all__ = [
    "Evaluation",
    "Thresholds",
    "csp_metrics",
    "evaluate",
    "match_pairs",
    "read_crystals",
]


def __getattr__(name: str) -> Any:  # worker processes import this package and want none of it
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    home = _HOMES[name]
    return getattr(import_module(home if "." in home else f"{__name__}.{home}"), name)
