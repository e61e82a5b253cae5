"""Sampling a model for the tables of `calibration.tables`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.elements import atomic_number
from crystal_ldm.crystals.inputs import CrystalSet, read_crystals
from crystal_ldm.errors import EvaluationError
from crystal_ldm.evaluate.calibration.tables import calibrate_band_gap, calibrate_rate, validity
from crystal_ldm.parallel.executor import AnyWorkers, Progress, open_executor
from crystal_ldm.random import crystal_generator

if TYPE_CHECKING:
    from crystal_ldm.ldm_module import LDMModule
    from crystal_ldm.sampling import SampleResult

TARGETS_EV = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
SCALES = (1.0, 2.0, 4.0)
STEPS = (5, 10, 20)


def calibrate_model(
    ldm: LDMModule,
    num: int = 200,
    *,
    targets: Sequence[float] = TARGETS_EV,
    scales: Sequence[float] = SCALES,
    real: tuple[Any, ArrayLike] | None = None,
    forbidden: Sequence[str] = (),
    seed: int = 0,
    sampling: dict[str, Any] | None = None,
    workers: AnyWorkers = None,
    progress: Progress | None = None,
    **how: Any,
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
        forbidden: elements that open atoms must not become; real crystals with them are left out.
            Th, Pa, U, Np, Pu: OQMD computes their oxides with a Hubbard U of 4 eV, the Materials
            Project without, so that a predictor trained on it finds gaps 1 eV smaller on average.
        seed: of sizes, noise, and the draw of real crystals.
        sampling: further options of `LDMModule.sample`: sampling_steps, cfg_interval, precision;
            cfg_scale is that of the conditions other than the band gap.
        workers: see `open_executor`.
        progress: called with the number of crystals just generated.
        **how: predictor, windows, thresholds, real_window: see `calibrate_band_gap`.

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
        request = CrystalBatch.from_num_atoms(
            sizes, forbidden=list(forbidden), band_gap=[target] * num
        )
        made = ldm.sample(request, 1, cfg_scale={**others, "band_gap": scale}, seed=seed, **options)
        if progress is not None:
            progress(num)
        return made

    return calibrate_band_gap(
        {(t, s): sample(t, s) for t in map(float, targets) for s in map(float, scales)},
        base=sample(None, 1.0),
        real=None if real is None else _without(*real, forbidden),
        max_real=num,
        seed=seed,
        workers=workers,
        **how,
    )


def calibrate_decoding(
    ldm: LDMModule,
    request: CrystalBatch,
    *,
    scales: Sequence[float] = SCALES,
    steps: Sequence[int] = STEPS,
    seed: int = 0,
    sampling: dict[str, Any] | None = None,
    workers: AnyWorkers = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Return validity and the decoder's agreement with the request, by guidance scale and steps.

    One crystal for each row of the request. `structure_valid` and `valid` are those of
    `evaluate`; `agreement` is the mean share of requested atoms for which the decoder, not told of
    the request, would have chosen the requested element: low values mean that the latents are not
    those of the request, and that its elements are imposed against them.

    Args:
        ldm: the model.
        request: one crystal is made for each row.
        scales: guidance scales of all conditions.
        steps: numbers of sampling steps.
        seed: of the noise, the same for each cell of the table.
        sampling: further options of `LDMModule.sample`.
        workers: see `open_executor`.
        progress: called with the number of crystals just generated.

    Returns:
        A row for each scale and number of steps: scale, steps, n, and `structure_valid`, `valid`,
        `agreement`, each with ` low` and ` high` (95 %, see `calibrate_rate`).

    Raises:
        EvaluationError: if there is nothing to do.
        RequestError: for a request or an option that the model was not made for.
    """
    if not len(request) or not len(scales) or not len(steps):
        raise EvaluationError("A calibration needs at least one crystal, scale and step.")
    flags: dict[str, dict[tuple[float, int], NDArray[Any]]] = {
        "structure_valid": {}, "valid": {}, "agreement": {},
    }  # fmt: skip
    with open_executor(workers) as pool:
        for scale in map(float, scales):
            for count in map(int, steps):
                made = ldm.sample(
                    request, 1, cfg_scale=scale, sampling_steps=count, seed=seed,
                    **(sampling or {}),
                )  # fmt: skip
                found = validity(read_crystals(made), pool)
                flags["structure_valid"][scale, count] = found["structure_valid"]
                flags["valid"][scale, count] = found["valid"]
                flags["agreement"][scale, count] = made.element_agreement.numpy()
                if progress is not None:
                    progress(len(request))
    tables = [calibrate_rate(values, name) for name, values in flags.items()]
    keys = ["scale", "steps", "n"]
    return pd.concat([tables[0], *(table.drop(columns=keys) for table in tables[1:])], axis=1)


def _without(
    crystals: Any, truth: ArrayLike, elements: Sequence[str]
) -> tuple[CrystalSet, NDArray[np.float64]]:
    """Return real crystals that have none of some elements, and their true gaps in eV."""
    source, gaps = read_crystals(crystals), np.asarray(truth, dtype=np.float64)
    if not elements or len(source) != len(gaps):  # an error that the caller finds in either case
        return source, gaps
    numbers = {atomic_number(symbol) for symbol in elements}
    kept = [
        i
        for i, crystal in enumerate(source.crystals)
        if crystal is None or numbers.isdisjoint(crystal.numbers)
    ]
    return source.select(kept), gaps[kept]


def sizes_as_trained(ldm: LDMModule, num: int, seed: int) -> NDArray[np.int64]:
    """Return numbers of atoms in a cell, drawn as often as in the training set, (num,)."""
    counts = np.array(ldm.num_atoms_histogram, dtype=np.float64)
    drawn = crystal_generator(seed, 9).choice(len(counts), num, p=counts / counts.sum())
    return np.asarray(drawn, dtype=np.int64)
