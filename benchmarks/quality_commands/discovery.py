"""What the preset `discover` leaves after relaxation, by two potentials; files for others.

Crystals and relaxed crystals are kept in `--run-dir`; a run that was killed goes on where it was.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.quality_commands.shared import Row, sampling, training_set
from crystal_ldm.crystals.cell import Cell
from crystal_ldm.crystals.inputs import read_crystals
from crystal_ldm.data import load_dataset
from crystal_ldm.discovery.goal import ROUND
from crystal_ldm.discovery.novelty import KINDS, novelty_of
from crystal_ldm.discovery.screening import distances_before, most_promising
from crystal_ldm.discovery.second_opinion import SecondOpinion, why_not
from crystal_ldm.evaluate import evaluate
from crystal_ldm.evaluate.reference_set import Reference
from crystal_ldm.evaluate.stability import ReferenceHull, RelaxationSettings, compute_stability
from crystal_ldm.evaluate.stability.reference import ReferenceEnergies
from crystal_ldm.evaluate.statistics import rate
from crystal_ldm.files import open_run
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.parallel import Executor, Workers, open_executor
from crystal_ldm.runs.generate import generate
from crystal_ldm.runs.sample_run import read_crystals_of

LIMITS_EV = (0.0, 0.1)


def discover(model: LDMModule, options: argparse.Namespace) -> list[Row]:
    """Make crystals of any elements with the preset `discover`, relax the most promising of each
    round, and count those that are unique, new and near the hull by CHGNet, and of them those that
    are so by SevenNet, too.

    SevenNet is asked about those alone that are within 0.1 eV/atom by CHGNet: no other can be near
    by both. How varied the crystals are is said of all that were made and of those that the screen
    left, both as they were made. Some that are near the hull are crystals of the data set's other
    parts, which the model has not seen and the hull has: they are counted on their own.
    """
    how = {"preset": "discover", **sampling(options)}
    settings = RelaxationSettings(fmax=options.fmax, max_steps=options.max_steps)
    share = options.relaxed_share
    identity = {"model_hash": model.model_hash, "num": options.num, "sampling": how}
    folder = options.run_dir or f"runs/quality/discover-{options.num}"
    run = open_run(folder, "discover", {**identity, "relaxed_share": share})
    hull = ReferenceHull(ReferenceEnergies.shipped())
    with run, open_executor(Workers(options.workers, memory_gb=6)) as executor:
        num_made = math.ceil(options.num / share)
        crystals = generate(model, None, run.path / "crystals", num_made, progress=False, **how)
        source = read_crystals(crystals.path)
        # By row and number, which names begin with: a file has them as they were finished.
        made = {
            i: cell for i, cell in sorted(zip(source.ids, source.crystals, strict=True)) if cell
        }
        all_made = list(made.values())
        places: NDArray[np.int_] = np.arange(len(all_made))
        if share < 1:
            places = _screened(made, share, run.path / "screened.json", hull, executor)
        cells = [all_made[i] for i in places]
        kept = run.path / "relaxed"
        found = compute_stability(
            cells, kept, settings=settings, hull=hull, workers=executor, progress=True
        )
        metrics = ("uniqueness", "novelty")
        known = Reference(training_set(options))
        table = evaluate(cells, known, metrics=metrics, workers=executor).table
        new = (table["unique"] & table["novel"]).to_numpy(dtype=bool)
        first = found.table["e_above_hull"].to_numpy(dtype=np.float64)
        chosen = np.flatnonzero(new & (first <= LIMITS_EV[-1]))
        relaxed = [result.crystal for i in chosen if (result := found.relaxed[i]) is not None]
        second = np.full(len(first), np.nan)
        reason = why_not()
        if not reason:
            opinion = SecondOpinion(hull, kept, settings, executor)
            for i, cell in zip(chosen, relaxed, strict=True):
                distance = opinion.distance(cell)
                second[i] = np.nan if distance is None else distance.e_above_hull
                run.progress(int(np.isfinite(second).sum()), len(chosen))
        kinds = novelty_of(relaxed, model.training_crystals, executor)
        table["e_above_hull"], table["e_above_hull (sevennet)"] = first, second
        table["kind"] = ""
        table.loc[chosen, "kind"] = [one.kind for one in kinds]
        table.to_csv(run.path / "evaluation.csv", index=False)
        dataset = load_dataset(options.dataset, options.data_dir, progress=False)
        whole = Reference(dataset.batch(range(len(dataset))))
        seen = ~evaluate(relaxed, whole, metrics=metrics[1:], workers=executor).table["novel"]
        kinds_made = novelty_of(all_made, model.training_crystals, executor)
    rows: list[Row] = [{"n": len(first), "note": reason or "; ".join(found.notes)}]
    for limit in LIMITS_EV:
        near = new & (first <= limit)
        for name, right in (("CHGNet", near), ("both", near & (second <= limit))):
            shares = rate(int(right.sum()), len(first))
            rows.append({"unique, new and within": limit, "by": name, **shares})
    both = second[chosen] <= LIMITS_EV[-1]
    names = np.array([one.kind for one in kinds])
    for kind in KINDS:
        counts = {"CHGNet": int((names == kind).sum()), "both": int((names[both] == kind).sum())}
        rows.append({"within 0.1 and, relaxed,": kind, **counts})
    known_elsewhere = seen.to_numpy(dtype=bool)
    counts = {"CHGNet": int(known_elsewhere.sum()), "both": int(known_elsewhere[both].sum())}
    rows.append({"within 0.1 and, relaxed,": "in any part of the data set", **counts})
    for name, some in (("made", np.arange(len(all_made))), ("screened", places)):
        rows.append({"as made": name, **_variety([all_made[i] for i in some])})
        rows[-1] |= Counter(kinds_made[i].kind for i in some)
    return rows


def _screened(
    made: dict[str, Cell], share: float, file: Path, hull: ReferenceHull, executor: Executor
) -> NDArray[np.int_]:
    """Return which crystals `crystal_ldm.discovery` would relax, round by round."""
    distances = distances_before(made, file, "chgnet", hull, executor)
    places: list[int] = []
    for start in range(0, len(distances), ROUND):
        some = distances[start : start + ROUND]
        best = most_promising(some, math.ceil(share * len(some)))
        places += [start + place for place in best]
    return np.array(places)


def _variety(cells: Sequence[Cell]) -> Row:
    from pymatgen.core import Element

    keys = [cell.formula_key for cell in cells]
    f_block = [any(Element.from_Z(z).block == "f" for z, _ in key) for key in keys]
    return {
        "n": len(cells),
        "formulas": len(set(keys)),
        "kinds of atoms": len({z for key in keys for z, _ in key}),
        "with f-block elements": sum(f_block),
    }


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
