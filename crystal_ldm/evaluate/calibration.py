"""Does conditioning steer a model, and what do guidance and steps do to its crystals?

Two kinds of rows give the model's rows their meaning: the ceiling (the predictor on real crystals
whose true value is near the target: what a perfect generator would score with this predictor) and
the base rate (samples that were asked for nothing).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.elements import atomic_number
from crystal_ldm.crystals.inputs import CrystalSet, read_crystals, read_with_warnings
from crystal_ldm.errors import EvaluationError
from crystal_ldm.evaluate.api import evaluate
from crystal_ldm.evaluate.band_gap.estimates import BandGaps, estimate_band_gaps
from crystal_ldm.evaluate.statistics import wilson
from crystal_ldm.parallel.executor import AnyWorkers, Executor, open_executor
from crystal_ldm.random import crystal_generator

if TYPE_CHECKING:
    from crystal_ldm.ldm_module import LDMModule
    from crystal_ldm.sampling import SampleResult

TARGETS_EV = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
SCALES = (1.0, 2.0, 4.0)
STEPS = (5, 10, 20)
WINDOWS_EV = (0.25, 0.5, 1.0)
"""Half widths within which a gap counts as near its target."""
REAL_WINDOW_EV = 0.25
"""A real crystal counts for a target if its true gap is this near."""


def calibrate_model(
    ldm: LDMModule,
    num: int = 200,
    *,
    targets: Sequence[float] = TARGETS_EV,
    scales: Sequence[float] = SCALES,
    real: tuple[Any, ArrayLike] | None = None,
    predictor: str = "cgcnn",
    forbidden: Sequence[str] = (),
    seed: int = 0,
    sampling: Mapping[str, Any] | None = None,
    workers: AnyWorkers = None,
) -> pd.DataFrame:
    """Ask a model for band gaps with elements left open, and let a predictor say what came.

    The sizes of the cells are drawn as in the training set, the same for each cell of the table,
    and so is the noise. Sampling takes about six times as long as the predictor.

    Args:
        ldm: a model with the condition `band_gap`.
        num: crystals for each target and scale, and for the base rate; the ceiling takes at most
            as many.
        targets: band gaps, eV.
        scales: guidance scales of the band gap.
        real: real crystals and their true gaps in eV, for the ceiling.
        predictor: see `estimate_band_gaps`.
        forbidden: elements that open atoms must not become; real crystals with them are left out.
            Th, Pa, U, Np, Pu: OQMD computes their oxides with a Hubbard U of 4 eV, the Materials
            Project without, so that a predictor trained on it finds gaps 1 eV smaller on average.
        seed: of sizes, noise, and the draw of real crystals.
        sampling: further options of `LDMModule.sample`: sampling_steps, cfg_interval, precision;
            cfg_scale is that of the conditions other than the band gap.
        workers: see `open_executor`.

    Returns:
        The table of `calibrate_band_gap`.

    Raises:
        EvaluationError: if the model knows no band gap, or there is nothing to do.
        RequestError: for a target or an option that the model was not made for.
        FormulaError: for an unknown element.
    """
    if "band_gap" not in ldm.conditions:
        names = ", ".join(ldm.conditions) or "none at all"
        raise EvaluationError(f"The model has no condition 'band_gap'; it has {names}.")
    if num < 1 or not len(targets) or not len(scales):
        raise EvaluationError("A calibration needs at least one crystal, target and scale.")
    sizes = sizes_as_trained(ldm, num, seed).tolist()
    options = dict(sampling or {})
    others = options.pop("cfg_scale", {})
    if not isinstance(others, Mapping):
        others = dict.fromkeys(ldm.conditions, others)

    def sample(target: float | None, scale: float) -> SampleResult:
        request = CrystalBatch.from_num_atoms(sizes, forbidden=forbidden, band_gap=[target] * num)
        options["cfg_scale"] = {**others, "band_gap": scale}
        return ldm.sample(request, 1, seed=seed, **options)

    return calibrate_band_gap(
        {(t, s): sample(t, s) for t in map(float, targets) for s in map(float, scales)},
        base=sample(None, 1.0),
        real=None if real is None else _without(*real, forbidden),
        predictor=predictor,
        max_real=num,
        seed=seed,
        workers=workers,
    )


def calibrate_band_gap(
    samples: Mapping[tuple[float, float], Any],
    *,
    base: Any = None,
    real: tuple[Any, ArrayLike] | None = None,
    predictor: str = "cgcnn",
    max_real: int = 500,
    seed: int = 0,
    workers: AnyWorkers = None,
) -> pd.DataFrame:
    """Return the calibration table of band gap conditioning.

    A sample that the predictor cannot take is near no target and no metal; it stays in n.

    Args:
        samples: generated crystals, in any form that `evaluate` takes, for each (target in eV,
            guidance scale).
        base: crystals generated without a target.
        real: real crystals and their true gaps in eV.
        predictor: see `estimate_band_gaps`.
        max_real: at most so many real crystals for each target, drawn with `seed`.
        seed: of that draw.
        workers: see `open_executor`.

    Returns:
        A row for each target and kind ("model" at each scale, "ceiling", "base rate"): target (eV),
        scale, kind, n, predicted (how many the predictor could take), for each window w the columns
        `within w`, `within w low`, `within w high` (95 %, Wilson), the same for `metal` and `valid`
        (structure and composition, as `evaluate` has them), and the median gap (eV).

    Raises:
        EvaluationError: if an argument is wrong.
    """
    targets = sorted({float(target) for target, _ in samples})
    rows: list[dict[str, Any]] = []
    with open_executor(workers) as pool:

        def gaps_and_validity(crystals: Any) -> tuple[BandGaps, NDArray[np.bool_]]:
            (source,) = read_with_warnings(crystals)
            gaps = estimate_band_gaps(source, predictor, workers=pool)
            return gaps, _validity(source, pool)["valid"]

        for (target, scale), crystals in samples.items():
            rows.append(calibration_row("model", target, scale, *gaps_and_validity(crystals)))
        if base is not None:
            predicted = gaps_and_validity(base)
            rows += [calibration_row("base rate", target, np.nan, *predicted) for target in targets]
        if real is not None:
            (crystals,) = read_with_warnings(real[0])
            truth = np.asarray(real[1], dtype=np.float64)
            if len(truth) != len(crystals):
                raise EvaluationError(
                    f"There are {len(crystals)} real crystals and {len(truth)} true gaps."
                )
            for position, target in enumerate(targets):
                near = np.flatnonzero(np.abs(truth - target) <= REAL_WINDOW_EV)
                if len(near) > max_real:
                    generator = crystal_generator(seed, position)
                    near = np.sort(generator.choice(near, size=max_real, replace=False))
                if len(near):
                    predicted = gaps_and_validity(crystals.select(near.tolist()))
                    rows.append(calibration_row("ceiling", target, np.nan, *predicted))
    order = {"ceiling": 0, "base rate": 1, "model": 2}
    rows.sort(key=lambda row: (row["target"], order[row["kind"]], np.nan_to_num(row["scale"])))
    return pd.DataFrame(rows)


def calibration_row(
    kind: str, target: float, scale: float, gaps: BandGaps, valid: NDArray[np.bool_]
) -> dict[str, Any]:
    """Return one row of the table (see `calibrate_band_gap`) from predicted gaps and validity."""
    n, finite = len(gaps), gaps.gap[np.isfinite(gaps.gap)]
    row: dict[str, Any] = {"target": float(target), "scale": float(scale), "kind": kind, "n": n}
    row["predicted"] = len(finite)
    # nan compares as False: what could not be predicted is near no target.
    counts = {f"within {w:g}": int((np.abs(gaps.gap - target) <= w).sum()) for w in WINDOWS_EV}
    counts |= {"metal": int(gaps.metal.sum()), "valid": int(valid.sum())}
    for name, count in counts.items():
        row |= _share(name, count, n)
    row["median gap"] = float(np.median(finite)) if len(finite) else np.nan
    return row


def calibrate_decoding(
    ldm: LDMModule,
    request: CrystalBatch,
    *,
    scales: Sequence[float] = SCALES,
    steps: Sequence[int] = STEPS,
    seed: int = 0,
    sampling: Mapping[str, Any] | None = None,
    workers: AnyWorkers = None,
) -> pd.DataFrame:
    """Return validity and the decoder's agreement with the request, by guidance scale and steps.

    `structure_valid` and `valid` are those of `evaluate`; `agreement` is the mean share of
    requested atoms for which the decoder, not told of the request, would have chosen the requested
    element: low values mean that the latents are not those of the request, and that its elements
    are imposed against them.

    Args:
        ldm: the model.
        request: one crystal is made for each row.
        scales: guidance scales of all conditions.
        steps: numbers of sampling steps.
        seed: of the noise, the same for each cell of the table.
        sampling: further options of `LDMModule.sample`.
        workers: see `open_executor`.

    Returns:
        A row for each scale and number of steps: scale, steps, n, and `structure_valid`, `valid`,
        `agreement`, each with ` low` and ` high` (95 %, see `rate_row`).

    Raises:
        EvaluationError: if there is nothing to do.
        RequestError: for a request or an option that the model was not made for.
    """
    if not len(request) or not len(scales) or not len(steps):
        raise EvaluationError("A calibration needs at least one crystal, scale and step.")
    rows, options = [], {"seed": seed, **(sampling or {})}
    with open_executor(workers) as pool:
        for scale, count in sorted(product(map(float, scales), map(int, steps))):
            result = ldm.sample(request, 1, cfg_scale=scale, sampling_steps=count, **options)
            values = _validity(read_crystals(result), pool)
            values["agreement"] = result.element_agreement.numpy()
            rows.append(rate_row(scale, count, values))
    return pd.DataFrame(rows)


def rate_row(scale: float, steps: int, values: Mapping[str, ArrayLike]) -> dict[str, Any]:
    """Return a row of the table of `calibrate_decoding`.

    Args:
        scale, steps: guidance scale and number of sampling steps.
        values: by name one number of each sample: True or False (validity), or a share (the
            decoder's agreement; its mean is given, and the interval treats it as a rate). Not a
            number counts as 0.
    """
    row: dict[str, Any] = {"scale": scale, "steps": steps}
    for name, samples in values.items():
        numbers = np.nan_to_num(np.asarray(samples, dtype=np.float64))
        row |= {"n": len(numbers), **_share(name, float(numbers.sum()), len(numbers))}
    return row


def _share(name: str, total: float, n: int) -> dict[str, float]:
    """Return a total of n numbers from 0 to 1 as their mean, with its Wilson interval."""
    low, high = wilson(round(total), n)
    share = total / n if n else np.nan
    return {name: share, f"{name} low": min(low, share), f"{name} high": max(high, share)}


def sizes_as_trained(ldm: LDMModule, num: int, seed: int) -> NDArray[np.int64]:
    """Return numbers of atoms in a cell, drawn as often as in the training set, (num,)."""
    counts = np.array(ldm.num_atoms_histogram, dtype=np.float64)
    drawn = crystal_generator(seed, 9).choice(len(counts), num, p=counts / counts.sum())
    return np.asarray(drawn, dtype=np.int64)


def _without(
    crystals: Any, truth: ArrayLike, elements: Sequence[str]
) -> tuple[CrystalSet, NDArray[np.float64]]:
    """Return real crystals that have none of some elements, and their true gaps in eV."""
    (source,) = read_with_warnings(crystals)
    gaps = np.asarray(truth, dtype=np.float64)
    if not elements or len(source) != len(gaps):  # an error that the caller finds in either case
        return source, gaps
    left_out = {atomic_number(symbol) for symbol in elements}
    cells = enumerate(source.crystals)
    kept = [i for i, cell in cells if cell is None or left_out.isdisjoint(cell.numbers)]
    return source.select(kept), gaps[kept]


def _validity(crystals: CrystalSet, executor: Executor) -> dict[str, NDArray[Any]]:
    """Return for each crystal `structure_valid` and `valid` (composition, too)."""
    table = evaluate(crystals, metrics=("validity",), workers=executor).table
    return {name: table[name].to_numpy(dtype=bool) for name in ("structure_valid", "valid")}
