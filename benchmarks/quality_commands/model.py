"""The model on held-out crystals: reconstruction, tolerance, structure prediction, steps."""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch
from pymatgen.core import Structure

from benchmarks.quality_commands.evaluation import COMPARED, metric_rows
from benchmarks.quality_commands.shared import Row, held_out, request_of, sampling, training_set
from crystal_ldm.crystals import CrystalBatch
from crystal_ldm.crystals.geometry.distances import min_distance
from crystal_ldm.evaluate import csp_metrics, evaluate, match_pairs
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.random import torch_generator
from crystal_ldm.sampling import SamplingSettings


def reconstruction(model: Any, options: argparse.Namespace) -> list[Row]:
    """Encode and decode held-out crystals, elements included; without and with corrections."""
    vae = getattr(model, "vae", model)
    batch = held_out(options, vae)
    truth = batch.to_structures()
    table: list[Row] = []
    for corrections in (0, 1, 2, 4):
        with torch.inference_mode():
            parts = [
                vae.reconstruct(batch[rows], corrections)
                for rows in torch.arange(len(batch)).split(256)
            ]
        made = CrystalBatch.cat(parts)
        matches = match_pairs(made.to_structures(), truth, workers=options.workers)
        right = (made.atomic_numbers == batch.atomic_numbers).all(dim=1).float().mean().item()
        row: Row = {"corrections": corrections, "n": len(batch), "match": matches.match_rate}
        table.append(row | {"rmse": matches.mean_rmse, "all elements right": right})
    return table


def tolerance(model: Any, options: argparse.Namespace) -> list[Row]:
    """Decode latents with Gaussian noise of s times their standard deviation, elements known."""
    vae = getattr(model, "vae", model)
    batch = held_out(options, vae)
    truth = batch.to_structures()
    rows = []
    with torch.inference_mode():
        latents = vae.encode(batch)
        std = latents[batch.mask].std(dim=0)
        for s in (0.0, 0.02, 0.05, 0.1, 0.2, 0.4):
            noise = torch.randn(latents.shape, generator=torch_generator(options.seed, 8))
            decoded = vae.decode(latents + s * std * noise, batch.num_atoms, batch.atomic_numbers)
            found = match_pairs(decoded.to_structures(), truth, workers=options.workers)
            rows.append(
                {"s": s, "n": len(batch), "match": found.match_rate, "rmse": found.mean_rmse}
            )
    return rows


def is_plausible(structure: Structure) -> bool:
    """Return whether no two atoms are within 0.5 Å and each has more than 0.1 Å³ of the cell."""
    return min_distance(structure) > 0.5 and structure.volume / len(structure) > 0.1


def prediction(model: LDMModule, options: argparse.Namespace) -> list[Row]:
    """Crystal structure prediction: match, RMSE, METRe and cRMSE at 1 and at k samples.

    With `--formula-units likely` (or 1) only the formula is given, and not how large the cell is.
    """
    batch = held_out(options, model.vae)
    return [_predict(model, batch, options)]


def steps(model: LDMModule, options: argparse.Namespace) -> list[Row]:
    """Match at 1 against sampler, steps and guidance, on the same crystals and noise."""
    batch = held_out(options, model.vae)
    options.k = 1
    return [
        _predict(model, batch, options, sampler=sampler, sampling_steps=count, cfg_scale=scale)
        for sampler in ("ddim", "dpm_solver++")
        for count in (3, 5, 10, 20, 50)
        for scale in (1.0, 2.0)
    ]


def _predict(
    model: LDMModule, batch: CrystalBatch, options: argparse.Namespace, **changed: Any
) -> Row:
    how = {**sampling(options), **changed}
    settings = SamplingSettings.make(how)
    started = time.perf_counter()
    request = request_of(batch, options.formula_units)
    result = model.sample(request, max(options.k, options.of), **how)
    number, accepted = len(result), result.acceptance_rate
    if options.of > options.k and options.keep == "likeliest":
        result = result.likeliest(options.k, model, options.workers)
    elif options.of > options.k:
        result = result.representatives(options.k)
    seconds = time.perf_counter() - started
    made = result.to_structures()
    groups = [made[i * options.k : (i + 1) * options.k] for i in range(len(batch))]
    ks = sorted({1, options.k})
    metrics = csp_metrics(groups, batch.to_structures(), ks=ks, workers=options.workers)
    row: Row = {
        "sampler": settings.solver.name,
        "steps": settings.solver.steps,
        "cfg_scale": settings.guidance.scale,
        "n": len(batch),
    }
    for k in ks:
        row[f"match@{k}"] = metrics.value("match_rate", k)
        row[f"rmse@{k}"] = metrics.value("rmse", k)
        row[f"metre@{k}"] = metrics.value("metre", k)
        row[f"crmse@{k}"] = metrics.value("crmse", k)
    summary = metrics.summary.query("group == 'polymorphs' and metric in ('metre', 'crmse')")
    for part in summary.itertuples():
        row[f"{part.metric}@{part.k} polymorphs"], row["polymorphs"] = part.value, part.n
    row["plausible"] = float(np.mean([is_plausible(s) for s in made]))
    row["accepted"] = accepted
    row["crystals/s"] = number / seconds
    return row


def formula(model: LDMModule, options: argparse.Namespace) -> list[Row]:
    """Ask for held-out formulas and count the crystals that have them."""
    batch = held_out(options, model.vae)
    rows = []
    for scale in (0.0, 1.0, 2.0, 5.0):
        how = {**sampling(options), "cfg_scale": scale}
        result = model.sample(request_of(batch), 1, **how)
        met = [
            a.composition == b.composition
            for a, b in zip(result.to_structures(), batch.to_structures(), strict=True)
        ]
        rows.append({"cfg_scale": scale, "n": len(met), "formula met": float(np.mean(met))})
    return rows


def denovo(model: LDMModule, options: argparse.Namespace) -> list[Row]:
    """Generate crystals without any request; count the plausible, valid, unique and novel ones."""
    made = model.sample(None, options.num, **sampling(options))
    plausible = [is_plausible(s) for s in made.to_structures()]
    row: Row = {
        "n": len(plausible),
        "plausible": float(np.mean(plausible)),
        "accepted": made.acceptance_rate,
    }
    evaluated = evaluate(made, training_set(options), metrics=COMPARED, workers=options.workers)
    return [row, *metric_rows(evaluated)]
