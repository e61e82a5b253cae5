"""What the preset `discover` leaves after relaxation, by two potentials; files for others.

Crystals and relaxed crystals are kept in `--run-dir`; a run that was killed goes on where it was.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.quality_commands.shared import Row, sampling, training_set
from crystal_ldm.discovery.novelty import novelty_of
from crystal_ldm.discovery.second_opinion import SecondOpinion, why_not
from crystal_ldm.evaluate import evaluate
from crystal_ldm.evaluate.reference_set import Reference
from crystal_ldm.evaluate.stability import ReferenceHull, RelaxationSettings, compute_stability
from crystal_ldm.evaluate.stability.reference import ReferenceEnergies
from crystal_ldm.evaluate.statistics import wilson
from crystal_ldm.files import open_run
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.parallel import Workers, open_executor
from crystal_ldm.runs.generate import generate
from crystal_ldm.runs.sample_run import read_crystals_of

LIMITS_EV = (0.0, 0.1)


def discover(model: LDMModule, options: argparse.Namespace) -> list[Row]:
    """Make crystals of any elements with the preset `discover`, and count those that are unique,
    new and near the hull by CHGNet, and of them those that are so by SevenNet, too.

    SevenNet is asked about those alone that are within 0.1 eV/atom by CHGNet: no other can be near
    by both.
    """
    how = {"preset": "discover", **sampling(options)}
    settings = RelaxationSettings(fmax=options.fmax, max_steps=options.max_steps)
    identity = {"model_hash": model.model_hash, "num": options.num, "sampling": how}
    folder = options.run_dir or f"runs/quality/discover-{options.num}"
    run = open_run(folder, "discover", identity)
    hull = ReferenceHull(ReferenceEnergies.shipped())
    workers = Workers(options.workers, memory_gb=6)
    with run, open_executor(workers) as executor:
        crystals = generate(model, None, run.path / "crystals", options.num, progress=False, **how)
        kept = run.path / "relaxed"
        found = compute_stability(
            crystals.path, kept, settings=settings, hull=hull, workers=executor, progress=True
        )
        known = Reference(training_set(options))
        evaluated = evaluate(
            crystals.path, known, metrics=("uniqueness", "novelty"), workers=executor
        )
        table = evaluated.table
        new = (table["unique"] & table["novel"]).to_numpy(dtype=bool)
        first = found.table["e_above_hull"].to_numpy(dtype=np.float64)
        chosen = np.flatnonzero(new & (first <= LIMITS_EV[-1]))
        relaxed = [result.crystal for i in chosen if (result := found.relaxed[i]) is not None]
        second = np.full(len(first), np.nan)
        reason = why_not()
        if not reason:
            opinion = SecondOpinion(hull, kept, settings, executor)
            for i, cell in zip(chosen, relaxed, strict=True):
                (distance,) = opinion.distances([cell])
                second[i] = np.nan if distance is None else distance.e_above_hull
                run.progress(int(np.isfinite(second).sum()), len(chosen))
        kinds = Counter(one.kind for one in novelty_of(relaxed, model.training_crystals, executor))
        table["e_above_hull"], table["e_above_hull (sevennet)"] = first, second
        table.to_csv(run.path / "evaluation.csv", index=False)
    rows: list[Row] = [{"n": len(first), "note": reason or "; ".join(found.notes)}]
    for limit in LIMITS_EV:
        near = new & (first <= limit)
        for name, right in (("CHGNet", near), ("both", near & (second <= limit))):
            count = int(right.sum())
            low, high = wilson(count, len(first))
            rows.append(
                {"unique, new and within": limit, "by": name, "share": count / len(first),
                 "count": count, "n": len(first), "ci_low": low, "ci_high": high}
            )  # fmt: skip
    return rows + [{"kind": kind, "count": count} for kind, count in kinds.items()]


def lemat(model: LDMModule, options: argparse.Namespace) -> list[Row]:
    """Write crystals of any elements as LeMat-GenBench takes them with `--csv`: a line each, with
    the raw cell as pymatgen's JSON in the column `structure`."""
    how = sampling(options)
    folder = Path(options.run_dir or f"runs/quality/lemat-{options.num}")
    run = generate(model, None, folder, options.num, **how)
    crystals = [(line["id"], s.to_json()) for line, s in read_crystals_of(run.path)]
    table = pd.DataFrame(crystals, columns=["material_id", "structure"])
    table.to_csv(run.path / "lemat.csv", index=False)
    return [{"crystals": len(table), "csv": str(run.path / "lemat.csv")}]
