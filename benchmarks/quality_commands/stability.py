"""Relaxing generated crystals: how long, how many converge, how far from the hull.

Crystals and relaxed crystals are kept in `--run-dir`, each as soon as it is there; a run that was
killed goes on where it was, and `05_analysis` can look at the same directory.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict

import numpy as np

from benchmarks.quality_commands.shared import Row, sampling, training_set
from crystal_ldm.evaluate import evaluate
from crystal_ldm.evaluate.reference_set import Reference
from crystal_ldm.evaluate.stability import RelaxationSettings, Stability, compute_stability
from crystal_ldm.evaluate.statistics import rate
from crystal_ldm.files import open_run
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.runs.generate import generate


def stability(model: LDMModule, options: argparse.Namespace) -> list[Row]:
    """Generate crystals without any request, relax them, and compare with the hull."""
    settings = RelaxationSettings(options.potential, fmax=options.fmax, max_steps=options.max_steps)
    how = sampling(options)
    identity = {
        "model_hash": model.model_hash,
        "num": options.num,
        "sampling": how,
        "relaxation": {k: v for k, v in asdict(settings).items() if k in KEPT_APART},
    }
    folder = options.run_dir or f"runs/quality/stability-{options.num}"
    run = open_run(folder, "stability", identity)
    kept = run.path / "relaxed"
    with run:
        crystals = generate(model, None, run.path / "crystals", options.num, progress=False, **how)
        before = len(list(kept.glob("[!.]*.json")))
        print(f"{before} relaxed crystals are there already, in {kept}", flush=True)
        started = time.perf_counter()
        found = compute_stability(
            crystals.path, kept, settings=settings, workers=options.workers, progress=True
        )
        seconds = time.perf_counter() - started
        known = Reference(training_set(options))
        evaluated = evaluate(crystals.path, known, metrics=RATES, workers=options.workers)
        table = evaluated.table.merge(found.table.drop(columns="formula"), on="id", how="left")
        table.to_csv(run.path / "evaluation.csv", index=False)
    done = len(list(kept.glob("[!.]*.json")))
    for note in [*found.notes, *evaluated.notes]:
        print("note:", note)
    first: Row = {
        "n": len(table),
        "workers": options.workers or "one for each core",
        "relaxed by this call": done - before,
        "wall s of this call": seconds,
    }
    rows = [first, *relaxation_rows(found)]
    rows += [
        {"what": name, "share": evaluated.value(name), "n": len(table)}
        for name in ("valid", "unique", "novel")
    ]
    unique, novel = (evaluated.table[name].tolist() for name in ("unique", "novel"))
    rates = found.rates(unique, novel, (0.0, 0.1))
    rows += [{str(k): v for k, v in rate.items()} for rate in rates.to_dict("records")]
    return rows


KEPT_APART = ("potential", "fmax", "max_steps", "timeout")
RATES = ("validity", "uniqueness", "novelty")


def relaxation_rows(found: Stability) -> list[Row]:
    """Return share converged, time, displacement and hull distance as rows of a table."""
    share = rate(int(found.table["converged"].sum()), len(found.table))
    rows: list[Row] = [{"what": "converged", **share, "unit": "share"}]
    for name, unit in (
        ("seconds", "s"),
        ("steps", "steps"),
        ("rmsd", "Å"),
        ("volume_change", "share"),
        ("e_above_hull", "eV/atom"),
    ):
        values = found.table[name].dropna().to_numpy(dtype=np.float64)
        row: Row = {"what": name, "unit": unit, "n": len(values)}
        if len(values):
            quantiles = np.quantile(values, [0.1, 0.25, 0.5, 0.75, 0.9])
            row |= {"mean": float(values.mean()), "sum": float(values.sum())}
            row |= dict(zip(("10 %", "25 %", "50 %", "75 %", "90 %"), quantiles, strict=True))
        rows.append({k: float(v) if isinstance(v, np.floating) else v for k, v in row.items()})
    reasons = found.table["error"].dropna().value_counts()
    return rows + [{"what": "reason", "reason": str(k), "n": int(v)} for k, v in reasons.items()]
