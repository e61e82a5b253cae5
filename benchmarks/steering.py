"""A condition is taught to a shipped model with a few crystals: does it steer, and at what price?

    python benchmarks/steering.py --crystals 80 --minutes 15 --threads 1 --samples 64

Density is computed for some training crystals of `oqmd_icsd`, as if they were a user's own. The
model learns it as a condition, and makes crystals of open elements at the 10th and the 90th
percentile of those densities. The densities of these samples, which no model has part in, are
printed with intervals (95 %, normal approximation). Held-out match before and after:

    python benchmarks/quality.py prediction --num 300 --cfg-scale 1 --model RUN_DIR
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import torch
from pymatgen.core import Structure

from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.data import load_dataset
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.random import crystal_generator
from crystal_ldm.training import TrainingSettings, fit
from crystal_ldm.training.experiment import build_module, load_data, load_experiment


def write_table(path: Path, count: int, seed: int) -> list[Structure]:
    """Write `count` crystals of at most 8 atoms with their densities in g/cm³; return them."""
    crystals = load_dataset("oqmd_icsd", progress=False)
    rows = [i for i in crystals.indices("train") if crystals.num_atoms[i] <= 8]
    chosen = crystal_generator(seed).choice(rows, count, replace=False)
    structures = crystals.batch(chosen).to_structures()
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "density", "cif"])
        for i, structure in zip(chosen, structures, strict=True):
            writer.writerow([crystals.ids[i], float(structure.density), structure.to(fmt="cif")])
    return structures


def sample(model: LDMModule, target: float | None, count: int, seed: int) -> list[Structure]:
    """Return `count` crystals of six atoms and open elements; None: no density is asked for."""
    batch = CrystalBatch.from_num_atoms([6], density=[target])
    return model.sample(batch, count, seed=seed).to_structures()


def main() -> None:
    """Train, sample, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--crystals", type=int, default=80)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run-dir", default="runs/steering")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    run_dir = Path(options.run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    taught = write_table(run_dir / "density.csv", options.crystals, options.seed)
    config = load_experiment(
        "finetune", seed=options.seed, dataset=run_dir / "density.csv",
        conditions={"density": {"unit": "g/cm^3"}},
    )  # fmt: skip
    started = time.monotonic()
    module = build_module(config["ldm_module"], "ldm_module", init_from="oqmd_icsd")
    settings = TrainingSettings(**config["training"])
    model = fit(module, load_data(config), run_dir, settings, max_minutes=options.minutes)
    print(f"{len(taught)} crystals, {(time.monotonic() - started) / 60:.1f} minutes of training")
    low, high = np.percentile([float(structure.density) for structure in taught], [10, 90])
    formulas = {structure.composition.reduced_formula for structure in taught}
    for target in (None, float(low), float(high)):
        made = sample(model, target, options.samples, options.seed)
        values = np.array([float(structure.density) for structure in made])
        half = 1.96 * values.std(ddof=1) / len(values) ** 0.5
        asked = "not asked for" if target is None else f"target {target:.2f}"
        new = {structure.composition.reduced_formula for structure in made}
        print(
            f"{asked}: n {len(values)}, mean {values.mean():.2f} ± {half:.2f} g/cm³; "
            f"{len(new)} formulas, {len(new & formulas)} of them taught"
        )


if __name__ == "__main__":
    main()
