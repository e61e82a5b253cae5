"""Intervals of rates and means; distances between two samples of numbers or of vectors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystal_ldm.errors import EvaluationError
from crystal_ldm.random import crystal_generator


def wilson(count: int, total: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a rate; nan where there are no trials.

    Wilson 1927; Brown, Cai & DasGupta 2001, eq. 4.
    """
    from scipy.stats import binomtest

    if total == 0:
        return math.nan, math.nan
    interval = binomtest(int(count), int(total)).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def number(
    value: float, n: int, low: float = math.nan, high: float = math.nan, count: int | None = None
) -> dict[str, Any]:
    """Return a number of a summary as value, count (of a rate), n, ci_low and ci_high."""
    return {"value": value, "count": count, "n": n, "ci_low": low, "ci_high": high}


def rate(count: int, n: int) -> dict[str, Any]:
    """Return a share of `n`, with its Wilson interval, as `number` does."""
    return number(count / n if n else math.nan, n, *wilson(count, n), count)


def bootstrap(
    statistic: Callable[..., float],
    samples: Sequence[ArrayLike],
    *,
    resamples: int = 1000,
    seed: int = 0,
    method: Literal["percentile", "basic"] = "percentile",
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a statistic (Efron 1979).

    Args:
        statistic: called with one resampled array for each of `samples`.
        samples: independent samples, each resampled with replacement on its own.
        method: of `scipy.stats.bootstrap`.

    Returns:
        The interval; nan where a sample has fewer than two values, which say nothing of its spread.
    """
    from scipy.stats import bootstrap as resample

    arrays: list[NDArray[np.float64]] = [np.asarray(sample, dtype=np.float64) for sample in samples]
    if any(len(array) < 2 for array in arrays):
        return math.nan, math.nan
    interval = resample(
        arrays, statistic, n_resamples=resamples, vectorized=False, method=method,
        rng=crystal_generator(seed),
    ).confidence_interval  # fmt: skip
    return float(interval.low), float(interval.high)


def mean(values: ArrayLike) -> dict[str, Any]:
    """Return the mean of the finite values, which n counts, with its bootstrap interval, as
    `number` does."""
    finite = _finite(values)
    if not len(finite):
        return number(math.nan, 0)
    interval = bootstrap(lambda sample: float(sample.mean()), [finite])
    return number(float(finite.mean()), len(finite), *interval)


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64).ravel()
    return array[np.isfinite(array)]


def wasserstein(generated: ArrayLike, reference: ArrayLike) -> float:
    """Return the 1-Wasserstein distance of two samples, in their unit; nan if one is empty.

    Values that are not finite are left out.
    """
    from scipy.stats import wasserstein_distance

    first, second = _finite(generated), _finite(reference)
    if len(first) == 0 or len(second) == 0:
        return math.nan
    return float(wasserstein_distance(first, second))


def wasserstein_interval(generated: ArrayLike, reference: ArrayLike) -> tuple[float, float, float]:
    """Return the distance and its basic bootstrap interval (95 %), not below zero.

    The distance of two finite samples is biased upwards and that of their resamples more so; the
    basic interval 2 d - q (Davison & Hinkley 1997, section 5.2) subtracts this bias instead of
    doubling it.
    """
    first, second = _finite(generated), _finite(reference)
    value = wasserstein(first, second)
    if math.isnan(value):
        return value, math.nan, math.nan
    low, high = bootstrap(wasserstein, [first, second], resamples=200, method="basic")
    return value, max(0.0, low), max(0.0, high)


def frechet_distance(generated: ArrayLike, reference: ArrayLike) -> float:
    """Return the Fréchet distance of two sets of vectors, each taken as a Gaussian.

    |m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^(1/2)) (Dowson & Landau 1982; Heusel et al. 2017, eq. 6).

    Args:
        generated: (n, d), for example mean-pooled VAE latents.
        reference: (m, d).

    Raises:
        EvaluationError: if they are not that, or fewer than two vectors each.
    """
    try:
        first, second = np.asarray(generated, np.float64), np.asarray(reference, np.float64)
        right = first.ndim == 2 and first.shape[1:] == second.shape[1:]
        right &= min(len(first), len(second)) >= 2
        right &= bool(np.isfinite(first).all() and np.isfinite(second).all())
    except (TypeError, ValueError):
        right = False
    if not right:
        raise EvaluationError(
            "The latent vectors must be two arrays of finite numbers, (n, d) and (m, d) with at "
            "least two vectors each."
        )
    covariance1 = np.atleast_2d(np.cov(first, rowvar=False))
    covariance2 = np.atleast_2d(np.cov(second, rowvar=False))
    # tr (C1 C2)^(1/2) through the symmetric S C2 S with S = C1^(1/2): real and stable.
    values, vectors = np.linalg.eigh(covariance1)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ covariance2 @ root), 0, None)).sum()
    shift = float(((first.mean(axis=0) - second.mean(axis=0)) ** 2).sum())
    distance = shift + float(np.trace(covariance1) + np.trace(covariance2) - 2 * cross)
    return max(0.0, distance)
