"""Confidence intervals of rates and means."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystal_ldm.random import crystal_generator

_Z95 = 1.959963984540054


def wilson(count: int, total: int, z: float = _Z95) -> tuple[float, float]:
    """Return the Wilson score interval of a rate (Wilson 1927; Brown, Cai & DasGupta 2001, eq. 4).

    Args:
        count: number of successes.
        total: number of trials; 0 gives (nan, nan).
        z: quantile of the normal distribution; the default gives 95 %.
    """
    if total == 0:
        return math.nan, math.nan
    rate = count / total
    centre = (rate + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total))
    half /= 1 + z * z / total
    # At the ends the formula is exact and only rounding keeps it from 0 and 1.
    low = 0.0 if count == 0 else centre - half
    high = 1.0 if count == total else centre + half
    return low, high


def bootstrap(
    statistic: Callable[..., float],
    samples: Sequence[ArrayLike],
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a statistic (Efron 1979).

    Args:
        statistic: called with one resampled array for each of `samples`.
        samples: independent samples, each resampled with replacement on its own.
        resamples: number of resamplings.
        seed: the same seed gives the same interval.
        level: coverage.
    """
    arrays: list[NDArray[np.float64]] = [np.asarray(sample, dtype=np.float64) for sample in samples]
    if any(len(array) == 0 for array in arrays):
        return math.nan, math.nan
    generator = crystal_generator(seed)
    values = [
        statistic(*(array[generator.integers(0, len(array), len(array))] for array in arrays))
        for _ in range(resamples)
    ]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mean_interval(
    values: ArrayLike, *, resamples: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """Return the mean and its bootstrap interval; nan where there are no values."""
    array = np.asarray(values, dtype=np.float64)
    if len(array) == 0:
        return math.nan, math.nan, math.nan
    low, high = bootstrap(
        lambda sample: float(sample.mean()), [array], resamples=resamples, seed=seed
    )
    return float(array.mean()), low, high
