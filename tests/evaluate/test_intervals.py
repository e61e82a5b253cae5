"""Intervals: known values and coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crystal_ldm.evaluate.statistics import bootstrap, mean, wilson


def test_wilson_is_the_interval_of_the_textbook():
    # Newcombe 1998, table I, method 3.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=1e-4)
    assert wilson(20, 20)[1] == 1.0
    assert all(math.isnan(end) for end in wilson(0, 0))


def test_bootstrap_intervals_cover_the_mean_as_often_as_they_say():
    generator = np.random.default_rng(0)
    hits = 0
    for trial in range(300):
        sample = generator.exponential(size=60)
        low, high = bootstrap(np.mean, [sample], resamples=200, seed=trial)
        hits += low <= 1.0 <= high
    assert 0.88 < hits / 300 < 0.98


def test_bootstrap_is_reproducible():
    values = np.arange(50.0)
    first = bootstrap(np.mean, [values], seed=3)
    assert first == bootstrap(np.mean, [values], seed=3)
    assert first != bootstrap(np.mean, [values], seed=4)
    assert math.isnan(mean([])["value"])


def test_one_value_says_nothing_of_its_spread():
    row = mean([0.25])
    assert (row["value"], row["n"]) == (0.25, 1)
    assert math.isnan(row["ci_low"]) and math.isnan(row["ci_high"])
