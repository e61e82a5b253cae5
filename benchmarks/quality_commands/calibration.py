"""Does conditioning steer? Band gaps against targets; validity and agreement against guidance."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.quality_commands.shared import Row, held_out, request_of, sampling, training_set
from crystal_ldm.data import load_dataset
from crystal_ldm.evaluate.band_gap import PREDICTORS, estimate_band_gaps
from crystal_ldm.evaluate.calibration import calibrate_decoding, calibrate_model
from crystal_ldm.ldm_module import LDMModule


def calibration(model: LDMModule, options: argparse.Namespace) -> list[Row]:
    """Ask for band gaps with the elements left open; an independent predictor says what came."""
    real = training_set(options)
    table = calibrate_model(
        model,
        options.num,
        targets=options.targets,
        scales=options.scales,
        real=(real, np.asarray(real.conditions["band_gap"])),
        forbidden=options.forbidden,
        seed=options.seed,
        sampling=_sampling(options),
        workers=options.workers,
    )
    return _rows(table)


def agreement(model: LDMModule, options: argparse.Namespace) -> list[Row]:
    """Validity and the decoder's agreement with the formula, against guidance scale and steps."""
    table = calibrate_decoding(
        model,
        request_of(held_out(options, model.vae)),
        scales=options.scales,
        steps=options.step_counts,
        seed=options.seed,
        sampling=_sampling(options, "sampling_steps"),
        workers=options.workers,
    )
    return _rows(table)


def predictors(_: Any, options: argparse.Namespace) -> list[Row]:
    """Compare the band gap predictors with the true gaps of held-out crystals."""
    dataset = load_dataset(options.dataset, options.data_dir, progress=False)
    rows = dataset.indices(options.part)
    truth = np.asarray(dataset.labels["band_gap"])[rows]
    rows, truth = rows[np.isfinite(truth)], truth[np.isfinite(truth)]
    table: list[Row] = []
    for predictor in PREDICTORS:
        found = estimate_band_gaps(dataset.batch(rows), predictor, workers=options.workers)
        able, metal = np.isfinite(found.gap), truth <= 0
        error = np.abs(found.gap - truth)
        row: Row = {"predictor": predictor, "n": len(truth), "predicted": int(able.sum())}
        row["mae eV"] = float(error[able].mean())
        row["mae eV of non-metals"] = float(error[able & ~metal].mean())
        row["metal or not is right"] = float((found.metal == metal)[able].mean())
        table.append(row)
    return table


def _sampling(options: argparse.Namespace, *varied: str) -> dict[str, Any]:
    """Return the options of sampling without those that the table itself varies or sets."""
    left_out = ("cfg_scale", "seed", *varied)
    return {name: value for name, value in sampling(options).items() if name not in left_out}


def _rows(table: pd.DataFrame) -> list[Row]:
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]
