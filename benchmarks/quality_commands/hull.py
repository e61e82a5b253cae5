"""Does the condition on the hull distance steer: crystals of two targets, relaxed; and a model file
whose targets are calibrated by such a measurement."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.quality_commands.shared import Row, sampling
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.evaluate.calibration import sizes_as_trained
from crystal_ldm.evaluate.stability import RelaxationSettings, compute_stability
from crystal_ldm.evaluate.statistics import bootstrap
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.nn.checkpoints import save_safetensors
from crystal_ldm.runs.generate import generate

TARGETS = (0.0, 0.2)
NAME = "e_above_hull"
CALIBRATION_EV = ((0.05, 0.05), (0.2, 0.6), (1.0, 1.0))
"""Targets of `oqmd_icsd`, and what the networks are given for them, eV/atom: crystals made with 0.6
lay some 0.2 above the hull, those made with 0.2 on it."""


def hull(model: LDMModule, options: argparse.Namespace) -> list[Row]:
    """Ask for hull distances of 0 and 0.2 eV/atom, sizes as in the training set; relax; compare."""
    settings = RelaxationSettings(options.potential, fmax=options.fmax, max_steps=options.max_steps)
    sizes = sizes_as_trained(model, options.num, options.seed).tolist()
    folder = options.run_dir or f"runs/quality/hull-{options.num}"
    rows: list[Row] = []
    for target in TARGETS:
        request = CrystalBatch.from_num_atoms(sizes, **{NAME: [target] * len(sizes)})
        place = f"{folder}/{target:g}"
        crystals = generate(model, request, place, 1, progress=False, **sampling(options))
        relaxed = compute_stability(
            crystals.path, f"{place}/relaxed", settings=settings, workers=options.workers
        )
        distances = relaxed.table["e_above_hull"].dropna().to_numpy(dtype=np.float64)
        low, high = bootstrap(np.median, [distances], resamples=2000, seed=options.seed)
        rows.append(
            {
                "target": target,
                "n": len(distances),
                "median": float(np.median(distances)),
                "from": low,
                "to": high,
                "within 0.1": float(np.mean(distances <= 0.1)),
                "on the hull or below": float(np.mean(distances <= 0)),
            }
        )
    return rows


def hull_calibration(model: LDMModule, options: argparse.Namespace) -> list[Row]:
    """Calibrate the condition by `CALIBRATION_EV`; write the model as `model.safetensors` to
    `--run-dir`. Recipes of before make their crystals, up to the first target."""
    before = model.data_info.get("hashes_before_calibration", [model.model_hash])
    pairs = [list(pair) for pair in CALIBRATION_EV]
    for network in (model.network, model.sampler_network, model.composition_model):
        if network is not None:
            network.properties[NAME].take_calibration(pairs)  # type: ignore[operator]
    changed = {**model.config["conditions"][NAME], "calibration": pairs}
    conditions = {**model.config["conditions"], NAME: changed}
    model.config = {**model.config, "conditions": conditions}
    model.data_info = {**model.data_info, "hashes_before_calibration": before}
    folder = Path(options.run_dir or "runs/quality/hull_calibration")
    folder.mkdir(parents=True, exist_ok=True)
    save_safetensors(model, folder / "model.safetensors")
    return [{"written to": str(folder / "model.safetensors")}]
