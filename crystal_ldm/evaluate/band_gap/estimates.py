"""Band gaps of many crystals by one of the predictors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.inputs import read_with_warnings
from crystal_ldm.errors import EvaluationError, no_such
from crystal_ldm.evaluate.band_gap.cgcnn import predict_with_cgcnn
from crystal_ldm.evaluate.band_gap.networks import METAL_PROBABILITY
from crystal_ldm.evaluate.band_gap.own_predictor import predict_band_gap, predictor_card
from crystal_ldm.parallel.executor import AnyWorkers, open_executor

Predictor = Callable[[Cell], tuple[float, float]]

PREDICTORS: dict[str, Predictor] = {"cgcnn": predict_with_cgcnn, "own": predict_band_gap}
"""Each returns the gap in eV as if not metallic, and the probability of being a metal."""

# `python -m benchmarks.quality predictors`; CGCNN's training data may hold some of these crystals.
_CGCNN_ERRORS = {"mae": 0.258, "metal_accuracy": 0.915, "n": 983}


def check_predictor(predictor: str) -> None:
    """Raise `EvaluationError` unless there is such a predictor."""
    if predictor not in PREDICTORS:
        raise EvaluationError(no_such("band gap predictor", predictor, PREDICTORS))


def predictor_note(predictor: str) -> str:
    """Return in a sentence how far a predictor is off, on crystals held out from `oqmd_icsd`."""
    errors = _CGCNN_ERRORS if predictor == "cgcnn" else predictor_card()["test"]
    return (
        f"The predictor '{predictor}' is off by {errors['mae']:.2f} eV on average, and tells "
        f"metals from others in {errors['metal_accuracy']:.0%} of {errors['n']} held-out crystals "
        "of oqmd_icsd."
    )


@dataclass(frozen=True)
class BandGaps:
    """Predicted band gaps.

    Attributes:
        gap: (n,) eV; 0 for metals, nan where the predictor failed.
        metal: (n,) bool, whether the probability of being a metal reaches the threshold; False
            where the predictor failed.
        metal_probability: (n,), nan where it failed.
        errors: (n,) why the predictor failed; None where it did not.
    """

    gap: NDArray[np.float64]
    metal: NDArray[np.bool_]
    metal_probability: NDArray[np.float64]
    errors: list[str | None]

    def __len__(self) -> int:
        return len(self.gap)


def estimate_band_gaps(
    crystals: Any,
    predictor: str = "cgcnn",
    *,
    metal_probability: float = METAL_PROBABILITY,
    workers: AnyWorkers = None,
) -> BandGaps:
    """Return the band gap of each crystal as a predictor sees it.

    Args:
        crystals: crystals in any form that `evaluate` takes.
        predictor: "cgcnn", the public CGCNN models; "own", the predictor of this project.
        metal_probability: from this probability on a crystal counts as a metal, with a gap of 0.
        workers: see `open_executor`.

    Raises:
        EvaluationError: if there is no such predictor.
    """
    check_predictor(predictor)
    (source,) = read_with_warnings(crystals)
    n = len(source)
    gap, probability = np.full(n, np.nan), np.full(n, np.nan)
    errors = list(source.errors)
    with open_executor(workers) as pool:
        function = PREDICTORS[predictor]
        label = f"band gap by {predictor}"
        for outcome in pool.imap(function, source.crystals, chunk=16, label=label):
            errors[outcome.index] = outcome.error
            if outcome.error is None:
                gap[outcome.index], probability[outcome.index] = outcome.value
    metal = probability >= metal_probability
    gap[metal] = 0.0
    return BandGaps(gap, metal, probability, errors)
