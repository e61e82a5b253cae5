"""`python -m benchmarks`: a table of speeds in `runs/bench.json`, growth in `runs/bench.html`."""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch

from benchmarks import growth, speed
from benchmarks.machine import machine, peak_memory_mb
from crystal_ldm.files import resolve_path
from crystal_ldm.files.writing import atomic_write_json
from crystal_ldm.ldm_module import LDMModule
from crystal_ldm.pretrained import load_pretrained


def show(row: dict[str, Any]) -> dict[str, Any]:
    """Print a row and return it."""
    values = [f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()]
    print("  ".join(values), flush=True)
    return row


def sampling_rows(ldm: LDMModule, name: str, compiled: bool) -> list[dict[str, Any]]:
    """Return sampling rates over samplers, steps, guidance and precision."""
    rows = [
        show(speed.sampling(ldm, name, steps, scale, precision))
        for precision in ("float32", "bfloat16")
        for steps in (5, 10, 50)
        for scale in (1.0, 2.0)
        if steps < 50 or (scale == 2.0 and precision == "bfloat16")
    ]
    if compiled:
        rows += [
            show(speed.sampling(ldm, name, steps, 2.0, "bfloat16", compile=True))
            for steps in (5, 10)
        ]
    for sampler in ("ddpm", "dpm_solver++"):
        rows.append(show(speed.sampling(ldm, name, 10, 2.0, "bfloat16", sampler)))
    return rows


def training_rows(about: dict[str, Any], compiled: bool) -> list[dict[str, Any]]:
    """Return training rates of VAE and LDM over sizes, batch sizes and precisions."""
    rows = []
    for precision in ("float32", "bfloat16"):
        peak = about[f"{precision} GFLOP/s"]
        rows.append(show(speed.vae_training(128, precision)))
        for name in ("ldm_small", "ldm_dng"):
            rows += [show(speed.training(name, size, precision, peak)) for size in (32, 128)]
    if compiled:
        rows += [
            show(speed.training(name, 128, "bfloat16", peak, compile=True))
            for name in ("ldm_small", "ldm_dng")
        ]
    return rows


def main() -> None:
    """Measure everything once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", default="runs/bench.json")
    parser.add_argument("--threads", type=int, help="of PyTorch; the default is one for each core")
    parser.add_argument("--compile", action="store_true", help="torch.compile, too")
    parser.add_argument("--growth", action="store_true", help="growth with sizes, as a plot, too")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    about = show(machine())
    rows = [show(speed.import_time()), show(speed.start_to_first_crystal())]
    rows += training_rows(about, options.compile)
    shipped = load_pretrained()
    rows += sampling_rows(shipped, "the shipped model", options.compile)
    rows += sampling_rows(speed.new_ldm("ldm_dng").eval(), "ldm_dng", options.compile)
    rows += [show(row) for row in speed.data_loading()]
    rows.append(show(speed.evaluation()))
    rows.append(show({"what": "peak memory", "MB": peak_memory_mb()}))
    path = resolve_path(options.json)
    path.parent.mkdir(parents=True, exist_ok=True)
    if options.growth:
        curves = [
            show(row)
            for part in (
                growth.training_growth("ldm_small", about["bfloat16 GFLOP/s"]),
                growth.sampling_growth(shipped),
                growth.memory_growth(),
            )
            for row in part
        ]
        growth.write_figure(curves, path.with_suffix(".html"))
        rows += curves
    atomic_write_json(path, json.loads(json.dumps({"machine": about, "rows": rows})))
    print(f"written to {path}")


if __name__ == "__main__":
    main()
