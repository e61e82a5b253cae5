"""Shares of samples near their target, and rates against guidance and steps, with intervals.

Two kinds of rows give the model's rows their meaning: the ceiling (the predictor on real crystals
whose true value is near the target: what a perfect generator would score with this predictor) and
the base rate (samples that were asked for nothing).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from crystal_ldm.crystals.inputs import CrystalSet, read_crystals
from crystal_ldm.errors import EvaluationError
from crystal_ldm.evaluate.band_gap.estimates import BandGaps, estimate_band_gaps
from crystal_ldm.evaluate.report.intervals import wilson
from crystal_ldm.evaluate.report.thresholds import Thresholds
from crystal_ldm.parallel import Executor
from crystal_ldm.parallel.executor import AnyWorkers, Progress, open_executor
from crystal_ldm.random import crystal_generator

WINDOWS_EV = (0.25, 0.5, 1.0)


def calibrate_band_gap(
    samples: Mapping[tuple[float, float], Any],
    *,
    base: Any = None,
    real: tuple[Any, ArrayLike] | None = None,
    predictor: str = "cgcnn",
    windows: Sequence[float] = WINDOWS_EV,
    thresholds: Thresholds | None = None,
    real_window: float = 0.25,
    max_real: int = 500,
    seed: int = 0,
    workers: AnyWorkers = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Return the calibration table of band gap conditioning.

    A sample that the predictor cannot take is near no target and no metal; it stays in n.

    Args:
        samples: generated crystals, in any form that `evaluate` takes, for each (target in eV,
            guidance scale).
        base: crystals generated without a target.
        real: real crystals and their true gaps in eV.
        predictor: see `estimate_band_gaps`.
        windows: half widths in eV.
        thresholds: of validity; None: the defaults.
        real_window: a real crystal counts for a target if its true gap is this near, eV.
        max_real: at most so many real crystals for each target, drawn with `seed`.
        seed: of that draw.
        workers: see `open_executor`.
        progress: called with the number of crystals just finished.

    Returns:
        A row for each target and kind ("model" at each scale, "ceiling", "base rate"): target (eV),
        scale, kind, n, predicted (how many the predictor could take), for each window w the columns
        `within w`, `within w low`, `within w high` (95 %, Wilson), the same for `metal` and `valid`
        (structure and composition, as `evaluate` has them), and the median gap (eV).

    Raises:
        EvaluationError: if there are no samples or an argument is wrong.
    """
    if not samples:
        raise EvaluationError("There are no samples to calibrate: give at least one target.")
    if not windows or any(not w > 0 for w in windows):
        raise EvaluationError(f"The windows must be above 0 eV, not {list(windows)}.")
    targets = sorted({float(target) for target, _ in samples})
    rows: list[dict[str, Any]] = []
    with open_executor(workers) as pool:

        def gaps_and_validity(crystals: Any) -> tuple[BandGaps, NDArray[np.bool_]]:
            source = read_crystals(crystals)
            gaps = estimate_band_gaps(source, predictor, workers=pool, progress=progress)
            return gaps, validity(source, pool, thresholds)["valid"]

        for (target, scale), crystals in samples.items():
            found = gaps_and_validity(crystals)
            rows.append(calibration_row("model", float(target), float(scale), *found, windows))
        if base is not None:
            found = gaps_and_validity(base)
            rows += [
                calibration_row("base rate", target, np.nan, *found, windows) for target in targets
            ]
        if real is not None:
            crystals, truth = read_crystals(real[0]), np.asarray(real[1], dtype=np.float64)
            if len(truth) != len(crystals):
                raise EvaluationError(
                    f"There are {len(crystals)} real crystals and {len(truth)} true gaps."
                )
            for position, target in enumerate(targets):
                near = np.flatnonzero(np.abs(truth - target) <= real_window)
                near = _draw(near, max_real, seed, position)
                if len(near):
                    found = gaps_and_validity(crystals.select(near.tolist()))
                    rows.append(calibration_row("ceiling", target, np.nan, *found, windows))
    order = {"ceiling": 0, "base rate": 1, "model": 2}
    rows.sort(key=lambda row: (row["target"], order[row["kind"]], np.nan_to_num(row["scale"])))
    return pd.DataFrame(rows)


def validity(
    crystals: CrystalSet, executor: Executor, thresholds: Thresholds | None = None
) -> dict[str, NDArray[np.bool_]]:
    """Return for each crystal `structure_valid`, `composition_valid` and `valid` (both).

    Args:
        crystals: one that cannot be read is not valid.
        executor: an open executor.
        thresholds: None: the defaults.
    """
    from crystal_ldm.evaluate.stages import Run
    from crystal_ldm.parallel.progress import Reporter

    run = Run(crystals, None, thresholds or Thresholds(), executor, Reporter(False))
    run.describe(symmetry=False, comparison=False)
    run.validity()
    names = ("structure_valid", "composition_valid", "valid")
    return {name: np.asarray(run.columns[name], dtype=bool) for name in names}


def calibrate_rate(
    flags: Mapping[tuple[float, int], ArrayLike], name: str = "valid"
) -> pd.DataFrame:
    """Return shares with Wilson intervals against guidance scale and number of steps.

    Args:
        flags: for each (guidance scale, sampling steps) one number of each sample: True or False
            (validity), or a share (the agreement of the decoder's own elements with the request;
            its mean is given, and the interval treats it as a rate). Not a number counts as 0.
        name: name of the column.
    """
    rows = []
    for (scale, steps), values in sorted(flags.items()):
        numbers = np.nan_to_num(np.asarray(values, dtype=np.float64))
        n = len(numbers)
        if n and (numbers.min() < 0 or numbers.max() > 1):
            raise EvaluationError(f"The values of '{name}' must be between 0 and 1.")
        total = float(numbers.sum())
        low, high = wilson(round(total), n)
        share = total / n if n else np.nan
        rows.append(
            {"scale": scale, "steps": steps, "n": n, name: share,
             f"{name} low": min(low, share), f"{name} high": max(high, share)}
        )  # fmt: skip
    return pd.DataFrame(rows)


def _draw(positions: NDArray[np.int64], limit: int, seed: int, path: int) -> NDArray[np.int64]:
    if len(positions) <= limit:
        return positions
    picked = crystal_generator(seed, path).choice(positions, size=limit, replace=False)
    return np.sort(picked)


def calibration_row(
    kind: str,
    target: float,
    scale: float,
    gaps: BandGaps,
    valid: NDArray[np.bool_],
    windows: Sequence[float] = WINDOWS_EV,
) -> dict[str, Any]:
    """Return one row of the table (see `calibrate_band_gap`) from predicted gaps and validity."""
    n = len(gaps)
    row: dict[str, Any] = {
        "target": target,
        "scale": scale,
        "kind": kind,
        "n": n,
        "predicted": int(np.isfinite(gaps.gap).sum()),
    }
    # nan compares as False: what could not be predicted is near no target.
    counts = {f"within {w:g}": int((np.abs(gaps.gap - target) <= w).sum()) for w in windows}
    counts |= {"metal": int(gaps.metal.sum()), "valid": int(valid.sum())}
    for name, count in counts.items():
        row[name] = count / n if n else np.nan
        row[f"{name} low"], row[f"{name} high"] = wilson(count, n)
    finite = gaps.gap[np.isfinite(gaps.gap)]
    row["median gap"] = float(np.median(finite)) if len(finite) else np.nan
    return row
