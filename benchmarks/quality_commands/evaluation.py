"""The evaluation itself: how long it takes, whether it is pymatgen's, what it says of real sets."""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from typing import Any

import numpy as np
import torch
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from benchmarks.quality_commands.shared import Row, held_out, request_of, sampling, training_set
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.data import CrystalDataset, load_dataset
from crystal_ldm.evaluate import Evaluation, evaluate, match_pairs
from crystal_ldm.evaluate.reference_set import Reference
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.random import crystal_generator

SIGMAS_A = (0.02, 0.05, 0.1)
COMPARED = ("validity", "uniqueness", "novelty")


def evaluation(model: LDMModule, options: argparse.Namespace) -> list[Row]:
    """Generate `--k` crystals for each of num / k held-out formulas and evaluate them all.

    `--check` of them are evaluated again by plain pymatgen, every comparison made.
    """
    k, num = options.k, options.num
    options.num = max(1, num // k)
    truth = held_out(options, model.vae)
    started = time.perf_counter()
    made = model.sample(request_of(truth), k, **sampling(options))
    sampled = time.perf_counter()
    known = training_set(options)
    result = evaluate(
        made,
        known,
        metrics=(*COMPARED, "symmetry"),
        targets=truth,
        ks=sorted({1, k}),
        workers=options.workers,
    )
    row: Row = {
        "n": len(made),
        "sampling s": sampled - started,
        "evaluation s": time.perf_counter() - sampled,
        "workers": options.workers or "one for each core",
    }
    rows = [row, *metric_rows(result)]
    if options.check:
        rows += differences_from_pymatgen(made.to_structures(), truth, known, result, options.check)
    return rows


def metric_rows(result: Evaluation) -> list[Row]:
    """Return the summary of an evaluation as rows of a table."""
    frame = result.summary[["value", "count", "n", "ci_low", "ci_high", "unit", "thresholds"]]
    records = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [
        {"metric": str(name), **{str(k): v for k, v in record.items() if v not in (None, "")}}
        for name, record in zip(frame.index, records, strict=True)
    ]


def differences_from_pymatgen(
    made: list[Structure], truth: CrystalBatch, known: CrystalBatch, result: Evaluation, sample: int
) -> list[Row]:
    """Evaluate `sample` crystals, evenly spread, by plain pymatgen; count where it disagrees."""
    table = result.table
    chosen = np.unique(np.linspace(0, len(made) - 1, min(sample, len(made))).astype(int)).tolist()
    strict, loose = StructureMatcher(), StructureMatcher(ltol=0.3, stol=0.5, angle_tol=10)
    by_formula: dict[str, list[int]] = defaultdict(list)
    for position, formula in enumerate(known.formulas):
        by_formula[formula].append(position)
    targets = truth.to_structures()
    wrong: dict[str, int] = defaultdict(int)
    for i in chosen:
        crystal, row = made[i], table.iloc[i]
        neighbours = crystal.get_all_neighbors(2 * (crystal.volume / len(crystal)) ** (1 / 3))
        shortest = min((n.nn_distance for site in neighbours for n in site), default=np.inf)
        valid = shortest > 0.5 and crystal.volume / len(crystal) > 0.1
        wrong["structure_valid"] += int(valid != row["structure_valid"])
        group = SpacegroupAnalyzer(crystal, symprec=0.1).get_space_group_number()
        wrong["space_group@0.1"] += int(group != row["space_group@0.1"])
        rows = torch.tensor(by_formula.get(crystal.reduced_formula, []), dtype=torch.long)
        others = known[rows].to_structures() if len(rows) else []
        novel = not any(strict.fit(crystal, other) for other in others)
        wrong["novel"] += int(novel != row["novel"])
        # Unique: pymatgen's groups of all crystals of this formula, in order.
        alike = [j for j in range(len(made)) if made[j].reduced_formula == crystal.reduced_formula]
        groups = strict.group_structures([made[j] for j in alike])
        first = {id(group[0]) for group in groups}
        wrong["unique"] += int((id(made[i]) in first) != row["unique"])
    pairs = [(made[i], targets[int(table["row"].iloc[i])]) for i in chosen]
    found = match_pairs([a for a, _ in pairs], [b for _, b in pairs], workers=1)
    for position, (first_crystal, second) in enumerate(pairs):
        plain = loose.get_rms_dist(first_crystal, second)
        expected = np.nan if plain is None else plain[0]
        wrong["match rmse"] += int(not np.isclose(found.rmse[position], expected, equal_nan=True))
    return [
        {"what": f"{name}: differs from plain pymatgen", "count": count, "n": len(chosen)}
        for name, count in wrong.items()
    ]


def identity(_: Any, options: argparse.Namespace) -> list[Row]:
    """Evaluate real crystals against themselves, with elements dealt out at random, and rattled."""
    dataset = load_dataset(options.dataset, options.data_dir, progress=False)
    chosen = dataset.indices(options.part)
    if options.num < len(chosen):
        chosen = np.sort(crystal_generator(options.seed, 7).permutation(chosen)[: options.num])
    crystals = dataset.batch(chosen)
    started = time.perf_counter()
    result = against_itself(dataset, chosen, options.workers)
    rows: list[Row] = [{"n": len(crystals), "seconds": time.perf_counter() - started}]
    rows += metric_rows(result)
    reasons = result.table["error"].dropna().value_counts()
    rows += [{"what": "reason", "reason": str(k), "n": int(v)} for k, v in reasons.items()]
    random = evaluate(
        with_random_species(crystals, options.seed), metrics=("validity",), workers=options.workers
    )
    rows.append({"what": "composition_valid, species at random", "n": len(crystals),
                 "value": random.value("composition_valid")})  # fmt: skip
    some = crystals[torch.arange(min(len(crystals), options.check or len(crystals)))]
    return rows + [rattled_row(some, sigma, options) for sigma in SIGMAS_A]


def against_itself(
    dataset: CrystalDataset, rows: np.ndarray, workers: int | None = None
) -> Evaluation:
    """Evaluate crystals with the same crystals as reference set and as targets."""
    crystals = dataset.batch(rows)
    energies = {
        name: np.asarray(dataset.labels[name])[rows]
        for name in ("formation_energy_per_atom",)
        if name in dataset.label_names
    }
    known = Reference(crystals)
    known.crystals.labels = {name: values.astype(float) for name, values in energies.items()}
    return evaluate(
        crystals,
        known,
        metrics=(*COMPARED, "distribution"),
        targets=crystals,
        ks=(1,),
        properties=energies,
        workers=workers,
        progress=True,
    )


def with_random_species(crystals: CrystalBatch, seed: int) -> CrystalBatch:
    """Return the crystals with their elements exchanged for random ones of the whole set.

    Each crystal keeps its number of elements and how many atoms share one; elements are drawn as
    often as they occur in the set.
    """
    generator = crystal_generator(seed, 11)
    numbers = crystals.atomic_numbers.clone()
    present = [row[row > 0].unique() for row in numbers]
    pool = torch.cat(present).numpy()
    for row, old in zip(numbers, present, strict=True):
        new: list[int] = []
        while len(new) < len(old):
            drawn = int(generator.choice(pool))
            if drawn not in new:
                new.append(drawn)
        for before, after in zip(old.tolist(), new, strict=True):
            row[row == before] = -after  # negative: not to be exchanged twice
    return CrystalBatch(
        numbers.abs(), crystals.num_atoms, crystals.frac_coords, crystals.lattices, ids=crystals.ids
    )


def rattled_row(crystals: CrystalBatch, sigma: float, options: argparse.Namespace) -> Row:
    """Move every atom by Gaussian noise of `sigma` Å for each direction; compare RMSEs.

    Expected is the root mean square displacement sqrt(3 (1 - 1/N)) sigma, since StructureMatcher
    takes out the common translation, over (V/N)^(1/3), averaged over crystals.
    """
    generator = crystal_generator(options.seed, 12)
    originals = crystals.to_structures()
    moved = [
        Structure(
            s.lattice,
            s.species,
            s.cart_coords + generator.normal(0, sigma, (len(s), 3)),
            coords_are_cartesian=True,
        )
        for s in originals
    ]
    found = match_pairs(moved, originals, workers=options.workers)
    expected = [
        np.sqrt(3 * (1 - 1 / len(s))) * sigma / (s.volume / len(s)) ** (1 / 3) for s in originals
    ]
    return {
        "what": f"rattled by {sigma:g} Å",
        "n": len(originals),
        "match": found.match_rate,
        "rmse": found.mean_rmse,
        "expected rmse": float(np.mean(expected)),
    }
