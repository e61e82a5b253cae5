"""`evaluate`: one function that answers whether crystals are any good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystal_ldm.crystals.inputs import read_crystals
from crystal_ldm.errors import EvaluationError, no_such
from crystal_ldm.evaluate.reference_set import Reference
from crystal_ldm.evaluate.results import Evaluation
from crystal_ldm.evaluate.stages import EvaluationRun
from crystal_ldm.evaluate.structure_prediction import PredictionMetrics
from crystal_ldm.evaluate.thresholds import Thresholds
from crystal_ldm.parallel import AnyWorkers, open_executor

if TYPE_CHECKING:
    from crystal_ldm.evaluate.stability.relaxation import RelaxationSettings

METRICS = ("validity", "uniqueness", "novelty", "symmetry", "distribution", "coverage")
DEFAULT_METRICS = METRICS[:-1]
_COMPARED = ("novelty", "distribution", "coverage")  # with a reference set


def evaluate(
    crystals: Any,
    reference: Any = None,
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    targets: Any = None,
    ks: Sequence[int] = (1, 20),
    properties: Mapping[str, ArrayLike] | None = None,
    latents: tuple[ArrayLike, ArrayLike] | None = None,
    predictors: Sequence[str] = (),
    relax_dir: str | Path | None = None,
    relaxation: RelaxationSettings | None = None,
    workers: AnyWorkers = None,
    progress: bool = False,
    **thresholds: Any,
) -> Evaluation:
    """Evaluate crystals, each on its own and all together.

    Every crystal keeps its row and stays in every denominator, and its row says what went wrong:

    - one that cannot be read (disordered, coordinates that are not finite, a broken CIF), or that
      hangs or crashes a computation, is neither valid nor unique nor novel;
    - one with an element that the potential or a predictor lacks has no energy, hull distance or
      gap, and counts as not stable and as no metal;
    - the hull distance is undefined (nan), never guessed, where an element has no reference energy;
      the distance of a property that the reference set lacks is left out, with a note;
    - ids that occur twice are told apart with #2, #3 and a note.

    An empty set and a reference set without a single usable crystal are refused; one crystal is
    enough.

    Args:
        crystals: structures, a `CrystalBatch`, a result of `LDMModule.sample`, a run directory, a
            folder of CIFs, a csv with a column `cif`, or a json(.gz) list of pymatgen structures.
        reference: the training set, or any other crystals, in any of these forms, a
            data set, or a `Reference` to reuse what has been computed. Without it novelty,
            distribution and coverage are left out.
        metrics: which of "validity", "uniqueness", "novelty", "symmetry", "distribution",
            "coverage" to compute. Coverage takes about 0.1 s for each crystal of both sets.
        targets: for crystal structure prediction, the true crystal of each row of the request;
            which row a crystal belongs to is taken from the sampling result or the run's table,
            else the i-th crystal belongs to the i-th target.
        ks: numbers of candidates at which structure prediction is scored.
        properties: further numbers of the crystals by name, for example
            {"formation_energy_per_atom": [...]} in eV/atom; compared with the reference's label of
            that name.
        latents: vectors of the generated and of the reference crystals, (n, d) and (m, d).
        predictors: band gap predictors to ask, "cgcnn" and "own" (see `band_gap`).
        relax_dir: relax every crystal with a potential and keep the results in this folder, where a
            killed run goes on (see `stability`); adds stability and S.U.N. rates.
        relaxation: how to relax; None: CHGNet with the defaults.
        workers: number of worker processes (None: one for each core), `Workers` with limits of time
            and memory or a Dask client, or an executor that is open already, for several calls.
        progress: show a bar for each stage.
        **thresholds: see `Thresholds`; all are printed with the result.

    Raises:
        EvaluationError: if there are no crystals, a source cannot be read, or an argument is wrong.
    """
    limits = Thresholds(**thresholds)
    metrics, predictors = ((x,) if isinstance(x, str) else x for x in (metrics, predictors))
    for name in metrics:
        if name not in METRICS:
            raise EvaluationError(no_such("metric", name, METRICS))
    generated = read_crystals(crystals)
    compared = (
        reference if reference is None or isinstance(reference, Reference) else Reference(reference)
    )
    numbers = {name: _numbers(name, x, len(generated)) for name, x in (properties or {}).items()}
    predictions: PredictionMetrics | None = None
    with open_executor(workers, bars=progress) as pool:
        run = EvaluationRun(generated, compared, limits, pool, numbers)
        run.describe(
            symmetry="symmetry" in metrics,
            comparison=bool({"uniqueness", "novelty"} & set(metrics)),
        )
        for name in METRICS:
            if name in metrics and (compared is not None or name not in _COMPARED):
                getattr(run, name)()
        if latents is not None:
            run.latents(*latents)
        for predictor in predictors:
            run.band_gap(predictor)
        if relax_dir is not None:
            run.stability(relax_dir, relaxation)
        if targets is not None:
            predictions = run.prediction(targets, ks)
    return run.result(predictions)


def _numbers(name: str, values: ArrayLike, count: int) -> NDArray[np.float64]:
    """Return the values of a property, one for each crystal; None is nan."""
    try:
        numbers = np.asarray(values, dtype=np.float64).reshape(count)
    except (TypeError, ValueError):
        raise EvaluationError(
            f"The property '{name}' must be a list of {count} numbers, one for each crystal."
        ) from None
    return numbers
