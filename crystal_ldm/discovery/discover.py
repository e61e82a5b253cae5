"""A search for compounds: what may be asked for, and the directory that keeps it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_ldm.discovery.goal import ROUND, Goal
from crystal_ldm.discovery.ranking import Discovery
from crystal_ldm.discovery.rounds import check_rounds
from crystal_ldm.discovery.screening import RELAXED_SHARE
from crystal_ldm.discovery.search import Search
from crystal_ldm.errors import RequestError
from crystal_ldm.evaluate.band_gap import check_predictor
from crystal_ldm.evaluate.stability.hull import ReferenceHull
from crystal_ldm.evaluate.stability.reference import ReferenceEnergies
from crystal_ldm.evaluate.stability.relaxation import RelaxationSettings
from crystal_ldm.files import open_run
from crystal_ldm.parallel import AnyWorkers, Workers, open_executor
from crystal_ldm.sampling import SamplingSettings

if TYPE_CHECKING:
    from crystal_ldm.ldm_module import LDMModule

NOTEBOOK = "06_discover"

_LONGEST_SHARE, _SHORTEST_S = 0.25, 60.0  # of the time, for one crystal; but so many seconds


def discover(
    ldm: LDMModule,
    goal: Goal,
    run_dir: str | Path = "",
    *,
    num_candidates: int = 400,
    max_minutes: float = 10.0,
    relaxed_share: float = RELAXED_SHARE,
    predictor: str = "cgcnn",
    second_opinions: int = 10,
    relaxation: RelaxationSettings | None = None,
    seed: int = 0,
    workers: AnyWorkers = None,
    say: Callable[[str], None] | None = print,
    **sampling: Any,
) -> Discovery:
    """Look for new compounds, and leave a ranked list with everything that supports it.

    The list is written after each round of 32 candidates. A call that ended, by its budget or by
    force, is continued by the same call: crystals, relaxations and judgements are kept one by one.

    Args:
        ldm: the model.
        goal: what is looked for.
        run_dir: the directory, relative to the repository's root; empty: a new one in `runs/`.
        num_candidates: how many are made; a later call may ask for more.
        max_minutes: of this call; what is being relaxed then is finished.
        relaxed_share: of each round's candidates, those that are lowest against the hull as they
            were made; the others are screened out. 1: all are relaxed.
        predictor: who estimates band gaps (`evaluate.band_gap.PREDICTORS`); empty: nobody.
        second_opinions: how many of the best the second potential is asked about; 0: none.
        relaxation: how crystals are relaxed, by CHGNet as a rule; None: the defaults.
        seed: of all random numbers.
        workers: see `open_executor`; a `Workers(client=...)` relaxes on Dask.
        say: called with a sentence after each stage; None: silence.
        sampling: other keywords of `LDMModule.sample`; the preset is `discover`.

    Returns:
        What was found; `rows()` is the list.

    Raises:
        RequestError: for what the model was not trained for, or a budget that is none.
        RunError: the directory holds another search, is in use or cannot be written.
        EvaluationError: there is no such predictor or potential.
    """
    if num_candidates < 1 or not max_minutes > 0 or second_opinions < 0:
        raise RequestError(
            "A search needs at least one candidate and some time, and no fewer than 0 second "
            f"opinions, not {num_candidates}, {max_minutes} minutes and {second_opinions}."
        )
    if not 0 < relaxed_share <= 1:
        raise RequestError(f"relaxed_share is above 0 and at most 1, not {relaxed_share}.")
    if goal.band_gap is not None and not predictor:
        raise RequestError("A target band gap needs a predictor that checks it: name one.")
    if predictor:
        check_predictor(predictor)
    relaxation = relaxation or RelaxationSettings()
    longest = max(_SHORTEST_S, _LONGEST_SHARE * 60 * max_minutes)
    relaxation = replace(relaxation, timeout=min(relaxation.timeout, longest))
    keywords = {"preset": "discover", **sampling, "seed": seed}
    own_filters = keywords.pop("filters", None)
    if own_filters is not None and not isinstance(own_filters, Mapping):
        raise RequestError("Filters of a search are a mapping that changes those of the preset.")
    keywords["filters"] = {**goal.filters(ldm), **(own_filters or {})}
    settings = SamplingSettings.make(keywords).to_dict()
    identity = {
        "model_hash": ldm.model_hash,
        "goal": goal.to_dict(),
        "seed": seed,
        "predictor": predictor,
        "relaxed_share": relaxed_share,
        "sampling": {k: v for k, v in settings.items() if k not in ("compute", "preset")},
        "relaxation": {k: v for k, v in asdict(relaxation).items() if k != "timeout"},
    }
    hull = ReferenceHull(ReferenceEnergies.shipped(relaxation.potential))
    if missing := hull.missing(goal.elements - {0}):
        raise RequestError(
            f"Nothing with {missing} can be looked for: {relaxation.potential} has no reference "
            "energy of it, so that its compounds have no hull."
        )
    check_rounds(ldm, goal, math.ceil(num_candidates / ROUND), keywords)
    run = open_run(str(run_dir), NOTEBOOK, identity)
    with run, open_executor(workers, Workers(memory_gb=6)) as executor:
        search = Search(
            ldm, goal, run, executor, hull, relaxation, relaxed_share, predictor, keywords, say
        )
        search.carry_out(num_candidates, 60 * max_minutes, second_opinions)
    return search.found
