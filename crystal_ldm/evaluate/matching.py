"""Crystals compared pair by pair.

Two crystals match if `StructureMatcher.get_rms_dist` finds a mapping within the tolerances. Pairs
with different reduced compositions are not compared: they can never match.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystal_ldm.crystals.inputs import CrystalSet, read_with_warnings
from crystal_ldm.crystals.same_crystal import Tolerances, rms_distance
from crystal_ldm.errors import EvaluationError
from crystal_ldm.parallel.executor import AnyWorkers, Executor, Progress, open_executor

PREDICTION = Tolerances(0.3, 0.5, 10.0)
"""What the field compares predicted crystals with."""


@dataclass(frozen=True)
class PairMatches:
    """Matches of a list of pairs.

    Attributes:
        matched: (n,) bool.
        rmse: (n,) float, in units of (volume / atom)^(1/3); nan where there is no match.
        errors: (n,) why a pair could not be compared (it counts as no match); None where it could.
    """

    matched: NDArray[np.bool_]
    rmse: NDArray[np.float64]
    errors: list[str | None]

    @property
    def match_rate(self) -> float:
        """Share of all pairs that match; a pair that could not be compared does not."""
        return float(self.matched.mean()) if len(self.matched) else math.nan

    @property
    def mean_rmse(self) -> float:
        """Mean over the pairs that match, as the field reports it; nan if none does."""
        return float(self.rmse[self.matched].mean()) if self.matched.any() else math.nan


def match_pairs(
    generated: Any,
    references: Any,
    *,
    tolerances: Tolerances = PREDICTION,
    workers: AnyWorkers = None,
    progress: Progress | None = None,
) -> PairMatches:
    """Compare the i-th generated crystal with the i-th reference.

    Args:
        generated: crystals in any form that `evaluate` takes.
        references: as many crystals.
        tolerances: of StructureMatcher.
        workers: see `open_executor`.
        progress: called with the number of comparisons just finished.

    Raises:
        EvaluationError: if the two lists differ in length.
    """
    first, second = read_with_warnings(generated, references)
    if len(first) != len(second):
        raise EvaluationError(
            f"There are {len(first)} generated crystals and {len(second)} references; "
            "match_pairs compares them one by one and needs as many of each."
        )
    pairs = list(zip(range(len(first)), range(len(second)), strict=True))
    with open_executor(workers) as pool:
        distances = compare_pairs(first, second, pairs, tolerances, pool, progress)
    rmse = np.array([distances[pair][0] for pair in pairs], dtype=np.float64)
    return PairMatches(np.isfinite(rmse), rmse, [distances[pair][1] for pair in pairs])


def compare_pairs(
    first: CrystalSet,
    second: CrystalSet,
    pairs: Sequence[tuple[int, int]],
    tolerances: Tolerances,
    pool: Executor,
    progress: Progress | None = None,
) -> dict[tuple[int, int], tuple[float, str | None]]:
    """Return (RMSE or nan, error) for each pair of positions."""
    distances: dict[tuple[int, int], tuple[float, str | None]] = {}
    todo: list[tuple[int, int]] = []
    for pair in pairs:
        a, b = first.crystals[pair[0]], second.crystals[pair[1]]
        if a is None or b is None:
            reason = first.errors[pair[0]] if a is None else f"reference: {second.errors[pair[1]]}"
            distances[pair] = (math.nan, reason)
        elif a.formula_key != b.formula_key:
            distances[pair] = (math.nan, None)
        else:
            todo.append(pair)

    cells = ((first.crystals[i], second.crystals[j]) for i, j in todo)
    function = partial(rms_distance, tolerances=tolerances)
    for outcome in pool.imap(function, cells, label="matches", progress=progress):
        value = math.nan if outcome.value is None else float(outcome.value)
        distances[todo[outcome.index]] = (value, outcome.error)
    return distances
